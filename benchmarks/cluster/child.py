"""A contender's process, asked one thing at a time: a line of JSON each way.

A request is an array of strings and numbers, an answer is an object; the first answer says that it is ready.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

Answer = dict[str, Any]

CLOSING: Final = 10.0
"""Seconds a contender has to end by itself."""


class Failed(Exception):
    """A contender gave no figure; the text says why."""


class Child:
    """A process that answers requests, until it is closed."""

    def __init__(self, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
        self._command = " ".join(map(str, command))
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self._ready: Answer | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def ready(self) -> Answer:
        """What it said when it was ready; waits for that."""
        if self._ready is None:
            self._ready = self._answer()
        return self._ready

    def wait_ready(self) -> None:
        """Wait until it can be asked: many can start at once."""
        assert self.ready

    def ask(self, *request: str | float) -> Answer:
        """Send a request and wait for the answer.

        Raises:
            Failed: it answered with an error, or has ended.
        """
        assert self.ready
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{json.dumps(request)}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"it ended with status {self._process.wait()}") from None
        answer = self._answer()
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def _answer(self) -> Answer:
        """Read on to the next answer; contenders and their libraries may print other lines."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                answer: Answer = json.loads(line)
            except ValueError:
                continue
            return answer
        raise Failed(f"{self._command} ended with status {self._process.wait()}")

    def close(self) -> None:
        """End it, by the end of its input."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended, with a request unread
        try:
            self._process.wait(CLOSING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

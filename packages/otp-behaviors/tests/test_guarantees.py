"""What the reference manual guarantees holds in random clusters; test_planted_faults.py tests the checks.

`ERGO_SEEDS=5000` runs more seeds than the default.
"""

import os
import subprocess
import sys
from typing import Final

import pytest
from otp_behaviors.testing import Event, Workload, violations
from otp_behaviors.testing._workload import NODES

SEEDS: Final = int(os.environ.get("ERGO_SEEDS", "200"))
BATCH: Final = 20


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_guarantees_hold(first: int) -> None:
    found = {seed: violations(Workload(seed).run().log) for seed in range(first, first + BATCH)}
    assert not any(found.values()), {seed: lines for seed, lines in found.items() if lines}


def test_a_seed_reproduces() -> None:
    assert Workload(3).run().transcript() == Workload(3).run().transcript()
    assert Workload(3).run().transcript() != Workload(4).run().transcript()


def test_a_seed_reproduces_in_another_interpreter() -> None:
    program = "from otp_behaviors.testing import Workload; print(Workload(5).run().transcript())"
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            timeout=50,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(texts) == 1
    assert texts.pop().count(b"\n") > 1000


def test_a_workload_does_all_it_promises() -> None:
    """In a few seeds there is each fault, each operation, and each of its outcomes."""
    log: list[Event] = [event for seed in range(10) for event in Workload(seed).run().log]
    kinds = {event.kind for event in log}
    assert kinds >= {
        "boot",
        "crash",
        "connect",
        "nodeup",
        "nodedown",
        "unreachable",
        "lose",
        "hold",
        "let_go",
    }
    assert {event.node for event in log if event.kind == "boot"} == set(NODES)
    assert max(event.what[0] for event in log if event.kind == "boot") > 1, "no new creation"
    noted = {event.what[1] for event in log if event.kind == "note" and event.what[0] is not None}
    assert noted >= {
        "send",
        "link",
        "unlink",
        "monitor",
        "demonitor",
        "alias",
        "unalias",
        "send_alias",
        "calling",
    }
    assert noted >= {"got", "got_alias", "down", "exit_message", "answered", "call_failed", "name_taken"}
    assert noted >= {"exit_2", "end", "nodeup", "nodedown"}

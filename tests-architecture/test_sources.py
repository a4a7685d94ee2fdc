"""How a file may look: its length, its name, sleeps in tests, and escape hatches that owe a reason."""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]

# A file longer than this has a second noun in it; ours are planned at 120 to 230 lines.
MAX_LINES: Final = 500
# The longest step of a loop that polls until a deadline, in seconds.
MAX_POLL: Final = 0.1

VAGUE_NAMES: Final = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
SKIPPED_FOLDERS: Final = {"__pycache__", "build", "dist", "target", "node_modules"}

FILES: Final = sorted(
    path
    for path in ROOT.rglob("*.py")
    if not any(part.startswith(".") or part in SKIPPED_FOLDERS for part in path.relative_to(ROOT).parts)
)


def is_test(path: Path) -> bool:
    return any(part.startswith("tests") for part in path.parts[:-1])


def long_file(path: Path, text: str) -> list[str]:
    count = text.count("\n")
    if count <= MAX_LINES:
        return []
    return [
        f"{path} has {count} lines, more than {MAX_LINES}: find its second noun and give it a file of its own"
    ]


def vague_name(path: Path, text: str) -> list[str]:
    if path.stem.strip("_") not in VAGUE_NAMES:
        return []
    return [f"{path}: `{path.stem}` says nothing; name the file after the one noun it is about"]


def fixed_sleeps(path: Path, text: str) -> list[str]:
    """Sleeps in tests that are not the step of a polling loop."""
    if not is_test(path):
        return []
    tree = ast.parse(text)
    polls = {
        id(call)
        for loop in ast.walk(tree)
        if isinstance(loop, ast.While | ast.For | ast.AsyncFor)
        for call in sleeps(loop)
        if is_short(call)
    }
    return [
        f"{path}:{call.lineno} sleeps for a fixed time: wait for the event itself under fail_after(), or poll"
        f" in a loop with a deadline (steps of at most {MAX_POLL} s); sleep_forever() waits for cancellation"
        for call in sleeps(tree)
        if id(call) not in polls and ast.unparse(call.args[0]) not in {"0", "0.0", "math.inf"}
    ]


def sleeps(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).split(".")[-1] == "sleep":
            yield node


def is_short(call: ast.Call) -> bool:
    step = call.args[0]
    return isinstance(step, ast.Constant) and isinstance(step.value, int | float) and step.value <= MAX_POLL


HATCH: Final = re.compile(r"#\s*(type:\s*ignore(\[[\w, -]+\])?|noqa(:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*)?)")
REASON: Final = re.compile(r"\w{2,}\W+\w{2,}")


def unexplained_hatches(path: Path, text: str) -> list[str]:
    """`type: ignore`, `noqa` and typing's `cast(` with no reason on their line or in the comment above."""
    lines = text.splitlines()
    hatches = [
        (call.lineno, "cast", lines[call.lineno - 1].partition("#")[2]) for call in casts(ast.parse(text))
    ]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and (hatch := HATCH.search(token.string)):
            hatches.append((token.start[0], hatch[0], token.string[hatch.end() :]))
    return [
        f"{path}:{row} `{hatch}` needs its reason: on the line after it, or in a comment above"
        for row, hatch, reason in hatches
        if not REASON.search(reason) and not is_reason_above(lines[: row - 1])
    ]


def is_reason_above(lines: list[str]) -> bool:
    return bool(lines) and lines[-1].strip().startswith("#") and REASON.search(lines[-1]) is not None


def casts(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls of typing's cast, and not of a method or function of ours called `cast`."""
    names = {"typing.cast"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "typing":
            names |= {alias.asname or alias.name for alias in node.names if alias.name == "cast"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
            yield node


Rule = Callable[[Path, str], list[str]]
RULES: Final[list[Rule]] = [long_file, vague_name, fixed_sleeps, unexplained_hatches]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.__name__))
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_keep_the_rules(path: Path, rule: Rule) -> None:
    complaints = rule(path.relative_to(ROOT), path.read_text(encoding="utf-8"))
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (long_file, "src/_node.py", "\n" * (MAX_LINES + 1)),
        (vague_name, "src/_utils.py", ""),
        (vague_name, "tests/helpers.py", ""),
        (fixed_sleeps, "tests/test_a.py", "await anyio.sleep(0.5)"),
        (fixed_sleeps, "tests-interop/test_a.py", "import time\ntime.sleep(1)"),
        (fixed_sleeps, "tests/test_a.py", "while True:\n    await sleep(2)"),
        (fixed_sleeps, "tests/test_a.py", "await anyio.sleep(delay)"),
        (unexplained_hatches, "src/a.py", "x = 1  # noqa: S104\n"),
        (unexplained_hatches, "src/a.py", "x = y()  # type: ignore[misc]\n"),
        (unexplained_hatches, "src/a.py", "from typing import cast\nx = cast(int, y)\n"),
        (unexplained_hatches, "src/a.py", "import typing\nx = typed(typing.cast(int, y))  # ok\n"),
    ],
)
def test_each_rule_can_fail(rule: Rule, path: str, text: str) -> None:
    assert rule(Path(path), text)


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (long_file, "src/_node.py", "\n" * MAX_LINES),
        (fixed_sleeps, "src/_server.py", "await anyio.sleep(0.5)"),
        (fixed_sleeps, "tests/test_a.py", "while not done:\n    await anyio.sleep(0.01)"),
        (fixed_sleeps, "tests/test_a.py", "await anyio.sleep(0)\nawait anyio.sleep_forever()"),
        (unexplained_hatches, "src/a.py", "x = 1  # noqa: S104 (EPMD listens on all interfaces, as in C)\n"),
        (
            unexplained_hatches,
            "src/a.py",
            "# The stub says str, the code takes bytes.\nx = y()  # type: ignore[arg-type]\n",
        ),
        (unexplained_hatches, "src/a.py", "cast(kernel, to, message)\nserver.cast(message)\n"),
        (unexplained_hatches, "src/a.py", 'TEXT = "# noqa"\n'),
    ],
)
def test_no_rule_overreaches(rule: Rule, path: str, text: str) -> None:
    assert not rule(Path(path), text)

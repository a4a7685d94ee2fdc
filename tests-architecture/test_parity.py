"""docs/parity.md names tests that exist: a renamed test takes its row along."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
REFERENCE: Final = re.compile(r"`(?:([\w-]+)/)?(test_\w+\.py)::(\w+)`")
NAMED: Final = sorted(set(REFERENCE.findall((ROOT / "docs" / "parity.md").read_text(encoding="utf-8"))))


@cache
def functions_of(path: Path) -> set[str]:
    """The names of the test functions of a file."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, functions) and node.name.startswith("test_")}


def where(package: str, file: str) -> Path:
    """The path of a reference: `package/file.py`, or `file.py` of the tests beside Erlang."""
    return ROOT / "packages" / package / "tests" / file if package else ROOT / "tests-interop" / file


@pytest.mark.parametrize(("package", "file", "function"), NAMED, ids=lambda part: str(part))
def test_the_test_exists(package: str, file: str, function: str) -> None:
    path = where(package, file)
    assert path.is_file(), f"docs/parity.md: there is no {path.relative_to(ROOT)}"
    assert function in functions_of(path), f"docs/parity.md: {path.relative_to(ROOT)} has no {function}"


def test_each_row_names_a_test() -> None:
    proved = (ROOT / "docs" / "parity.md").read_text(encoding="utf-8").partition("## Not covered yet")[0]
    rows = [line for line in proved.splitlines() if re.search(r"\| \d(, \d)? \|", line)]
    assert len(rows) > 40
    assert [row for row in rows if not REFERENCE.search(row)] == []

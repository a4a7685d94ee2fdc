"""docs/parity.md and docs/fault-coverage.md name tests that exist: a renamed test takes its row along."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
REFERENCE: Final = re.compile(r"`(?:([\w-]+)/)?(test_\w+\.py)::(\w+)`")
DOCUMENTS: Final = {"parity.md": "tests-interop", "fault-coverage.md": "tests-faults"}
"""Each with the folder of the tests that it names without one."""
NAMED: Final = [
    (document, *reference)
    for document in DOCUMENTS
    for reference in sorted(set(REFERENCE.findall((ROOT / "docs" / document).read_text(encoding="utf-8"))))
]


@cache
def functions_of(path: Path, prefix: str = "test_") -> set[str]:
    """The names of the functions of a file that begin so."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, functions) and node.name.startswith(prefix)}


def where(document: str, package: str, file: str) -> Path:
    """The path of a reference: `package/file.py`, `interop/file.py`, or a `file.py` of the document."""
    if not package:
        return ROOT / DOCUMENTS[document] / file
    return ROOT / ("tests-interop" if package == "interop" else f"packages/{package}/tests") / file


@pytest.mark.parametrize(("document", "package", "file", "function"), NAMED, ids=str)
def test_the_test_exists(document: str, package: str, file: str, function: str) -> None:
    path = where(document, package, file)
    assert path.is_file(), f"docs/{document}: there is no {path.relative_to(ROOT)}"
    assert function in functions_of(path), f"docs/{document}: {path.relative_to(ROOT)} has no {function}"


def test_each_row_names_a_test() -> None:
    proved = (ROOT / "docs" / "parity.md").read_text(encoding="utf-8").partition("## Not covered yet")[0]
    rows = [line for line in proved.splitlines() if re.search(r"\| \d(, \d)? \|", line)]
    assert len(rows) > 40
    assert [row for row in rows if not REFERENCE.search(row)] == []


def test_each_fault_names_a_test() -> None:
    proved = (ROOT / "docs" / "fault-coverage.md").read_text(encoding="utf-8").partition("## Guarantees")[0]
    rows = [line for line in proved.splitlines() if re.match(r"\| [A-H]\d ", line)]
    assert len(rows) > 30
    assert [row for row in rows if not REFERENCE.search(row)] == []


def test_each_guarantee_names_what_checks_it() -> None:
    table = (ROOT / "docs" / "fault-coverage.md").read_text(encoding="utf-8").partition("## Guarantees")[2]
    checks = functions_of(ROOT / "packages/otp-behaviors/src/otp_behaviors/testing/_guarantees.py", prefix="")
    named = set(
        re.findall(r"`([a-z_]+)`", "".join(re.findall(r"^\| [GI]\d.*\| (.*) \|$", table, re.MULTILINE)))
    )
    assert named <= checks
    assert len(named) > 10

"""Runs the Python of every document, so that no reader meets an example that does not work.

The ```` ```python ```` blocks of one document are one program: they run in order, in one namespace, and may
`await` at top level as `python -m asyncio` allows. A block with `>>>` prompts is a doctest. A block marked
```` ```python no-run ```` (it needs a peer, or never ends) is only compiled.
"""

import ast
import doctest
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

import anyio
import pytest

ROOT: Final = Path(__file__).parents[1]
DOCUMENTS: Final = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("packages/*/README.md"),
        *ROOT.glob("examples/**/*.md"),
    ]
)
FENCE: Final = re.compile(r"^```python([^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(text: str) -> Iterator[tuple[int, str, str]]:
    """The line, the words after `python`, and the source of each block."""
    for match in FENCE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match[1].strip(), match[2]


def compiled(source: str, name: str, line: int) -> CodeType:
    """The block's code, with its line numbers those of the document."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code: CodeType = compile("\n" * line + source, name, "exec", flags=flags, dont_inherit=True)
    return code


def run_block(source: str, name: str, line: int, namespace: dict[str, Any]) -> None:
    """Run one block; a failed doctest or an exception fails the test at the document's line."""
    if source.lstrip().startswith(">>>"):
        examples = doctest.DocTestParser().get_doctest(source, namespace, name, name, line)
        runner = doctest.DebugRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        runner.run(examples, clear_globs=False)
        namespace.update(examples.globs)
        return
    code = compiled(source, name, line)
    if code.co_flags & inspect.CO_COROUTINE:

        async def await_block() -> None:
            await eval(code, namespace)

        anyio.run(await_block)
    else:
        exec(code, namespace)


@pytest.fixture
def own_epmd_port(free_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes in examples meet at an EPMD of their own, not at one this machine may run."""
    monkeypatch.setenv("ERL_EPMD_PORT", str(free_tcp_port))


@pytest.mark.usefixtures("own_epmd_port")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_snippets_run(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)  # where typing looks up a snippet's own classes
    for line, words, source in blocks(document.read_text(encoding="utf-8")):
        if words == "no-run":
            compiled(source, document.name, line)
        else:
            assert not words, f"{document.name}:{line}: `python {words}`; known is only `python no-run`"
            run_block(source, str(document.relative_to(ROOT)), line, module.__dict__)


def test_blocks_are_found_with_their_lines() -> None:
    text = "# A\n\n```python\nx = 1\n```\n\n```erlang\nX = 1.\n```\n```python no-run\ny()\n```\n"
    assert list(blocks(text)) == [(3, "", "x = 1\n"), (10, "no-run", "y()\n")]


@pytest.mark.parametrize("source", ["1 / 0", ">>> 1 + 1\n3\n", "import anyio\nawait anyio.sleep(0)\n1 / 0"])
def test_a_broken_snippet_fails(source: str) -> None:
    with pytest.raises((ZeroDivisionError, doctest.DocTestFailure)):
        run_block(source, "sample.md", 7, {})

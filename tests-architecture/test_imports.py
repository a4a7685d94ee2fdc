"""Who may import whom. Each rule is a function from one file to its complaints, and is shown to bite."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]

MAY_IMPORT: Final = {
    "etf_codec": set[str](),
    "erldist_proto": {"etf_codec"},
    "epmd_server": {"anyio"},
    "otp_behaviors": {"etf_codec", "anyio"},
    "otp_behaviors_pytest": {"otp_behaviors", "pytest"},  # pytest's entry point; loads the package when asked
    "ergo_node": {"etf_codec", "erldist_proto", "epmd_server", "otp_behaviors", "anyio"},
}

OPTIONAL: Final = {
    "etf_codec._backend": {"etf_codec_native"},  # the accelerator, a distribution of its own
    "etf_codec.testing": {"hypothesis"},  # strategies are of no use without it
    "ergo_node._certificates": {"cryptography"},  # loaded on demand, by what makes certificates
    "ergo_node._dns": {"dns"},  # dnspython, loaded on demand, by strategies that need it
    "ergo_node.health": {"h11"},  # a module of its own, for those who serve probes
}

WAITING: Final = {"asyncio", "anyio", "trio", "socket", "ssl", "select", "selectors", "threading"}
IMPURE: Final = WAITING | {"time", "random", "logging"}

# Everything else under src/ is pure: it takes bytes, time and chance as arguments.
SHELL: Final = {
    "epmd_server": {"_listening", "_server", "_client", "_daemon", "__main__"},
    "otp_behaviors": {
        "_log",
        "_application_controller",
        "_process_task",
        "_runtime",
        "_threads",
        "_waiter_asyncio",
    },
    "ergo_node": {"*"},
}
PURE_IN_SHELL_PACKAGES: Final = {
    "ergo_node._identifiers",
    "ergo_node._membership",
    "ergo_node._pg_effects",
    "ergo_node._pg_groups",
    "ergo_node._pg_monitors",
    "ergo_node._pg_overlay",
    "ergo_node._translate",
}

# The spine of each package, lowest first: a file never needs one further up, not even through others.
SPINES: Final = {
    "etf_codec": ("_errors", "_terms", "_reader", "_decoder", "_backend", "__main__"),
    "erldist_proto": (
        "_errors",
        "_framing",
        "_dist_header",
        "_fragments",
        "_handshake",
        "_connection",
        "testing",
    ),
    "epmd_server": ("_errors", "_messages", "_registry", "_session", "_server", "__main__"),
    "otp_behaviors": (
        "_reasons",
        "_process_table",
        "_kernel",
        "_gen_call",
        "_process",
        "_gen_server",
        "_supervisor",
    ),
    "ergo_node": ("_errors", "_identifiers", "_translate", "_connections", "_node", "cli"),
}

# What they do is measured to be several times as fast as through anyio; each has a twin on anyio.
ASYNCIO_FILES: Final = {
    "ergo_node._event_loop_asyncio",
    "ergo_node._transport_asyncio",
    "otp_behaviors._waiter_asyncio",
}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, and the names taken from it (none for a plain `import`)."""

    module: str
    names: tuple[str, ...]
    line: int

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def imports(module: str, tree: ast.AST, *, is_package: bool = False) -> Iterator[Import]:
    """The imports of a file, relative ones made absolute."""
    parts = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, (), node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            yield Import(target, tuple(alias.name for alias in node.names), node.lineno)


def module_name(path: Path) -> str:
    """The dotted name of a file under packages/*/src."""
    parts = path.relative_to(ROOT).with_suffix("").parts[3:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES: Final = {module_name(path): path for path in sorted(ROOT.glob("packages/*/src/**/*.py"))}
TREES: Final = {
    module: ast.parse(path.read_text(encoding="utf-8"), str(path)) for module, path in SOURCES.items()
}
USERS: Final = [
    path
    for pattern in ("packages/*/tests/*.py", "tests-*/*.py", "examples/**/*.py", "benchmarks/**/*.py")
    for path in sorted(ROOT.glob(pattern))
]
PUBLIC: Final = {
    module: {element.value for element in node.value.elts if isinstance(element, ast.Constant)}
    for module, tree in TREES.items()
    for node in tree.body
    if isinstance(node, ast.Assign | ast.AnnAssign)
    and isinstance(node.value, ast.List | ast.Tuple)
    and "__all__" in ast.unparse(node).partition("=")[0]
}


def is_package(module: str) -> bool:
    return module in SOURCES and SOURCES[module].name == "__init__.py"


def is_pure(module: str) -> bool:
    top, _, rest = module.partition(".")
    shell = SHELL.get(top, set())
    return module in PURE_IN_SHELL_PACKAGES or not (
        "*" in shell or (rest or "__init__").split(".")[0] in shell
    )


def impure_imports(module: str, tree: ast.AST) -> list[str]:
    return [
        f"{module}:{each.line} imports {each.module}, but this file is pure: take bytes, time and chance as"
        " arguments, or move the part that waits to a shell file of its package (SHELL lists them)"
        for each in imports(module, tree, is_package=is_package(module))
        if is_pure(module) and each.top in IMPURE
    ]


def event_loop_imports(module: str, tree: ast.AST) -> list[str]:
    allowed = ", ".join(sorted(ASYNCIO_FILES))
    return [
        f"{module}:{each.line} imports {each.top}: write for anyio (asyncio is for {allowed})"
        for each in imports(module, tree, is_package=is_package(module))
        if (each.top == "asyncio" and module not in ASYNCIO_FILES) or each.top == "trio"
    ]


def undeclared_imports(module: str, tree: ast.AST) -> list[str]:
    top = module.partition(".")[0]
    allowed = MAY_IMPORT[top] | OPTIONAL.get(module, set()) | {top}
    return [
        f"{module}:{each.line} imports {each.top}; {top} may import {sorted(MAY_IMPORT[top])} and the"
        " standard library. If the design changed, change MAY_IMPORT here and docs/architecture.md together"
        for each in imports(module, tree, is_package=is_package(module))
        if each.top not in allowed and each.top not in sys.stdlib_module_names
    ]


def private_imports(module: str, tree: ast.AST) -> list[str]:
    """Imports of another package that go round its public names. `module` is ours, or a test's label."""
    top = module.partition(".")[0]
    complaints = []
    for each in imports(module, tree, is_package=is_package(module)):
        if each.top == top or each.top not in MAY_IMPORT:
            continue
        if each.module not in {each.top, f"{each.top}.testing", f"{each.top}.sync", f"{each.top}.health"}:
            complaints.append(
                f"{module}:{each.line} imports {each.module}: take public names from {each.top}"
            )
        unknown = sorted(
            {name for name in each.names if each.module in PUBLIC and name not in PUBLIC[each.module]}
        )
        unknown = [name for name in unknown if name not in {"__version__", "testing"}]
        if unknown:
            complaints.append(
                f"{module}:{each.line} imports {unknown} from {each.module}, not in its __all__"
            )
    return complaints


def hidden_imports(module: str, tree: ast.AST) -> list[str]:
    """Imports inside a function."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    lines = {each.line for function in functions for each in imports(module, function)}
    return [
        f"{module}:{line} imports inside a function: move it to the top; if that makes a cycle, two files"
        " share a noun that belongs to a third one below them"
        for line in sorted(lines)
    ]


def graph_of(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Which of these modules imports which, type-only imports included."""
    graph: dict[str, set[str]] = {}
    for module, tree in trees.items():
        graph[module] = set()
        for each in imports(module, tree, is_package=is_package(module)):
            submodules = {f"{each.module}.{name}" for name in each.names} & trees.keys()
            graph[module] |= submodules or ({each.module} & trees.keys())
        graph[module] -= {module}
    return graph


def cycles(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        path = " -> ".join(reversed(error.args[1]))
        return [f"import cycle {path}: move what they share into a file below both"]
    return []


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen, waiting = set[str](), [start]
    while waiting:
        for each in graph.get(waiting.pop(), set()) - seen:
            seen.add(each)
            waiting.append(each)
    return seen


def upward_imports(graph: dict[str, set[str]], package: str, spine: tuple[str, ...]) -> list[str]:
    complaints = []
    for index, lower in enumerate(spine):
        needed = reachable(graph, f"{package}.{lower}")
        complaints += [
            f"{package}.{lower} needs {package}.{upper}, which stands above it in SPINES: turn the dependency"
            " round, or move the shared noun below both"
            for upper in spine[index + 1 :]
            if f"{package}.{upper}" in needed
        ]
    return complaints


PER_FILE: Final = [impure_imports, event_loop_imports, undeclared_imports, private_imports, hidden_imports]


@pytest.mark.parametrize("rule", PER_FILE, ids=lambda rule: str(rule.__name__))
@pytest.mark.parametrize("module", SOURCES)
def test_sources_keep_the_import_rules(module: str, rule: type) -> None:
    complaints = rule(module, TREES[module])
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("path", USERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_users_import_public_names_only(path: Path) -> None:
    own = path.relative_to(ROOT).parts
    # A package's tests mirror its files and may import its private modules, but no other package's.
    label = own[1].replace("-", "_") if own[0] == "packages" else own[0].replace("-", "_")
    complaints = private_imports(f"{label}.{path.stem}", ast.parse(path.read_text(encoding="utf-8")))
    assert not complaints, f"{path.relative_to(ROOT)}:\n" + "\n".join(complaints)


def test_no_import_cycles() -> None:
    complaints = cycles(graph_of(TREES))
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("package", SPINES)
def test_imports_point_down(package: str) -> None:
    complaints = upward_imports(graph_of(TREES), package, SPINES[package])
    assert not complaints, "\n".join(complaints)


def test_every_package_has_its_row() -> None:
    tops = {path.stem for path in ROOT.glob("packages/*/src/*") if path.name != "__pycache__"}
    assert tops == MAY_IMPORT.keys(), "a new package needs its row in MAY_IMPORT"


@pytest.mark.parametrize(
    ("rule", "module", "text"),
    [
        (impure_imports, "etf_codec._decoder", "import time"),
        (impure_imports, "otp_behaviors._kernel", "from anyio import sleep"),
        (impure_imports, "epmd_server._session", "import logging.handlers"),
        (event_loop_imports, "ergo_node._node", "from asyncio import Queue"),
        (event_loop_imports, "ergo_node._transport_asyncio", "import trio"),
        (undeclared_imports, "etf_codec._decoder", "import erldist_proto"),
        (undeclared_imports, "otp_behaviors._kernel", "from ergo_node import Node"),
        (undeclared_imports, "ergo_node._node", "import requests"),
        (private_imports, "ergo_node._node", "from etf_codec._decoder import decode"),
        (private_imports, "ergo_node._node", "import otp_behaviors._kernel"),
        (hidden_imports, "ergo_node._node", "def f():\n    from . import _tls\n"),
        (hidden_imports, "ergo_node._node", "class A:\n    async def f(self):\n        import json\n"),
    ],
)
def test_each_rule_can_fail(rule: type, module: str, text: str) -> None:
    assert rule(module, ast.parse(text))


def test_the_public_name_rule_can_fail() -> None:
    assert private_imports("examples.first", ast.parse("from etf_codec import no_such_name"))
    assert not private_imports("examples.first", ast.parse("from etf_codec import Atom, __version__"))


@pytest.mark.parametrize(
    "texts",
    [
        {"p._a": "from p._b import x", "p._b": "from p._a import y"},
        {"p._a": "from . import _b", "p._b": "from ._c import z", "p._c": "import p._a"},
        {"p._a": "if TYPE_CHECKING:\n    from p._b import T", "p._b": "from p._a import U"},
    ],
)
def test_the_cycle_rule_can_fail(texts: dict[str, str]) -> None:
    assert cycles(graph_of({module: ast.parse(text) for module, text in texts.items()}))


def test_the_spine_rule_can_fail() -> None:
    graph = {"p._low": {"p._between"}, "p._between": {"p._high"}, "p._high": set[str]()}
    assert upward_imports(graph, "p", ("_low", "_high"))
    assert not upward_imports(graph, "p", ("_high", "_low"))


def test_a_chain_is_no_cycle() -> None:
    texts = {
        "p": "from p._a import x",
        "p._a": "from ._b import x",
        "p._b": "import json",
        "p.testing": "from p import x",
    }
    assert not cycles(graph_of({module: ast.parse(text) for module, text in texts.items()}))

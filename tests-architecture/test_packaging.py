"""What makes each package publishable on its own: its files, its metadata and its public names."""

import ast
import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
REQUIRED_FILES: Final = ("README.md", "CHANGELOG.md", "LICENSE", "src/{import_name}/py.typed")

each_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.name))


def import_name(package: Path) -> str:
    return package.name.replace("-", "_")


def project(package: Path) -> dict[str, Any]:
    """The [project] table; TOML is untyped by nature."""
    with (package / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["project"]
    return table


def missing_files(package: Path) -> list[str]:
    names = [name.format(import_name=import_name(package)) for name in REQUIRED_FILES]
    return [
        f"{package.name} has no {name} (or an empty one): a package is published alone and needs its own"
        for name in names
        if not (package / name).is_file()
        or (name.endswith((".md", "LICENSE")) and not (package / name).read_text(encoding="utf-8").strip())
    ]


def distribution(requirement: str) -> str:
    """`anyio>=4.10,<5` is about `anyio`."""
    for index, char in enumerate(requirement):
        if not (char.isalnum() or char in "-_."):
            return requirement[:index]
    return requirement


IMPORTED_AS: Final = {"dns": "dnspython"}  # distributions whose packages have another name


def imported_distributions(package: Path) -> Iterator[str]:
    """What the package's files import from outside, as distribution names; `testing` brings its own tools."""
    for path in (package / "src").rglob("*.py"):
        if path.stem == "testing" or "testing" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            tops = {name.partition(".")[0] for name in names}
            yield from (
                IMPORTED_AS.get(top, top.replace("_", "-"))
                for top in tops - sys.stdlib_module_names - {import_name(package)}
            )


def dependency_faults(name: str, table: dict[str, Any], imported: set[str]) -> list[str]:
    required = {distribution(each) for each in table["dependencies"]}
    extras = {
        distribution(each) for extra in table.get("optional-dependencies", {}).values() for each in extra
    }
    # The accelerator lives outside the workspace and is found by being installed, never required.
    accelerators = {f"{name}-native"}
    return [
        *(
            f"{name} imports {each} but does not declare it: add it to dependencies in pyproject.toml"
            for each in sorted(imported - required - extras - accelerators)
        ),
        *(
            f"{name} declares {each} but imports it nowhere: remove it from dependencies"
            for each in sorted(required - imported)
        ),
    ]


def public_name_faults(name: str, module: ModuleType) -> list[str]:
    names: list[str] = list(module.__all__)
    faults = [
        f"{name}.__all__ lists {each}, which does not exist" for each in names if not hasattr(module, each)
    ]
    if len(names) != len(set(names)):
        faults.append(f"{name}.__all__ lists a name twice")
    if names != sorted(names, key=sort_key):
        faults.append(f"{name}.__all__ is not sorted: `ruff check --fix` sorts it (RUF022)")
    for each in names:
        public = getattr(module, each, None)
        # Classes are what tracebacks and reprs show with their module.
        if isinstance(public, type) and public.__module__.startswith(f"{name}._"):
            faults.append(
                f"{name}.{each} shows up as {public.__module__}.{each} in tracebacks: set its __module__ in"
                " __init__.py"
            )
    return faults


def sort_key(name: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then functions: ruff's order."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, name


@each_package
def test_required_files(package: Path) -> None:
    faults = missing_files(package)
    assert not faults, "\n".join(faults)


@each_package
def test_dependencies_are_what_is_imported(package: Path) -> None:
    faults = dependency_faults(package.name, project(package), set(imported_distributions(package)))
    assert not faults, "\n".join(faults)


@each_package
def test_siblings_are_required_as_ranges(package: Path) -> None:
    siblings = {path.name for path in PACKAGES}
    loose = [
        each
        for each in project(package)["dependencies"]
        if distribution(each) in siblings and not (">=" in each and "<" in each.replace("<=", ""))
    ]
    assert not loose, (
        f"{package.name} requires {loose}: give a range such as >=0.1,<0.2, packages are versioned apart"
    )


@each_package
def test_version_is_the_declared_one(package: Path) -> None:
    declared = project(package)["version"]
    version = importlib.import_module(import_name(package)).__version__
    assert version == declared, f"set __version__ in {import_name(package)}/__init__.py to {declared!r}"
    changelog = (package / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {declared}" in changelog, f"CHANGELOG.md of {package.name} has no section `## {declared}`"


@each_package
def test_public_names(package: Path) -> None:
    faults = public_name_faults(import_name(package), importlib.import_module(import_name(package)))
    assert not faults, "\n".join(faults)


@each_package
def test_the_public_api_is_pinned_by_a_test(package: Path) -> None:
    pinned = package / "tests" / "test_public_api.py"
    assert pinned.is_file(), f"{pinned.relative_to(ROOT)} must compare __all__ with a literal list"


def test_the_ci_runs_what_the_readme_says() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    commands = [line.strip() for line in script.splitlines() if line.strip().endswith(".venv/bin/nox")]
    assert commands, ".ci/run no longer runs nox"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(command in readme for command in commands), (
        f"README.md does not tell readers to run {commands}"
    )


def test_missing_files_can_fail(tmp_path: Path) -> None:
    assert len(missing_files(tmp_path)) == len(REQUIRED_FILES)


@pytest.mark.parametrize(
    ("dependencies", "imported"),
    [(["anyio>=4"], set[str]()), ([], {"anyio"}), (["etf-codec>=0.1,<0.2"], {"etf-codec", "requests"})],
)
def test_dependency_faults_can_fail(dependencies: list[str], imported: set[str]) -> None:
    assert dependency_faults("sample", {"dependencies": dependencies}, imported)


def test_dependency_faults_accept_extras_and_the_accelerator() -> None:
    table = {
        "dependencies": ["anyio>=4"],
        "optional-dependencies": {"fast": ["uvloop>=0.22; sys_platform != 'win32'"]},
    }
    assert not dependency_faults("sample", table, {"anyio", "uvloop", "sample-native"})


@pytest.mark.parametrize("names", [["missing"], ["Path", "Path"], ["sort_key", "Path"], ["Hidden"]])
def test_public_name_faults_can_fail(names: list[str]) -> None:
    module = ModuleType("sample")
    module.__dict__.update(
        Path=Path, sort_key=sort_key, Hidden=type("Hidden", (), {"__module__": "sample._x"})
    )
    module.__dict__["__all__"] = names
    assert public_name_faults("sample", module)

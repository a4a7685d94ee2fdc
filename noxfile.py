"""Every developer command of the repository: `nox -l` lists them, plain `nox` is what CI runs.

Works with uv and without it. `nox -s "tests(etf-codec)" -- -k atom` hands what follows `--` to pytest.
"""

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"
# nox turns this on when CI is set; a Python that a machine lacks is a skipped line everywhere.
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "rules", "docs", "tests", "interop", "quick_faults", "instructions"]

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
PACKAGES = sorted(path.parent.name for path in Path("packages").glob("*/pyproject.toml"))
GROUPS = nox.project.load_toml("pyproject.toml")
PROJECTS = {name: nox.project.load_toml(f"packages/{name}/pyproject.toml") for name in PACKAGES}

INSTALL_ERLANG = (
    "no `erl` on PATH, so nothing was run against real Erlang. Install it with"
    " `apt install erlang-base erlang-ssl erlang-runtime-tools elixir` (Debian, Ubuntu),"
    " `dnf install erlang elixir` (Fedora) or `brew install erlang elixir` (macOS)"
)


def requirements(package: str) -> tuple[list[str], list[str]]:
    """What a package declares: the names of its siblings, and its third-party requirements."""
    declared: list[str] = PROJECTS[package]["project"]["dependencies"]
    siblings = [name for name in PACKAGES if any(each.startswith(name) for each in declared)]
    return siblings, [each for each in declared if not each.startswith(tuple(PACKAGES))]


def with_siblings(package: str) -> list[str]:
    """The paths of a package and of the siblings it needs, dependencies first.

    They go into one install command, so that the siblings come from this checkout and never from an index.
    """
    siblings, _ = requirements(package)
    paths = [path for sibling in siblings for path in with_siblings(sibling)]
    return list(dict.fromkeys([*paths, f"./packages/{package}"]))


def every_package() -> list[str]:
    """The paths of all packages."""
    return [f"./packages/{package}" for package in PACKAGES]


def third_party() -> list[str]:
    """What all packages together require from outside this repository."""
    return sorted({each for package in PACKAGES for each in requirements(package)[1]})


def group(name: str) -> tuple[str, ...]:
    """A dependency group of the root pyproject.toml."""
    return nox.project.dependency_groups(GROUPS, name)


def install(session: nox.Session, packages: list[str], *others: str) -> None:
    """Install packages of this repository as wheels, and others beside them, in one command."""
    # uv takes a folder for unchanged as long as its pyproject.toml is; pip always builds it anew.
    fresh = (
        [f"--reinstall-package={Path(path).name}" for path in packages]
        if session.venv_backend == "uv"
        else []
    )
    session.install(*fresh, *packages, *others)


@nox.session
def demo(session: nox.Session) -> None:
    """Two Python nodes, and an Erlang node where there is one, call and supervise each other."""
    install(session, every_package())
    session.run("ergo-node", "demo", *session.posargs)


@nox.session
@nox.parametrize("package", [nox.param(name, id=name) for name in PACKAGES])
def tests(session: nox.Session, package: str) -> None:
    """One package's tests, with nothing installed that it does not declare."""
    install(session, with_siblings(package), *nox.project.dependency_groups(PROJECTS[package], "test"))
    session.run("pytest", f"packages/{package}/tests", *session.posargs, env={"PYTHONPATH": None})


@nox.session(python=PYTHONS)
def tests_all(session: nox.Session) -> None:
    """All packages' tests on each Python found of 3.11 to 3.14."""
    install(session, every_package(), *group("test"))
    session.run("pytest", "packages", *session.posargs, env={"PYTHONPATH": None})


@nox.session
def native(session: nox.Session) -> None:
    """Build the native codec, run the codec's tests on both, and compare the two."""
    if shutil.which("cargo") is None:
        session.skip("no `cargo` on PATH, so the native codec was not built: see https://rustup.rs")
    install(session, ["./packages/etf-codec", "./native/etf-codec-native"], *group("test"))
    for codec in ("python", "native"):
        environment = {"PYTHONPATH": None, "ETF_CODEC_IMPL": codec}
        session.run("pytest", "packages/etf-codec/tests", *session.posargs, env=environment)
    session.run("pytest", "native/etf-codec-native/tests", *session.posargs, env={"PYTHONPATH": None})


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz the codecs, a minute long or `-- -max_total_time=3600`; skipped where atheris does not install."""
    packages = ["./packages/etf-codec"]
    if shutil.which("cargo") is not None:
        packages.append("./native/etf-codec-native")
    install(session, packages)
    try:
        session.install("atheris>=3")
    except nox.command.CommandFailed:
        session.skip(
            "atheris does not install here, so nothing was fuzzed: it has wheels for Linux and CPython"
        )
    options = session.posargs or ["-max_total_time=60"]
    session.run("python", "packages/etf-codec/fuzz", session.create_tmp(), "-timeout=10", *options)


@nox.session
def interop(session: nox.Session) -> None:
    """The node beside real Erlang and Elixir nodes; skipped where `erl` is missing."""
    if shutil.which("erl") is None:
        if os.environ.get("ERGO_REQUIRE_ERLANG") == "1":
            session.error(f"ERGO_REQUIRE_ERLANG=1, but {INSTALL_ERLANG}.")
        session.skip(f"{INSTALL_ERLANG}.")
    install(session, every_package(), *group("test"))
    # Most of the time these tests wait for nodes to start: three at a time keep two cores busy.
    session.run("pytest", "tests-interop", "-n", "3", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Networks that fail, nodes that die or stall: every fault test, some 20 minutes."""
    _faults(session)


@nox.session
def quick_faults(session: nox.Session) -> None:
    """The fault tests that take a few seconds each, at least one a fault."""
    _faults(session, "-m", "not slow")


def _faults(session: nox.Session, *options: str) -> None:
    """Run fault tests, chosen by options of pytest."""
    install(session, every_package(), *group("test"))
    # They wait for time to pass more than they compute.
    session.run("pytest", "tests-faults", "-n", "3", *options, *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """The searches at full length, some 40 minutes: model steps, simulation seeds, twins, terms."""
    install(session, every_package(), *group("test"))
    environment = {
        "PYTHONPATH": None,
        "ERGO_MODEL_STEPS": "100000",
        "ERGO_SEEDS": "5000",
        "ERGO_ALL_TWINS": "1",
        "ETF_CODEC_INTEROP_EXAMPLES": "10000",
    }
    tests = "packages/otp-behaviors/tests"
    files = [f"{tests}/test_model.py", f"{tests}/test_guarantees.py"]
    files += sorted(map(str, Path("tests-interop").glob("test_twins_*.py")))
    session.run(
        "pytest", *files, "tests-interop/test_etf_codec.py", "-n", "3", "--timeout=3600", *session.posargs,
        env=environment,
    )  # fmt: skip


@nox.session
def lint(session: nox.Session) -> None:
    """Formatting, ruff's rules, spelling. `nox -s lint -- --fix` repairs what can be repaired."""
    session.install(*group("lint"))
    fix = "--fix" in session.posargs
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("codespell")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, over every source and test file."""
    session.install(*group("types"), *third_party())
    # One run a package: the five tests/ folders share module names.
    for package in PACKAGES:
        session.run("mypy", f"packages/{package}/src", f"packages/{package}/tests")
    for folder in sorted(Path().glob("tests-*")):
        session.run("mypy", str(folder))
    session.run(
        "mypy",
        "noxfile.py",
        "conftest.py",
        *map(str, Path("docs").glob("*.py")),
        *map(str, Path("examples").glob("*.py")),
    )


@nox.session
def rules(session: nox.Session) -> None:
    """The architecture as tests: imports, file sizes, packaging, escape hatches."""
    session.install(*group("test"), *third_party())
    sources = os.pathsep.join(str(path) for path in Path("packages").glob("*/src"))
    session.run("pytest", "tests-architecture", *session.posargs, env={"PYTHONPATH": sources})


@nox.session
def bench(session: nox.Session) -> None:
    """The speed tables: all of them, or one and its options: `nox -s bench -- codec --rounds 3`."""
    native = ["./native/etf-codec-native"] if shutil.which("cargo") is not None else []
    install(session, [*every_package(), *native], *group("bench"))
    known = sorted(path.parent.name for path in Path("benchmarks").glob("*/__main__.py"))
    chosen, options = (session.posargs[:1], session.posargs[1:]) if session.posargs else (known, [])
    if not set(chosen) <= set(known):
        session.error(f"there is no benchmark {chosen[0]!r}; there are {', '.join(known)}")
    for name in chosen:
        session.run("python", f"benchmarks/{name}", *options)


@nox.session
def instructions(session: nox.Session) -> None:
    """Count the instructions of the hot paths against the committed counts; `-- --write` renews those."""
    _count_instructions(session, "python")


@nox.session
def native_instructions(session: nox.Session) -> None:
    """The same with the native codec, which needs `cargo`."""
    _count_instructions(session, "native", "./native/etf-codec-native")


def _count_instructions(session: nox.Session, codec: str, *packages: str) -> None:
    if shutil.which("valgrind") is None:
        session.skip("no `valgrind` on PATH, so no instructions were counted: `apt install valgrind`")
    install(session, [*every_package(), *packages])
    environment = {"PYTHONPATH": None, "ETF_CODEC_IMPL": codec}
    session.run("python", "benchmarks/instructions/count.py", *session.posargs, env=environment)


@nox.session
def docs(session: nox.Session) -> None:
    """Run every Python snippet of the documentation."""
    install(session, every_package(), *group("test"))
    session.run("pytest", "docs", *session.posargs)

"""pytest's fixtures for otp-behaviors: `otp_simulation`, `otp_recorder`, `otp_runtime` and `otp_seed`.

pytest finds this module by its entry point whenever otp-behaviors is installed. It stands beside the package
and loads it only when a fixture is asked for, so that test runs without these fixtures pay nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from otp_behaviors import LocalRuntime
    from otp_behaviors.testing import RecordingRuntime, Simulation


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose seeds."""
    group = parser.getgroup("otp-behaviors")
    group.addoption(
        "--otp-seed",
        type=int,
        metavar="SEED",
        help="run simulations with this seed alone, to reproduce a failure",
    )
    group.addoption(
        "--otp-seeds", type=int, metavar="N", help="run each test with a simulation with the seeds 0 to N-1"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", "otp_seeds(n): run the test with the seeds 0 to n-1 (otp-behaviors)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once a seed."""
    if "otp_seed" not in metafunc.fixturenames:
        return
    only: int | None = metafunc.config.getoption("otp_seed")
    marker = metafunc.definition.get_closest_marker("otp_seeds")
    number: int | None = metafunc.config.getoption("otp_seeds") or (marker.args[0] if marker else None)
    if only is not None:
        metafunc.parametrize("otp_seed", [only])
    elif number is not None:
        metafunc.parametrize("otp_seed", range(number))


@pytest.fixture
def otp_seed() -> int:
    """The seed of this run: 0, or as `--otp-seed`, `--otp-seeds` or the marker `otp_seeds` say."""
    return 0


@pytest.fixture
def otp_simulation(otp_seed: int) -> Iterator[Simulation]:
    """A Simulation with the seed of this run."""
    with import_module("otp_behaviors.testing").Simulation(otp_seed) as simulation:
        yield simulation


@pytest.fixture
def otp_recorder() -> Iterator[RecordingRuntime]:
    """A RecordingRuntime."""
    recorder = import_module("otp_behaviors.testing").RecordingRuntime()
    yield recorder
    recorder.close()


@pytest.fixture
async def otp_runtime(anyio_backend_name: str) -> AsyncIterator[LocalRuntime]:
    """A LocalRuntime that is running, in tests marked with `anyio`."""
    async with import_module("otp_behaviors").LocalRuntime() as runtime:
        yield runtime

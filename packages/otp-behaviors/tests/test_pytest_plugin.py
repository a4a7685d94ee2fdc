"""The fixtures as a user's test run has them. Named after the module `otp_behaviors_pytest`."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

PLUGIN = ("-p", "otp_behaviors_pytest", "-p", "no:cacheprovider", "-p", "no:randomly")
"""As the entry point loads it; of the same name, so it is loaded once where it is installed."""

SEEDS = """
    import pytest
    from otp_behaviors import GenServer

    def test_once(otp_seed, otp_simulation):
        assert otp_simulation.seed == otp_seed

    @pytest.mark.otp_seeds(3)
    def test_thrice(otp_simulation):
        node = otp_simulation.node("a@host")
        assert otp_simulation.seed != 2
"""


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(*PLUGIN, "--strict-markers", "-W", "error", *args)


def test_seeds_come_from_the_marker(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SEEDS)
    result = run(pytester)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*test_thrice?2?*"])


def test_seeds_come_from_the_command_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SEEDS)
    run(pytester, "--otp-seeds", "2").assert_outcomes(passed=4)
    run(pytester, "--otp-seed", "2").assert_outcomes(passed=1, failed=1)


def test_recorder(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from otp_behaviors import GenServer

        class Echo(GenServer):
            def handle_call(self, request, caller):
                return request

        def test_it(otp_recorder):
            assert otp_recorder.call(otp_recorder.start(Echo), 1) == 1
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_runtime_on_both_event_loops(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from otp_behaviors import GenServer

        class Echo(GenServer):
            def handle_call(self, request, caller):
                return request

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
        async def test_it(otp_runtime):
            server = await otp_runtime.start(Echo)
            assert await server.call(1) == 1
        """
    )
    run(pytester).assert_outcomes(passed=2)


def test_a_run_without_the_fixtures_does_not_load_the_package(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it():
            assert "otp_behaviors" not in sys.modules
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_the_package_does_not_load_pytest() -> None:
    program = "import sys, otp_behaviors.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=50).returncode == 0

import pytest
from epmd_server import EpmdError
from epmd_server import _environment as environment
from epmd_server._addresses import ListenAddress


def test_port() -> None:
    assert environment.epmd_port({}) == 4369
    assert environment.epmd_port({"ERL_EPMD_PORT": ""}) == 4369
    assert environment.epmd_port({"ERL_EPMD_PORT": "4370"}) == 4370


@pytest.mark.parametrize("text", ["abc", "0", "-1", "65536", "4369x"])
def test_a_port_that_is_none(text: str) -> None:
    with pytest.raises(EpmdError, match="ERL_EPMD_PORT"):
        environment.epmd_port({"ERL_EPMD_PORT": text})


def test_addresses() -> None:
    loopback = [ListenAddress("127.0.0.1", required=False), ListenAddress("::1", required=False)]
    assert environment.listen_addresses({}) == loopback
    assert environment.listen_addresses({"ERL_EPMD_ADDRESS": "192.0.2.1"}) == [
        ListenAddress("192.0.2.1"),
        *loopback,
    ]


def test_relaxed_command_check_is_on_when_set() -> None:
    assert not environment.relaxed_command_check({})
    assert environment.relaxed_command_check({"ERL_EPMD_RELAXED_COMMAND_CHECK": ""})


def test_versions_can_only_be_narrowed() -> None:
    assert (environment.highest_version({}), environment.lowest_version({})) == (6, 5)
    assert environment.highest_version({"ERL_EPMD_DIST_HIGH": "5"}) == 5
    assert environment.highest_version({"ERL_EPMD_DIST_HIGH": "9"}) == 6
    assert environment.lowest_version({"ERL_EPMD_DIST_LOW": "6"}) == 6
    assert environment.lowest_version({"ERL_EPMD_DIST_LOW": "nonsense"}) == 5

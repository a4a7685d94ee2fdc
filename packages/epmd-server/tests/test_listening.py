import socket

import pytest
from epmd_server import AddressInUse, CannotListen
from epmd_server._addresses import ListenAddress
from epmd_server._listening import _check_wildcard, bind

LOOPBACK = ListenAddress("127.0.0.1")


def close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def test_all_addresses_get_the_same_port() -> None:
    sockets = bind(
        [LOOPBACK, ListenAddress("127.0.0.2", required=False), ListenAddress("::1", required=False)], 0
    )
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        assert sockets[0].getsockname()[0] == "127.0.0.1"
        assert all(not sock.getblocking() for sock in sockets)
    finally:
        close(sockets)


def test_a_missing_address_matters_only_when_it_is_required() -> None:
    missing = ListenAddress("192.0.2.77", required=False)
    sockets = bind([missing, LOOPBACK], 0)
    try:
        assert [sock.getsockname()[0] for sock in sockets] == ["127.0.0.1"]
    finally:
        close(sockets)
    with pytest.raises(CannotListen, match=r"192\.0\.2\.77"):
        bind([LOOPBACK, ListenAddress("192.0.2.77")], 0)
    with pytest.raises(CannotListen, match=r"192\.0\.2\.77"):
        bind([missing], 0)
    with pytest.raises(CannotListen, match="no address"):
        bind([], 0)


def test_a_port_in_use_matters_even_when_the_address_is_not_required() -> None:
    sockets = bind([LOOPBACK], 0)
    try:
        port = sockets[0].getsockname()[1]
        with pytest.raises(AddressInUse, match=f"port {port} of 127.0.0.1 is in use"):
            bind([ListenAddress("127.0.0.1", required=False)], port)
    finally:
        close(sockets)


@pytest.mark.parametrize("host", ["localhost", "nonsense", "256.1.1.1", "a..b"])
def test_names_are_not_addresses(host: str) -> None:
    with pytest.raises(CannotListen, match="cannot parse IP address"):
        bind([ListenAddress(host, required=False)], 0)


def test_one_address_failing_closes_the_others() -> None:
    sockets = bind([LOOPBACK], 0)
    port = sockets[0].getsockname()[1]
    close(sockets)
    with pytest.raises(CannotListen):
        bind([LOOPBACK, ListenAddress("192.0.2.77")], port)
    close(bind([LOOPBACK], port))


def test_an_epmd_on_all_addresses_is_found() -> None:
    sockets = bind([ListenAddress("0.0.0.0")], 0)
    port = sockets[0].getsockname()[1]
    try:
        with pytest.raises(OSError, match="in use"):
            _check_wildcard(socket.AF_INET, port)
    finally:
        close(sockets)
    _check_wildcard(socket.AF_INET, port)

import pytest
from epmd_server._addresses import ListenAddress, is_local_peer, parse_addresses, with_loopback


def test_lists_of_addresses() -> None:
    assert parse_addresses("192.0.2.1, 2001:db8::1 ,192.0.2.2") == ["192.0.2.1", "2001:db8::1", "192.0.2.2"]
    assert parse_addresses(" , ") == []


@pytest.mark.parametrize(
    ("hosts", "added"),
    [
        ([], ["127.0.0.1", "::1"]),
        (["192.0.2.1"], ["127.0.0.1", "::1"]),
        (["127.0.0.1"], ["::1"]),
        (["::1", "127.0.0.1"], []),
        (["0.0.0.0"], ["::1"]),
        (["0.0.0.0", "::"], []),
    ],
)
def test_loopback_is_added_and_may_be_missing(hosts: list[str], added: list[str]) -> None:
    required = [ListenAddress(host) for host in hosts]
    assert with_loopback([*hosts, *hosts]) == [
        *required,
        *(ListenAddress(host, required=False) for host in added),
    ]


@pytest.mark.parametrize(
    ("peer", "own", "local"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.9.8.7", "127.0.0.1", True),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.2", "192.0.2.1", False),
        ("192.0.2.1", "127.0.0.1", False),
        ("::1", "::1", True),
        ("2001:db8::1", "2001:db8::1", True),
        ("2001:db8::2", "2001:db8::1", False),
        ("fe80::1%eth0", "fe80::1%eth0", True),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.9", "::ffff:127.0.0.1", False),
        ("", "", False),
    ],
)
def test_local_peers(peer: str, own: str, local: bool) -> None:
    assert is_local_peer(peer, own) is local

from dataclasses import FrozenInstanceError

import pytest
from ergo_node import Epmd, Listen
from ergo_node._config import is_loopback


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("10.0.0.4", False),
        ("0.0.0.0", False),
        ("localhost.example", False),
        ("db", False),
        ("", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_defaults_are_those_of_otp() -> None:
    assert Epmd() == Epmd(port=None, embedded=True)
    assert Listen() == Listen(host=None, ports=(0,))


@pytest.mark.parametrize(("value", "field"), [(Epmd(), "port"), (Listen(), "host")])
def test_configuration_is_values(value: Epmd | Listen, field: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, field, None)

import pytest
from ergo_node import CookieMismatch, HandshakeRefused, NotConnected
from ergo_node._errors import failure_of
from erldist_proto import Closed, DistFlags


@pytest.mark.parametrize("reason", ["connection_closed", "setup_timeout", "protocol_error"])
def test_an_ended_handshake_keeps_its_text(reason: str) -> None:
    failure = failure_of(Closed(reason, "b@host did this"))
    assert type(failure) is NotConnected
    assert str(failure) == "b@host did this"


def test_different_cookies_say_what_to_do() -> None:
    failure = failure_of(Closed("cookie_mismatch", "cookie mismatch with b@host"))
    assert type(failure) is CookieMismatch
    assert str(failure).startswith("cookie mismatch with b@host")
    assert "the same cookie" in str(failure)


def test_a_refusal_carries_status_and_flags() -> None:
    flags = DistFlags.BIG_CREATION | DistFlags.V4_NC
    failure = failure_of(Closed("refused", "b@host refused us", status="not_allowed", missing=flags))
    assert isinstance(failure, HandshakeRefused)
    assert (str(failure), failure.status, failure.missing_flags) == (
        "b@host refused us",
        "not_allowed",
        flags,
    )

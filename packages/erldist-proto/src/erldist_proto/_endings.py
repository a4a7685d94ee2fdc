"""How connections end: the event for each way, with a text that says what has happened, and to whom."""

from erldist_proto._errors import ProtocolError
from erldist_proto._events import Closed
from erldist_proto._handshake import State


def closed_by_peer(state: State, peer: str, unread_bytes: int) -> Closed:
    """The peer closed the socket, or it broke."""
    if state is State.AWAIT_ACK:
        # OTP closes without a word when our digest is wrong, and hardly ever for anything else here.
        text = f"cookie mismatch with {peer}, most likely: it closed the connection on our digest"
        return Closed("cookie_mismatch", text)
    if state is State.CONNECTED:
        inside = f", {unread_bytes} bytes into a packet" if unread_bytes else ""
        return Closed("connection_closed", f"{peer} closed the connection{inside}")
    who = peer or "a peer"
    return Closed("connection_closed", f"{who} closed the connection during the handshake ({state})")


def closed_by_us(peer: str) -> Closed:
    """We were told to."""
    return Closed("disconnect", f"connection to {peer or 'a peer'} closed by us")


def too_slow(state: State, peer: str) -> Closed:
    """A step of the handshake took too long."""
    return Closed("setup_timeout", f"{peer or 'a peer'} was too slow in the handshake ({state})")


def silent(peer: str, tick_time: float) -> Closed:
    """Nothing came for so many seconds, not even a tick."""
    return Closed("net_tick_timeout", f"nothing from {peer} for {tick_time:g} seconds")


def broken(peer: str, error: ProtocolError) -> Closed:
    """The peer sent what no node sends."""
    return Closed("protocol_error", f"{peer or 'a peer'} broke the protocol: {error}", error)

"""How much a peer may make us hold: every limit named, with its reason."""

from dataclasses import dataclass
from typing import Any

from etf_codec import Atom, Limits

from erldist_proto._flags import DistFlags

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection accepts. Breaking a limit closes the connection with a reason that names it.

    Sizes are in bytes, times in seconds.
    """

    max_handshake_bytes: int = 1024
    """One handshake packet. The largest legal one carries a node name of 255 characters, about 270 bytes."""

    max_frame_bytes: int = 64 * MIB
    """One frame, when FRAGMENTS is negotiated.

    OTP cuts at 64 KiB, but sends a message that had to wait for the connection in one frame, whatever its
    size (seen with OTP 25: a 20 MB message, the first on a connection). So it is not below
    `max_message_bytes`.
    """

    max_message_bytes: int = 64 * MIB
    """One message, in one frame (without FRAGMENTS) or reassembled. Also holds for what we send."""

    max_open_fragments: int = 1024
    """Messages that have begun to arrive and are not complete; OTP opens one for each sending process."""

    max_fragment_bytes: int = 128 * MIB
    """What all incomplete messages together may hold, with a fixed overhead for each part."""

    max_fragment_age: float = 300.0
    """How long a message may stay incomplete."""

    terms: Limits | None = None
    """What one term may hold; None for the defaults of `etf_codec.Limits`."""

    def max_packet_bytes(self, flags: DistFlags) -> int:
        """What one packet may hold on a connection with these flags, after the handshake."""
        return self.max_frame_bytes if DistFlags.FRAGMENTS in flags else self.max_message_bytes


def term_options(limits: ConnectionLimits, none: Atom | None) -> dict[str, Any]:
    """The codec's options that differ from its defaults: with none of them it takes its quickest way."""
    options: dict[str, Any] = {}
    if limits.terms is not None:
        options["limits"] = limits.terms
    if none is not None:
        options["none"] = none
    return options

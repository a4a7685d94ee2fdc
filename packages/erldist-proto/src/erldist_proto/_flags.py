"""Capability flags, and which of them a connection needs (ERTS: Distribution Protocol; dist.hrl)."""

from enum import IntFlag


class DistFlags(IntFlag):
    """The `DFLAG_*` bits of dist.hrl. A node uses towards a peer what both have set."""

    PUBLISHED = 1 << 0
    """Visible. Without it on either side the connection is hidden for both."""
    ATOM_CACHE = 1 << 1
    EXTENDED_REFERENCES = 1 << 2
    DIST_MONITOR = 1 << 3
    FUN_TAGS = 1 << 4
    DIST_MONITOR_NAME = 1 << 5
    HIDDEN_ATOM_CACHE = 1 << 6
    NEW_FUN_TAGS = 1 << 7
    EXTENDED_PIDS_PORTS = 1 << 8
    EXPORT_PTR_TAG = 1 << 9
    BIT_BINARIES = 1 << 10
    NEW_FLOATS = 1 << 11
    UNICODE_IO = 1 << 12
    DIST_HDR_ATOM_CACHE = 1 << 13
    SMALL_ATOM_TAGS = 1 << 14
    UTF8_ATOMS = 1 << 16
    MAP_TAG = 1 << 17
    BIG_CREATION = 1 << 18
    SEND_SENDER = 1 << 19
    BIG_SEQTRACE_LABELS = 1 << 20
    EXIT_PAYLOAD = 1 << 22
    FRAGMENTS = 1 << 23
    HANDSHAKE_23 = 1 << 24
    UNLINK_ID = 1 << 25
    MANDATORY_25_DIGEST = 1 << 26
    """Short for everything OTP 25 made mandatory. (The documents say bit 36; every release uses 26.)"""
    SPAWN = 1 << 32
    NAME_ME = 1 << 33
    """Not a capability: asks the acceptor for a node name."""
    V4_NC = 1 << 34
    ALIAS = 1 << 35
    ALTACT_SIG = 1 << 37
    NATIVE_RECORDS = 1 << 38


NO_FLAGS = DistFlags(0)

MANDATORY_25 = (
    DistFlags.EXTENDED_REFERENCES
    | DistFlags.FUN_TAGS
    | DistFlags.NEW_FUN_TAGS
    | DistFlags.EXTENDED_PIDS_PORTS
    | DistFlags.EXPORT_PTR_TAG
    | DistFlags.BIT_BINARIES
    | DistFlags.NEW_FLOATS
    | DistFlags.UTF8_ATOMS
    | DistFlags.MAP_TAG
    | DistFlags.BIG_CREATION
    | DistFlags.HANDSHAKE_23
)
"""What OTP 25 demands of a peer, 0x1070f94."""

MANDATORY_26 = MANDATORY_25 | DistFlags.V4_NC | DistFlags.UNLINK_ID
"""What OTP 26 to 29 demand of a peer, 0x403070f94."""

MANDATORY_FLAGS = MANDATORY_25 & ~(DistFlags.BIG_CREATION | DistFlags.HANDSHAKE_23)
"""What we demand: the tags we send that have no older form, as BIG_CREATION and the new handshake do."""

DEFAULT_FLAGS = (
    MANDATORY_26
    | DistFlags.PUBLISHED
    | DistFlags.DIST_MONITOR
    | DistFlags.DIST_MONITOR_NAME
    | DistFlags.UNICODE_IO
    | DistFlags.DIST_HDR_ATOM_CACHE
    | DistFlags.SMALL_ATOM_TAGS
    | DistFlags.SEND_SENDER
    | DistFlags.BIG_SEQTRACE_LABELS
    | DistFlags.EXIT_PAYLOAD
    | DistFlags.FRAGMENTS
    | DistFlags.MANDATORY_25_DIGEST
    | DistFlags.SPAWN
    | DistFlags.ALIAS
    | DistFlags.ALTACT_SIG
)
"""What this package implements, 0x2d07df7fbd: the offer of OTP 28. A peer sends us nothing beyond it."""


def expand(flags: DistFlags) -> DistFlags:
    """The flags with MANDATORY_25_DIGEST spelled out, as a receiver must read them."""
    return flags | MANDATORY_25 if DistFlags.MANDATORY_25_DIGEST in flags else flags


def flag_names(flags: DistFlags) -> str:
    """The set flags for a sentence: `"V4_NC and UNLINK_ID"`; an unknown bit by its number."""
    known = [flag for flag in DistFlags if flag in flags]
    names = [str(flag.name) for flag in known]
    rest = int(flags) & ~sum(known)
    names += [f"bit {bit}" for bit in range(rest.bit_length()) if rest >> bit & 1]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)

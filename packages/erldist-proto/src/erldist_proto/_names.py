"""Node names: what one is, who we are, and which of two simultaneous connections survives."""

from dataclasses import dataclass, field
from typing import NamedTuple, Self

from erldist_proto._errors import LocalProtocolError
from erldist_proto._flags import DEFAULT_FLAGS, DistFlags

MAX_NAME_CHARACTERS = 255
"""A node name is an atom, and an atom has at most 255 characters."""

MAX_CREATION = 0xFFFF_FFFF


class NodeName(NamedTuple):
    """A node name in its two parts: `NodeName("alice", "host")` is `alice@host`."""

    name: str
    host: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take `name@host` apart.

        Raises:
            ValueError: It is no node name; the message says what is missing.
        """
        name, at, host = text.partition("@")
        if not at or not host:
            raise ValueError(f"node name {text!r} has no host part: use '{name or 'name'}@host'")
        if not name:
            raise ValueError(f"node name {text!r} has nothing before '@': use 'name{text}'")
        if "@" in host:
            raise ValueError(f"node name {text!r} has more than one '@'")
        if len(text) > MAX_NAME_CHARACTERS:
            raise ValueError(f"node name has {len(text)} characters, {MAX_NAME_CHARACTERS} are the most")
        if not text.isprintable():
            raise ValueError(f"node name {text!r} has a character that cannot be printed")
        return cls(name, host)

    def __str__(self) -> str:
        return f"{self.name}@{self.host}"


@dataclass(frozen=True, slots=True)
class LocalNode:
    """Who we are in a handshake.

    Args:
        name: Our node name, `name@host`; the host alone for a dynamic node (see `LocalNode.dynamic`).
        creation: 32 bits that tell this run of the node from earlier ones, usually EPMD's answer; 0 is
            reserved.
        flags: What we offer; the default is all this package implements.
        hidden: Do not offer PUBLISHED: the connection stays out of `nodes()` on the other side.
    """

    name: str
    creation: int
    flags: DistFlags = DEFAULT_FLAGS
    hidden: bool = False
    is_dynamic: bool = field(init=False)

    def __post_init__(self) -> None:
        flags = DistFlags(self.flags)
        dynamic = DistFlags.NAME_ME in flags
        if not dynamic:
            NodeName.parse(self.name)
        if not 0 <= self.creation <= MAX_CREATION:
            raise ValueError(f"creation {self.creation} does not fit 32 bits")
        if not 0 <= flags < 1 << 64:
            raise ValueError(f"flags {int(flags):#x} do not fit 64 bits")
        if self.hidden or dynamic:
            flags &= ~DistFlags.PUBLISHED
        object.__setattr__(self, "flags", flags)
        object.__setattr__(self, "is_dynamic", dynamic)

    @classmethod
    def dynamic(cls, host: str, flags: DistFlags = DEFAULT_FLAGS) -> Self:
        """A node that asks the node it connects to for a name (`erl -sname undefined`); always hidden."""
        if not host or "@" in host:
            raise ValueError(f"a dynamic node gives only its host part, not {host!r}")
        return cls(host, 0, flags | DistFlags.NAME_ME, hidden=True)


def simultaneous_status(our_name: str, peer: str) -> str:
    """The status for a peer that connects to us while we connect to it.

    Both nodes reach the same verdict: the connection which the node with the greater name began survives.

    Returns:
        `"nok"`: refuse, our own attempt goes on. `"ok_simultaneous"`: accept, and drop our own attempt.
    """
    if our_name == peer:
        raise LocalProtocolError(f"{peer} has our own name: refuse it with Refuse('nok')")
    return "nok" if our_name > peer else "ok_simultaneous"

"""Pids, ports and references: who a message is from, and which answer belongs to which question.

They are made once per message, so a constructor stores into the slots of a plain sibling class and then
turns the object into the sealed public class: half the cost of `object.__setattr__` for every field.
"""

from typing import Any, NoReturn, final


class Sealed:
    """What the term classes share: equality by value, and no change after construction."""

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is immutable: cannot delete {name!r}")

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self).__name__, *self._values()))

    def __repr__(self) -> str:
        fields = zip(self.__match_args__, self._values(), strict=True)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in fields)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()


class _PidFields:
    __slots__ = ("_hash", "creation", "id", "node", "serial")
    node: str
    id: int
    serial: int
    creation: int
    _hash: int


@final
class Pid(_PidFields, Sealed):
    """A process identifier.

    Args:
        node: Name of its node, `"name@host"`.
        id: 32 bits; 15 for peers older than OTP 24.
        serial: 32 bits; 13 for peers older than OTP 24.
        creation: 32 bits: which run of the node. 0 is unknown.
    """

    __slots__ = ()
    __match_args__ = ("node", "id", "serial", "creation")

    def __new__(cls, node: str, id: int, serial: int, creation: int) -> "Pid":
        self = _PidFields()
        self.node = node
        self.id = id
        self.serial = serial
        self.creation = creation
        # Kept, since pids are keys for as long as they live. The node's name comes first: its hash is random
        # in each run, so a peer cannot compute pids that collide.
        self._hash = hash((node, id, serial, creation))
        self.__class__ = Pid
        return self  # type: ignore[return-value]  # the line above made it one

    def __eq__(self, other: object) -> bool:
        if type(other) is not Pid:
            return NotImplemented
        return (
            self.id == other.id
            and self.serial == other.serial
            and self.node == other.node
            and self.creation == other.creation
        )

    def __hash__(self) -> int:
        return self._hash


class _PortFields:
    __slots__ = ("creation", "id", "node")
    node: str
    id: int
    creation: int


@final
class Port(_PortFields, Sealed):
    """A port identifier.

    Args:
        node: Name of its node, `"name@host"`.
        id: 64 bits; 28 for peers older than OTP 24.
        creation: 32 bits: which run of the node. 0 is unknown.
    """

    __slots__ = ()
    __match_args__ = ("node", "id", "creation")

    def __new__(cls, node: str, id: int, creation: int) -> "Port":
        self = _PortFields()
        self.node = node
        self.id = id
        self.creation = creation
        self.__class__ = Port
        return self  # type: ignore[return-value]  # the line above made it one


class _ReferenceFields:
    __slots__ = ("creation", "ids", "node")
    node: str
    creation: int
    ids: tuple[int, ...]


@final
class Reference(_ReferenceFields, Sealed):
    """A reference, as `make_ref`, monitors and aliases give.

    Args:
        node: Name of its node, `"name@host"`.
        creation: 32 bits: which run of the node. 0 is unknown.
        ids: Up to 5 words of 32 bits, in the order of the wire; every OTP release takes 3, of which the first
            has 18 bits.
    """

    __slots__ = ()
    __match_args__ = ("node", "creation", "ids")

    def __new__(cls, node: str, creation: int, ids: tuple[int, ...]) -> "Reference":
        self = _ReferenceFields()
        self.node = node
        self.creation = creation
        self.ids = ids
        self.__class__ = Reference
        return self  # type: ignore[return-value]  # the line above made it one

    def __eq__(self, other: object) -> bool:
        if type(other) is not Reference:
            return NotImplemented
        return self.ids == other.ids and self.creation == other.creation and self.node == other.node

    def __hash__(self) -> int:
        return hash((self.node, self.creation, self.ids))

"""What a control message is: the machinery under `_control_messages` (ERTS: Distribution Protocol).

The order of a class's fields is the order on the wire, so no class has parsing code of its own;
`AltactSigSend`, whose arity varies, is the one exception.
"""

from inspect import get_annotations
from operator import attrgetter, itemgetter
from types import UnionType
from typing import Any, ClassVar, Final, TypeVar, dataclass_transform, get_args, get_origin

from etf_codec import Atom, Pid, Term

from erldist_proto._errors import LocalProtocolError, RemoteProtocolError
from erldist_proto._record import record

UNUSED: Final = Atom("")

SENDERS: Final = ("from_pid", "from_proc")
"""What the fields are called that name the sending process."""

Shape = tuple[type | tuple[type, ...], ...]


class ControlMessage:
    """What all control messages share. Immutable by contract, compared by value, usable with `match`."""

    __slots__ = ()

    op: ClassVar[int]
    """The operation's number, first element of the tuple."""
    has_payload: ClassVar[bool] = False
    """A second term follows the tuple."""
    owned: ClassVar[str] = ""
    """The field that, where it holds a pid, must hold one of the sending node, or the connection closes."""

    sender: ClassVar[str]
    """The field that names the sending process, where there is one; it is a pid or, sometimes, a name."""

    arity: ClassVar[int]
    shape: ClassVar[Shape]
    to_tuple: ClassVar["attrgetter[tuple[Term, ...]]"]
    to_fields: ClassVar["itemgetter[Any]"]

    def sent_by(self) -> Pid | None:
        """The process it is from, as far as the message tells."""
        sender = getattr(self, self.sender, None) if self.sender else None
        return sender if isinstance(sender, Pid) else None

    def to_term(self) -> tuple[Term, ...]:
        """The tuple as it goes on the wire."""
        return self.to_tuple(self)

    @classmethod
    def adjusted(cls, term: tuple[Term, ...]) -> tuple[Term, ...]:
        """A tuple of another length than `arity`, made to fit.

        Raises:
            RemoteProtocolError: The operation has one arity only.
        """
        raise wrong_arity(cls, term)

    def fault(self) -> str:
        """What is wrong with the values although their types are right; empty when nothing is."""
        return ""


M = TypeVar("M", bound=ControlMessage)

OPS: Final[dict[int, type[ControlMessage]]] = {}
"""Every operation by its number, in the order of `_control_messages`."""

CHECKED: Final[set[type[ControlMessage]]] = set()
"""The classes with a `fault`, or a `to_term`, of their own."""


def _types(annotation: Any) -> Any:
    """What `isinstance` can test of an annotation; `Term` is anything."""
    if annotation is Any:
        return object
    if isinstance(annotation, UnionType):
        return get_args(annotation)
    return get_origin(annotation) or annotation


@dataclass_transform(frozen_default=True)
def control_message(cls: type[M]) -> type[M]:
    """Make a record of the class, enter it in OPS, and derive from its annotations how it is read.

    An annotation `unused: ClassVar` keeps a place on the wire whose content no receiver may rely on.
    """
    elements = get_annotations(cls)
    made = record(cls)
    if not hasattr(made, "sender"):
        made.sender = next((name for name in SENDERS if name in elements), "")
    made.arity = 1 + len(elements)
    made.shape = (int, *(object if name == "unused" else _types(kind) for name, kind in elements.items()))
    made.to_tuple = attrgetter("op", *elements)
    kept = [index for index, name in enumerate(elements, 1) if name != "unused"]
    # An itemgetter of one index gives no tuple; the one class with a single field has it last.
    made.to_fields = itemgetter(*kept) if len(kept) > 1 else itemgetter(slice(kept[0], None))
    OPS[made.op] = made
    if made.fault is not ControlMessage.fault or made.to_term is not ControlMessage.to_term:
        CHECKED.add(made)
    return made


def parse(term: Term) -> ControlMessage:
    """The message of a control tuple.

    Raises:
        RemoteProtocolError: No tuple, unknown operation, wrong arity, or an element of the wrong type:
            whatever makes OTP drop the connection as well.
    """
    if type(term) is not tuple or not term or type(term[0]) is not int:
        raise RemoteProtocolError(
            f"control message is no tuple that begins with an operation: {type(term).__name__}"
        )
    cls = OPS.get(term[0])
    if cls is None:
        raise RemoteProtocolError(f"control message with the unknown operation {_brief(term[0])}")
    if len(term) != cls.arity:
        term = cls.adjusted(term)
    if not all(map(isinstance, term, cls.shape)):
        raise RemoteProtocolError(_misfit(cls, term))
    message = cls(*cls.to_fields(term))
    if cls in CHECKED and (fault := message.fault()):
        raise RemoteProtocolError(f"{cls.__name__}: {fault}")
    return message


def serialize(message: ControlMessage) -> tuple[Term, ...]:
    """The control tuple of a message.

    Raises:
        LocalProtocolError: A field holds what the peer would close the connection for.
    """
    checked = type(message) in CHECKED
    term = message.to_term() if checked else message.to_tuple(message)
    if not all(map(isinstance, term, message.shape)):
        raise LocalProtocolError(_misfit(type(message), term))
    if checked and (fault := message.fault()):
        raise LocalProtocolError(f"{type(message).__name__}: {fault}")
    return term


def wrong_arity(cls: type[ControlMessage], term: tuple[Term, ...]) -> RemoteProtocolError:
    """The error for a tuple of a length its operation does not have."""
    return RemoteProtocolError(f"{cls.__name__}: a tuple of {len(term)} elements, it must have {cls.arity}")


def _misfit(cls: type[ControlMessage], term: tuple[Term, ...]) -> str:
    names = ("op", *get_annotations(cls))
    index = next(
        i for i, (value, kind) in enumerate(zip(term, cls.shape, strict=True)) if not isinstance(value, kind)
    )
    kinds = cls.shape[index]
    wanted = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
    return f"{cls.__name__}: {names[index]} is of type {type(term[index]).__name__}, it must be {wanted}"


def _brief(number: int) -> str:
    """A number for a message: printing a huge one costs quadratic time, and CPython refuses."""
    return str(number) if number.bit_length() <= 64 else f"of {number.bit_length()} bits"

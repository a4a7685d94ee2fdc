"""The struct that channels of Phoenix broadcast."""

from dataclasses import dataclass
from typing import ClassVar, Final

from etf_codec import Atom, MismatchError, Term, from_term, to_term

STRUCT: Final = Atom("__struct__")
BROADCAST: Final = Atom("Elixir.Phoenix.Socket.Broadcast")


# Its annotations are no text, as in most files: `from_term` could not look them up at its public home.
@dataclass(frozen=True, slots=True)
class Broadcast:
    """A `%Phoenix.Socket.Broadcast{}`: an event for the clients of a channel.

    Args:
        topic: the topic, `room:1`.
        event: the name of the event, `new_msg`.
        payload: what comes with it; for clients a map of what JSON can hold.
    """

    __etf_name__: ClassVar[str] = "Phoenix.Socket.Broadcast"

    topic: str
    event: str
    payload: Term


def as_struct(message: Term) -> Term:
    """Return a message as it is sent: a `Broadcast` as a struct, any other as it is."""
    return to_term(message, "struct") if isinstance(message, Broadcast) else message


def as_broadcast(message: Term) -> Term:
    """Return a message as subscribers get it: a `Broadcast` where it is one, else the term."""
    if isinstance(message, dict) and message.get(STRUCT) == BROADCAST:
        try:
            return from_term(message, Broadcast)
        except MismatchError:
            pass
    return message

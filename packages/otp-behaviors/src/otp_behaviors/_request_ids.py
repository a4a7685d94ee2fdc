"""Requests answered later, as a message: `gen_server:send_request`, and collections of them.

In a callback `self.pending = self.send_request("store", request)` does not wait, and in `handle_info`
`self.check_response(message, self.pending)` is the reply, or NO_REPLY if the message is something else.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from etf_codec import ImproperList, Reference, Term

from otp_behaviors._aliases import ALIAS
from otp_behaviors._errors import NO_REPLY
from otp_behaviors._signals import Down


class RequestId(NamedTuple):
    """A request that was sent (`gen_server:request_id()`).

    Attributes:
        ref: the alias the reply goes to, and the monitor of the server.
    """

    ref: Reference


class Response(NamedTuple):
    """The response to one request of a collection.

    Attributes:
        label: what the request was labelled with.
        reply: the reply; NO_REPLY if there is an error.
        error: why there is no reply, or None.
    """

    label: Any
    reply: Any
    error: Exception | None

    def result(self) -> Any:
        """Return the reply, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.reply


class RequestIds:
    """Requests with a label each (`gen_server:reqids_new/0`); changed in place, unlike OTP's.

    `len(ids)` is `reqids_size/1`.
    """

    __slots__ = ("_labelled",)

    def __init__(self) -> None:
        self._labelled: dict[Reference, tuple[RequestId, Any]] = {}

    def __len__(self) -> int:
        return len(self._labelled)

    def __contains__(self, request: object) -> bool:
        return isinstance(request, RequestId) and request.ref in self._labelled

    def add(self, request: RequestId, label: Any) -> None:
        """Put a request in (`reqids_add/3`).

        Raises:
            ValueError: it is in already.
        """
        if request.ref in self._labelled:
            raise ValueError("the request is in this collection already")
        self._labelled[request.ref] = (request, label)

    def to_list(self) -> list[tuple[RequestId, Any]]:
        """Return the requests with their labels (`reqids_to_list/1`), as they were added."""
        return list(self._labelled.values())

    def find(self, message: Term) -> tuple[RequestId, Any] | None:
        """Return the request that a message answers, and its label."""
        ref = answered(message)
        return None if ref is None else self._labelled.get(ref)

    def discard(self, request: RequestId) -> None:
        """Take a request out."""
        self._labelled.pop(request.ref, None)


def answered(message: Term) -> Reference | None:
    """Return the reference of the request that a message may answer: `{[alias|Ref], Reply}`, or a `Down`."""
    if type(message) is Down:
        return message.ref
    if type(message) is not tuple or len(message) != 2:
        return None
    tag = message[0]
    if type(tag) is ImproperList and len(tag.items) == 1 and tag.items[0] is ALIAS:
        return tag.tail if isinstance(tag.tail, Reference) else None
    return None


def reply_in(message: Term) -> Term:
    """Return the reply that a message carries; NO_REPLY of a `Down`."""
    return NO_REPLY if type(message) is Down else message[1]

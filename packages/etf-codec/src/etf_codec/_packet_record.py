"""What a tuple in a packet becomes."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class PacketRecord(NamedTuple):
    """What `PacketReader` makes of a tuple `{Number, Element, ...}`: an object, of which nothing is called.

    Attributes:
        made: The class of the object.
        names: The attributes that take the elements behind the number, in their order.
        types: Of what type each of them is, exactly, or of which types one is, or which integer it is. Where
            an element is another one, nothing is made.
        has_term: Whether a term follows the tuple.
        node: Of which node the first of the elements must be, a pid then; None for any.
        others: What other attributes are.
    """

    made: type
    names: tuple[str, ...]
    types: tuple[type | tuple[type, ...] | int, ...]
    has_term: bool = True
    node: str | None = None
    others: Mapping[str, Any] = {}

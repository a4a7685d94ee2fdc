"""What a tuple in a packet becomes."""

from typing import NamedTuple


class PacketRecord(NamedTuple):
    """What `PacketReader` makes of a tuple `{Number, Element, ...}`: an object, of which nothing is called.

    Attributes:
        made: The class of the object.
        names: The attributes that take the elements behind the number, in their order.
        types: Of what type each of them is, exactly, or of which types one is. Where an element is of
            another one, nothing is made.
        has_term: Whether a term follows the tuple.
        node: Of which node the first of the elements must be, a pid then; None for any.
    """

    made: type
    names: tuple[str, ...]
    types: tuple[type | tuple[type, ...], ...]
    has_term: bool = True
    node: str | None = None

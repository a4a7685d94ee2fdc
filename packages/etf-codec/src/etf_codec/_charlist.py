"""Erlang's other kind of text: a list of code points, which `decode` gives as a list of integers."""

from collections.abc import Iterable

from ._errors import MismatchError


def charlist(characters: Iterable[int]) -> str:
    """The text of a charlist, such as an Erlang string is.

    Args:
        characters: Code points.

    Raises:
        MismatchError: An element is not the code point of a character.
    """
    pieces: list[str] = []
    try:
        pieces.extend(map(chr, characters))
    except (TypeError, ValueError, OverflowError):
        raise MismatchError("not the code point of a character", f"[{len(pieces)}]") from None
    return "".join(pieces)

"""The class decorator for what is created once per message."""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """A slotted dataclass that type checkers hold to be frozen.

    At run time it is not: `frozen=True` makes every field an `object.__setattr__` call and creation three
    times as slow, and one of these is made for each message received.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)

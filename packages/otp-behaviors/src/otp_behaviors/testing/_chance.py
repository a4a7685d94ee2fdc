"""Chance from a seed: the same on every machine and version of Python, so that seeds keep their meaning.

The generator is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

Item = TypeVar("Item")

MASK: Final = (1 << 64) - 1
GAMMA: Final = 0x9E3779B97F4A7C15


class Chance:
    """A stream of numbers that depends on nothing but its seed.

    Args:
        seed: any integer.
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & MASK

    def bits(self) -> int:
        """Return 64 bits."""
        self._state = z = (self._state + GAMMA) & MASK
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        return z ^ z >> 31

    def below(self, limit: int) -> int:
        """Return an integer from 0 up to, and without, `limit`."""
        return self.bits() * limit >> 64

    def between(self, low: float, high: float) -> float:
        """Return a number from `low` up to `high`."""
        return low + (high - low) * (self.bits() >> 11) / (1 << 53)

    def choice(self, items: Sequence[Item]) -> Item:
        """Return one of the items.

        Raises:
            IndexError: there are none.
        """
        return items[self.below(len(items))]

    def happens(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.between(0.0, 1.0) < probability

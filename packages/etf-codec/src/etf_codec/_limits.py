"""How much of anything one term may hold. Checked before memory is spent, in both directions."""

from sys import maxsize, version_info
from typing import Final

# Hashing or comparing a tuple some 10,000 deep overflows the C stack of a 512 KiB thread, and CPython
# dies of it (python/cpython#154318). So depth is a matter of memory safety, and has a ceiling. CPython 3.13
# dies of freeing maps within maps, too.
DEPTH_CEILING: Final = 2000 if version_info[:2] == (3, 13) else 4000

# Where other codecs stand: cbor2 400, msgpack 511.
MAX_DEPTH: Final = 512
MAX_BYTES: Final = 64 * 1024 * 1024
# A Python object takes 50-100 bytes, an element on the wire as little as one: bytes alone bound nothing.
MAX_ELEMENTS: Final = 10_000_000
# OTP itself refuses integers of more than a few megabits (`system_limit`).
MAX_BIGINT_BYTES: Final = 1024 * 1024
# OTP's own limit of elements in a tuple.
MAX_TUPLE_ARITY: Final = 16_777_215
# Chance alone gives a large map a handful of equal 64-bit hashes at most; an attacker needs thousands.
MAX_KEY_COLLISIONS: Final = 64


class Limits:
    """Bounds on one term. `None` lifts a bound, except that of the depth.

    Args:
        max_depth: Containers within containers, 1 to 4000, on CPython 3.13 to 2000.
        max_bytes: Size of the external form, read or written.
        max_uncompressed_bytes: Size that a compressed term may inflate to.
        max_elements: Elements of all containers together.
        max_bigint_bytes: Magnitude of one integer.
        max_tuple_arity: Elements of one tuple.
        max_key_collisions: Keys of one map that share a hash with another of its keys.

    Raises:
        ValueError: A bound is not a positive integer, or `max_depth` is above its ceiling.
    """

    __slots__ = (
        "max_bigint_bytes",
        "max_bytes",
        "max_depth",
        "max_elements",
        "max_key_collisions",
        "max_tuple_arity",
        "max_uncompressed_bytes",
    )

    def __init__(
        self,
        *,
        max_depth: int = MAX_DEPTH,
        max_bytes: int | None = MAX_BYTES,
        max_uncompressed_bytes: int | None = MAX_BYTES,
        max_elements: int | None = MAX_ELEMENTS,
        max_bigint_bytes: int | None = MAX_BIGINT_BYTES,
        max_tuple_arity: int | None = MAX_TUPLE_ARITY,
        max_key_collisions: int | None = MAX_KEY_COLLISIONS,
    ) -> None:
        if not 1 <= max_depth <= DEPTH_CEILING:
            raise ValueError(
                f"max_depth must be 1 to {DEPTH_CEILING}, not {max_depth}: deeper terms crash CPython"
            )
        self.max_depth = max_depth
        self.max_bytes = _bound("max_bytes", max_bytes)
        self.max_uncompressed_bytes = _bound("max_uncompressed_bytes", max_uncompressed_bytes)
        self.max_elements = _bound("max_elements", max_elements)
        self.max_bigint_bytes = _bound("max_bigint_bytes", max_bigint_bytes)
        self.max_tuple_arity = _bound("max_tuple_arity", max_tuple_arity)
        self.max_key_collisions = _bound("max_key_collisions", max_key_collisions)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Limits):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self.__slots__))

    def __repr__(self) -> str:
        return f"Limits({', '.join(f'{name}={getattr(self, name)}' for name in self.__slots__)})"


def _bound(name: str, value: int | None) -> int:
    """A bound as an integer; no bound is the largest size there is."""
    if value is None:
        return maxsize
    if value < 1:
        raise ValueError(f"{name} must be a positive integer or None, not {value}")
    return value


DEFAULT_LIMITS: Final = Limits()

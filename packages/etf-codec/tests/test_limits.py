"""Limits say what they accept."""

import pytest
from etf_codec import Limits


@pytest.mark.parametrize("depth", [0, -1, 4001])
def test_the_depth_has_a_ceiling(depth: int) -> None:
    with pytest.raises(ValueError, match="1 to 4000"):
        Limits(max_depth=depth)


def test_bounds_are_positive_or_none() -> None:
    with pytest.raises(ValueError, match="max_bytes must be a positive integer"):
        Limits(max_bytes=0)
    assert Limits(max_bytes=None).max_bytes > 2**40


def test_equal_limits_are_equal() -> None:
    assert Limits(max_depth=5) == Limits(max_depth=5)
    assert hash(Limits(max_depth=5)) == hash(Limits(max_depth=5))
    assert Limits() != Limits(max_depth=5)
    assert "max_depth=5" in repr(Limits(max_depth=5))

"""Charlists."""

from typing import Any

import pytest
from etf_codec import MismatchError, charlist


def test_code_points_become_text() -> None:
    assert charlist([104, 233, 8364]) == "hé€"
    assert charlist([]) == ""


@pytest.mark.parametrize("bad", [-1, 0x110000, "x", 10**30])
def test_what_is_no_character(bad: Any) -> None:
    with pytest.raises(MismatchError, match="code point"):
        charlist([104, bad])

"""`=:=`: equality as Erlang has it, where 1, 1.0 and true are three things."""

from __future__ import annotations

from etf_codec import Term


def same(term: Term, other: Term) -> bool:
    """Tell whether two terms are one."""
    if term is other:
        return True
    if type(term) is not type(other):
        return False
    if isinstance(term, tuple | list):
        return len(term) == len(other) and all(map(same, term, other))
    return bool(term == other)

"""Groups of processes: which process is in which group, how many times. The table behind `pg`.

A group is any term. Two terms are the same group if Erlang's `=:=` holds between them, so the table keeps
groups by their external form: `1`, `1.0` and `true` are three groups, a list and a `FrozenList` are one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from etf_codec import Atom, EncodeError, Limits, Pid, Term, decode, encode

Key: TypeAlias = bytes
"""A group as a key: its external form."""

MESSAGE_DEPTH: Final = 16
"""Levels that a message of `pg` puts around a group. A deeper group could be joined, and never be sent."""

LIMITS: Final = Limits(max_depth=Limits().max_depth - MESSAGE_DEPTH)


def key_of(group: Term, none: Atom | None = None) -> Key:
    """Return the key of a group.

    Args:
        group: any term.
        none: the atom that None stands for.

    Raises:
        EncodeError: it has no external form, or is nested too deep to be sent.
    """
    key: Key = encode(group, deterministic=True, none=none, limits=LIMITS)
    return key


def as_received(key: Key, none: Atom | None = None) -> Term:
    """Return the group of a key as other nodes see it: text as a binary, lists that nobody else changes."""
    return decode(key, none=none)


class Groups:
    """Memberships, each as often as it was joined. A group without members is not in it."""

    __slots__ = ("_members", "_terms")

    def __init__(self) -> None:
        self._members: dict[Key, Counter[Pid]] = {}
        self._terms: dict[Key, Term] = {}

    def __iter__(self) -> Iterator[Key]:
        return iter(self._members)

    def __contains__(self, key: Key) -> bool:
        return key in self._members

    def add(self, key: Key, group: Term, pids: Iterable[Pid]) -> None:
        """Let processes join a group."""
        joined = Counter(pids)
        if not joined:
            return
        members = self._members.get(key)
        if members is None:
            self._members[key], self._terms[key] = joined, group
        else:
            members.update(joined)

    def remove(self, key: Key, pids: Iterable[Pid]) -> list[Pid]:
        """Let processes leave a group, once for each time they are named; return those that were in it."""
        members = self._members.get(key)
        if members is None:
            return []
        left = []
        for pid in pids:
            count = members.get(pid, 0)
            if count:
                left.append(pid)
                if count == 1:
                    del members[pid]
                else:
                    members[pid] = count - 1
        if not members:
            del self._members[key], self._terms[key]
        return left

    def members(self, key: Key) -> list[Pid]:
        """Return the members of a group, each as often as it joined."""
        members = self._members.get(key)
        return [] if members is None else list(members.elements())

    def count(self, key: Key) -> Counter[Pid]:
        """Return how often each member has joined a group; not to be changed."""
        return self._members.get(key) or Counter()

    def group(self, key: Key) -> Term:
        """Return the group of a key that is in the table."""
        return self._terms[key]

    def groups(self) -> list[Term]:
        """Return all groups."""
        return list(self._terms.values())

    def entries(self) -> list[tuple[Term, list[Pid]]]:
        """Return all groups and their members."""
        return [(group, self.members(key)) for key, group in self._terms.items()]


def pids_of(term: Term) -> list[Pid] | None:
    """Return a pid, or a list of pids, as a list; None if the term is neither."""
    if isinstance(term, Pid):
        return [term]
    if isinstance(term, list) and all(isinstance(each, Pid) for each in term):
        return term
    return None


def groups_of(entries: Iterable[Term], none: Atom | None = None, *, frozen: bool = False) -> Groups | None:
    """Return pairs of a group and its pids, as other nodes send them, as a table; None if they are not that.

    Args:
        entries: the pairs; of pairs with the same group the last one counts.
        none: the atom that None stands for.
        frozen: whether the groups were keys of a map.
    """
    groups = Groups()
    for entry in entries:
        pids = pids_of(entry[1]) if isinstance(entry, tuple) and len(entry) == 2 else None
        if pids is None:
            return None
        try:
            key = key_of(entry[0], none)
        except EncodeError:
            return None
        groups.remove(key, groups.members(key))
        groups.add(key, as_received(key, none) if frozen else entry[0], pids)
    return groups

"""Which nodes a cluster has: answers, names, changes. No network."""

import pytest
from ergo_node import DiscoveryFailed
from ergo_node._membership import MAX_FOUND, Change, Wanted, named
from erldist_proto import NodeName
from hypothesis import given
from hypothesis import strategies as st


def test_hosts_become_nodes() -> None:
    assert named("app", ["10.0.0.2", "10.0.0.1"], "q") == {
        "app@10.0.0.1": "10.0.0.1",
        "app@10.0.0.2": "10.0.0.2",
    }
    assert named("app", ["fd00::4"], "q") == {"app@fd00::4": "fd00::4"}
    assert named("app", [], "q") == {}


@pytest.mark.parametrize("host", ["", "a@b", "a\nb", "\x00", "x" * 300])
def test_what_makes_no_name_is_left_out(host: str) -> None:
    assert list(named("app", [host, "10.0.0.1"], "q")) == ["app@10.0.0.1"]


@given(st.lists(st.text()))
def test_whatever_the_answer_says_names_are_names(hosts: list[str]) -> None:
    for node, host in named("app", hosts, "q").items():
        assert NodeName.parse(node) == ("app", host)


def test_too_many_are_refused() -> None:
    hosts = [str(number) for number in range(MAX_FOUND + 1)]
    assert len(named("app", hosts[:-1], "q")) == MAX_FOUND
    with pytest.raises(DiscoveryFailed, match="q gives 1025 nodes"):
        named("app", hosts, "q")


def test_what_a_look_changes() -> None:
    wanted = Wanted()
    assert wanted.update(0, ["b", "a"]) == Change(["a", "b"], [])
    assert wanted.update(0, ["b", "c"]) == Change(["c"], ["a"])
    assert wanted.update(0, ["b", "c"]) == Change([], [])


def test_a_node_goes_when_no_strategy_wants_it() -> None:
    wanted = Wanted()
    wanted.update(0, ["a"])
    assert wanted.update(1, ["a", "b"]) == Change(["b"], [])
    assert wanted.update(0, []) == Change([], [])
    assert wanted.update(1, ["b"]) == Change([], ["a"])


NODES = st.frozensets(st.sampled_from("abcde"))


@given(st.lists(st.tuples(st.integers(0, 2), NODES)))
def test_changes_add_up_to_what_is_wanted(looks: list[tuple[int, frozenset[str]]]) -> None:
    wanted, kept, last = Wanted(), set[str](), dict[int, frozenset[str]]()
    for strategy, nodes in looks:
        last[strategy] = nodes
        start, stop = wanted.update(strategy, nodes)
        assert not kept & set(start)
        assert kept >= set(stop)
        kept = kept - set(stop) | set(start)
        assert kept == wanted.nodes == frozenset().union(*last.values())

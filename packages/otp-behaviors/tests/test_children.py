"""Child specifications and their checks; the children of a supervisor as a value."""

from typing import Any

import pytest
from etf_codec import Atom, Pid
from hypothesis import given
from hypothesis import strategies as st
from otp_behaviors import Child, GenServer, Supervisor
from otp_behaviors._children import Children, Crowd, Member


class Worker(GenServer):
    pass


A, B, C = (Child(Worker, id=id) for id in "abc")


def pid(number: int) -> Pid:
    return Pid("a@host", number, 0, 7)


def abc() -> Children:
    return Children(Member(spec, pid(number)) for number, spec in enumerate((A, B, C), 1))


def ids(children: Any) -> list[str]:
    return [member.spec.id for member in children]


def test_defaults_of_a_worker() -> None:
    child = Child(Worker, 1, "two")
    assert (child.id, child.name, child.args) == (Atom("Worker"), None, (1, "two"))
    assert (child.type, child.restart, child.shutdown) == ("worker", "permanent", 5.0)
    assert child.significant is False
    assert repr(child) == f"Child({Atom('Worker')!r}, restart='permanent')"


def test_a_supervisor_gets_all_the_time_it_needs() -> None:
    child = Child(Supervisor(name="below"))
    assert (child.type, child.shutdown, child.id) == ("supervisor", "infinity", Atom("below"))
    assert Child(Supervisor()).id == Atom("Supervisor")
    assert Child(Supervisor(), shutdown=2).shutdown == 2


@pytest.mark.parametrize(
    ("options", "id"),
    [
        ({}, Atom("Worker")),
        ({"name": "x"}, Atom("x")),
        ({"name": "x", "id": 7}, 7),
        ({"id": (Atom("shard"), 0)}, (Atom("shard"), 0)),
        ({"id": 0}, 0),
    ],
)
def test_the_id_is_given_or_the_name_or_the_class(options: dict[str, Any], id: Any) -> None:
    assert Child(Worker, **options).id == id


@pytest.mark.parametrize("shutdown", ["brutal_kill", "infinity", 0, 0.5, 60])
def test_ways_to_shut_down(shutdown: Any) -> None:
    assert Child(Worker, shutdown=shutdown).shutdown == shutdown


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"restart": "always"}, "restart is one of .* not 'always'"),
        ({"shutdown": "kill"}, "shutdown is seconds, brutal_kill or infinity, not 'kill'"),
        ({"shutdown": -1}, "shutdown cannot be negative: -1"),
        ({"significant": True}, "a permanent child cannot be significant"),
    ],
)
def test_a_wrong_option_names_the_child_and_what_would_be_right(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        Child(Worker, id="me", **options)
    assert "'me'" in str(caught.value)


def test_children_find_by_id_and_by_process() -> None:
    children = abc()
    assert len(children) == 3
    assert children.find("b") == Member(B, pid(2))
    assert children.find("d") is None
    assert children.by_pid(pid(3)) == Member(C, pid(3))
    assert children.by_pid(pid(4)) is None


def test_an_operation_gives_a_new_value_and_leaves_the_old() -> None:
    children = abc()
    d = Member(Child(Worker, id="d"))
    assert ids(children.add(d)) == ["a", "b", "c", "d"]
    assert ids(children.remove("b")) == ["a", "c"]
    assert children.remove("d") == children
    assert children.update("b", None, restarting=True).find("b") == Member(B, None, restarting=True)
    assert children.update("b", pid(9)).find("b") == Member(B, pid(9), restarting=False)
    assert ids(children.update("b", pid(9))) == ["a", "b", "c"]
    assert children == abc()


@pytest.mark.parametrize(("id", "expected"), [("a", "abc"), ("b", "bc"), ("c", "c")])
def test_the_child_and_those_started_after_it(id: str, expected: str) -> None:
    assert ids(abc().from_child(id)) == list(expected)


def test_children_are_no_keys() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(abc())


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "update"]), st.integers(0, 5), st.booleans(), st.booleans())
)


@given(OPERATIONS)
def test_a_crowd_is_a_value_that_changes(operations: list[tuple[str, int, bool, bool]]) -> None:
    """It says of its children what `Children` do, whatever has been done to both."""
    crowd, model = Crowd(), Children()
    for number, (operation, id, runs, restarting) in enumerate(operations):
        process = pid(number) if runs else None
        match operation:
            case "add" if model.find(id) is None:
                member = Member(Child(Worker, id=id), process, restarting)
                model = model.add(member)
                assert crowd.add(member) is crowd
            case "remove":
                model = model.remove(id)
                assert crowd.remove(id) is crowd
            case "update":
                model = model.update(id, process, restarting)
                assert crowd.update(id, process, restarting) is crowd
        assert crowd == model
        assert len(crowd) == len(model)
        assert [crowd.find(each) for each in range(6)] == [model.find(each) for each in range(6)]
        pids = [pid(each) for each in range(number + 1)]
        assert [crowd.by_pid(each) for each in pids] == [model.by_pid(each) for each in pids]
    assert crowd.find([1]) is crowd.find(Atom("worker")) is None  # as asked from elsewhere

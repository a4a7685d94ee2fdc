import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from ergo_node import Registry
from etf_codec import Atom
from otp_behaviors import Process

pytestmark = pytest.mark.anyio

HERE = Process()


def one(first: Any) -> Any:
    return first


def with_default(first: Any, second: Any = 2) -> Any:
    return (first, second)


def any_number(*args: Any, flag: bool = False) -> Any:
    return args


async def asynchronous(first: Any) -> Any:
    return first


def keyword(*, needed: int) -> int:
    return needed


@pytest.mark.parametrize(
    ("function", "options", "arities"),
    [
        (one, {}, [1]),
        (with_default, {}, [1, 2]),
        (any_number, {}, [0, 1, 2, 3, 4]),
        (asynchronous, {}, [1]),
        (functools.partial(with_default, 0), {}, [0, 1]),
        (with_default, {"process": True}, [0, 1]),
        (any_number, {"process": True}, [0, 1, 2, 3, 4]),
        (len, {}, [1]),
        (max, {}, [0, 1, 2, 3, 4]),  # has no signature: it judges by itself
    ],
)
def test_a_function_exists_by_its_arity(
    function: Callable[..., Any], options: Any, arities: list[int]
) -> None:
    registry = Registry()
    registry.provide("m", Atom("f"), function, **options)
    assert [arity for arity in range(5) if registry.find("m", "f", arity, "a@host")] == arities


@pytest.mark.parametrize(
    ("function", "options", "fault"),
    [
        (keyword, {}, "requires 'needed' by keyword"),
        (asynchronous, {"thread": True}, "cannot run in a thread"),
        (lambda: None, {"process": True}, "takes no argument"),
        (7, {}, "not a callable"),
    ],
)
def test_what_erlang_could_not_call(function: Any, options: Any, fault: str) -> None:
    with pytest.raises(TypeError, match=fault):
        Registry().provide("m", "f", function, **options)


def test_nothing_is_provided_by_default() -> None:
    registry = Registry()
    for module, function in [("builtins", "eval"), ("os", "system"), ("m", "__class__"), ("", "")]:
        assert registry.find(module, function, 1, "a@host") is None


def test_only_some_nodes_may() -> None:
    registry = Registry()
    registry.provide("m", "f", one, nodes=["a@host"])
    assert registry.find("m", "f", 1, "a@host")
    assert registry.find("m", "f", 1, "b@host") is None
    assert registry.find("m", "f", 1, None) is None
    registry.provide("m", "f", one, nodes=[])
    assert registry.find("m", "f", 1, "a@host") is None


def test_revoked() -> None:
    registry = Registry()
    registry.provide("m", "f", one)
    assert registry.revoke("m", "f")
    assert not registry.revoke("m", "f")
    assert registry.find("m", "f", 1, "a@host") is None


async def test_in_a_thread() -> None:
    registry = Registry()
    registry.provide("m", "f", lambda: threading.get_ident(), thread=True)
    provided = registry.find("m", "f", 0, "a@host")
    assert provided is not None
    assert await provided.run([], HERE) != threading.get_ident()


def test_with_its_process() -> None:
    registry = Registry()
    registry.provide("m", "f", with_default, process=True)
    provided = registry.find("m", "f", 1, "a@host")
    assert provided is not None
    assert provided.run([3], HERE) == (HERE, 3)

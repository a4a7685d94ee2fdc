"""Where in a value something stands. Looked for only after an error, so that encoding need not keep track."""

from collections.abc import Iterator
from typing import Any, Final

from ._frozen import FrozenList, FrozenMap
from ._terms import ImproperList

# A path longer than a line helps nobody; that of a value within itself has no other end.
_MAX_STEPS: Final = 16


def _steps(container: Any) -> Iterator[tuple[str, Any]]:
    """The elements of a container in the order they are encoded, each with its subscript."""
    if isinstance(container, (list, tuple, FrozenList)):
        for index, item in enumerate(container):
            yield f"[{index}]", item
    elif isinstance(container, ImproperList):
        for index, item in enumerate(container.items):
            yield f".items[{index}]", item
        yield ".tail", container.tail
    elif isinstance(container, (dict, FrozenMap)):
        for key, value in container.items():
            yield f" key {_short(key)}", key
            yield f"[{_short(key)}]", value


def _short(key: Any) -> str:
    """A key as it is written; only plain ones, since `repr` of others may be endless."""
    return repr(key)[:60] if isinstance(key, (str, bytes, bool, float)) else type(key).__name__


def locate(root: Any, culprit: object, depth: int) -> str:
    """The subscripts from `root` to the first `culprit` that is `depth` containers deep; "" if none is."""
    path: list[str] = []
    stack: list[Iterator[tuple[str, Any]]] = []
    pending: Iterator[tuple[str, Any]] = iter((("", root),))
    while True:
        for step, item in pending:
            if item is culprit and len(stack) == depth:
                shown = [*path, step][: _MAX_STEPS + 1]
                return "".join(shown) + ("…" if len(path) > _MAX_STEPS else "")
            if len(stack) < depth:
                path.append(step)
                stack.append(pending)
                pending = _steps(item)
                break
        else:
            if not stack:
                return ""
            path.pop()
            pending = stack.pop()

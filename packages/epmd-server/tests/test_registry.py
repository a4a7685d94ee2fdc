from epmd_server import Alive2Request, Registry
from epmd_server._registry import MAX_UNUSED, encode_dump_answer
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_795_000_000.0


def node(name: str, *, version: int = 6, port: int = 4000, extra: bytes = b"") -> Alive2Request:
    return Alive2Request(port, 77, 0, version, 5, name.encode(), extra)


def test_a_name_belongs_to_one_node_until_it_is_released() -> None:
    registry = Registry()
    life = registry.register(node("a"), connection=3, now=NOW)
    assert life is not None
    assert registry.register(node("a"), connection=4, now=NOW) is None
    assert registry.look_up(b"a") is life
    assert registry.release(life)
    assert registry.look_up(b"a") is None
    assert registry.register(node("a"), connection=4, now=NOW) is not None


def test_releasing_an_old_life_leaves_the_new_one_alone() -> None:
    registry = Registry()
    old = registry.register(node("a"), connection=3, now=NOW)
    assert old is not None
    registry.release(old)
    new = registry.register(node("a"), connection=3, now=NOW)
    assert not registry.release(old)
    assert registry.look_up(b"a") is new


def test_creations_follow_the_c_epmd() -> None:
    """The first is the Unix time, each re-registration adds one; 16-bit answers show it modulo 3, plus 1."""
    registry = Registry(epoch=NOW)
    creations = []
    for version in (6, 6, 5, 5, 5, 6):
        life = registry.register(node("a", version=version), connection=3, now=7.9)
        assert life is not None
        creations.append(life.creation)
        registry.release(life)
    first = int(NOW) + 7
    narrow = [(first + lives) % 3 + 1 for lives in (2, 3, 4)]
    assert creations == [first, first + 1, *narrow, first + 5]


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(0, 2**33))
def test_creations_are_never_reserved_ones_nor_repeated(names: list[str], epoch: int) -> None:
    registry = Registry(epoch=epoch)
    previous: dict[str, int] = {}
    for name in names:
        life = registry.register(node(name), connection=3, now=0.0)
        assert life is not None
        assert 4 <= life.creation < 2**32
        assert life.creation != previous.get(name)
        previous[name] = life.creation
        registry.release(life)


def test_a_forgotten_name_gets_a_new_creation_too() -> None:
    registry = Registry(epoch=NOW)
    seen = set()
    for _ in range(3):
        life = registry.register(node("flapping"), connection=3, now=0.0)
        assert life is not None
        seen.add(life.creation)
        registry.release(life)
    for number in range(MAX_UNUSED):
        other = registry.register(node(f"n{number}"), connection=3, now=0.0)
        assert other is not None
        registry.release(other)
    assert b"flapping" not in {life.node.name for life in registry.unused()}
    again = registry.register(node("flapping"), connection=3, now=0.0)
    assert again is not None
    assert again.creation not in seen


def test_memory_of_names_gone_is_bounded() -> None:
    registry = Registry()
    for number in range(3 * MAX_UNUSED):
        life = registry.register(node(f"n{number}"), connection=3, now=NOW)
        assert life is not None
        registry.release(life)
    assert len(list(registry.unused())) == MAX_UNUSED
    assert len(registry) == 0


def test_refused_names_and_extra_data() -> None:
    registry = Registry()
    assert registry.register(node("a" * 256), connection=3, now=NOW) is None
    assert registry.register(Alive2Request(1, 77, 0, 6, 5, b"\xff"), connection=3, now=NOW) is None
    assert registry.register(node("a", extra=b"x" * 1021), connection=3, now=NOW) is None
    assert registry.register(node("a", extra=b"x" * 1020, port=0), connection=3, now=NOW) is not None


def test_lists_are_newest_first_and_dumps_show_the_old_names() -> None:
    registry = Registry()
    lives = [
        registry.register(node(name, port=port), connection=connection, now=NOW)
        for name, port, connection in (("a", 1, 5), ("b", 2, 6), ("c", 3, 7), ("d", 4, 8))
    ]
    for life in lives[:2]:
        assert life is not None
        registry.release(life)
    assert [life.node.name for life in registry] == [b"d", b"c"]
    assert encode_dump_answer(4369, registry) == (
        b"\0\0\x11\x11"
        b"active name     <d> at port 4, fd = 8\n\0"
        b"active name     <c> at port 3, fd = 7\n\0"
        b"old/unused name <a>, port = 1, fd = 5 \n\0"
        b"old/unused name <b>, port = 2, fd = 6 \n\0"
    )

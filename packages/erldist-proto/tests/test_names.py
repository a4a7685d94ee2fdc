import pytest
from erldist_proto import (
    DEFAULT_FLAGS,
    DistFlags,
    LocalNode,
    LocalProtocolError,
    NodeName,
    simultaneous_status,
)


def test_a_name_has_two_parts() -> None:
    name = NodeName.parse("alice@host.example")
    assert (name.name, name.host, str(name)) == ("alice", "host.example", "alice@host.example")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("py", "has no host part: use 'py@host'"),
        ("py@", "has no host part: use 'py@host'"),
        ("", "has no host part: use 'name@host'"),
        ("@host", "has nothing before '@'"),
        ("a@b@c", "more than one '@'"),
        ("a@" + "b" * 254, "256 characters"),
        ("a\n@b", "cannot be printed"),
    ],
)
def test_what_is_no_name_says_why(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match="node name") as caught:
        NodeName.parse(text)
    assert hint in str(caught.value)


def test_hidden_does_not_offer_to_be_published() -> None:
    assert DistFlags.PUBLISHED in LocalNode("a@b", 1).flags
    assert LocalNode("a@b", 1, hidden=True).flags == DEFAULT_FLAGS & ~DistFlags.PUBLISHED


def test_a_dynamic_node_is_hidden_and_asks_for_a_name() -> None:
    node = LocalNode.dynamic("host")
    assert node.is_dynamic
    assert node.creation == 0
    assert DistFlags.NAME_ME in node.flags
    assert DistFlags.PUBLISHED not in node.flags


@pytest.mark.parametrize("host", ["", "a@b"])
def test_a_dynamic_node_gives_only_its_host(host: str) -> None:
    with pytest.raises(ValueError, match="only its host part"):
        LocalNode.dynamic(host)


def test_a_node_is_checked() -> None:
    with pytest.raises(ValueError, match="no host part"):
        LocalNode("py", 1)
    with pytest.raises(ValueError, match="32 bits"):
        LocalNode("py@host", 1 << 32)
    with pytest.raises(ValueError, match="64 bits"):
        LocalNode("py@host", 1, DistFlags(1 << 64))


def test_the_connection_of_the_greater_name_survives() -> None:
    assert simultaneous_status("b@h", "a@h") == "nok"
    assert simultaneous_status("a@h", "b@h") == "ok_simultaneous"
    with pytest.raises(LocalProtocolError, match="our own name"):
        simultaneous_status("a@h", "a@h")

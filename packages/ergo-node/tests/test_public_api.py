import ergo_node
import ergo_node.testing
import otp_behaviors

PUBLIC = [
    "BadName",
    "CannotStart",
    "CookieMismatch",
    "Epmd",
    "ErlangError",
    "ErlangExit",
    "ErlangThrow",
    "HandshakeRefused",
    "Listen",
    "NameInUse",
    "Node",
    "NodeDown",
    "NodeError",
    "NodeEvent",
    "NodeMonitor",
    "NodeUp",
    "NotAllowed",
    "NotConnected",
    "Policy",
    "Registry",
    "RemoteName",
    "RpcError",
    "Tls",
    "TlsError",
    "provide_observer",
    "put_chars",
]


TESTING = ["FaultProxy", "Way"]


def test_exports() -> None:
    assert ergo_node.__all__ == PUBLIC
    assert ergo_node.testing.__all__ == TESTING


def test_public_names_show_their_public_home() -> None:
    own = [each for name in PUBLIC if isinstance(each := getattr(ergo_node, name), type)]
    homes = {each.__name__: each.__module__ for each in own}
    assert homes.pop("RemoteName") == "otp_behaviors"
    assert ergo_node.RemoteName is otp_behaviors.RemoteName
    assert set(homes.values()) == {"ergo_node"}


def test_every_error_is_a_node_error() -> None:
    errors = [
        each for each in vars(ergo_node).values() if isinstance(each, type) and issubclass(each, Exception)
    ]
    assert len(errors) == 13
    assert all(issubclass(each, ergo_node.NodeError) for each in errors)
    assert issubclass(ergo_node.BadName, ValueError)
    assert issubclass(ergo_node.NameInUse, ergo_node.CannotStart)
    assert issubclass(ergo_node.HandshakeRefused, ergo_node.NotConnected)
    assert issubclass(ergo_node.TlsError, ergo_node.NotConnected)
    assert issubclass(ergo_node.CookieMismatch, ergo_node.NotConnected)

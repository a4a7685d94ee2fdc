import ergo_node
import ergo_node.testing
import otp_behaviors

PUBLIC = [
    "BadName",
    "Broadcast",
    "CannotStart",
    "CookieMismatch",
    "DiscoveryFailed",
    "DnsNodes",
    "Epmd",
    "ErlangError",
    "ErlangExit",
    "ErlangThrow",
    "GlobalName",
    "GlobalNames",
    "HandshakeRefused",
    "Health",
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
    "Pg",
    "Policy",
    "PubSub",
    "Registry",
    "RemoteName",
    "RpcError",
    "Scope",
    "SlowSubscriber",
    "SrvNodes",
    "StaticNodes",
    "Strategy",
    "Subscription",
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
    assert len(errors) == 15
    assert all(issubclass(each, ergo_node.NodeError) for each in errors)
    assert issubclass(ergo_node.BadName, ValueError)
    assert issubclass(ergo_node.NameInUse, ergo_node.CannotStart)
    assert issubclass(ergo_node.HandshakeRefused, ergo_node.NotConnected)
    assert issubclass(ergo_node.TlsError, ergo_node.NotConnected)
    assert issubclass(ergo_node.CookieMismatch, ergo_node.NotConnected)

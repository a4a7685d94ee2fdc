import epmd_server

PUBLIC = [
    "AddressInUse",
    "Alive2Request",
    "BadAnswer",
    "BadRequest",
    "CannotListen",
    "DumpRequest",
    "EpmdError",
    "EpmdRefused",
    "EpmdUnreachable",
    "Event",
    "InvalidName",
    "KillRequest",
    "Killed",
    "Life",
    "NameEntry",
    "NameTaken",
    "NamesRequest",
    "NodeEntry",
    "NodeType",
    "NotRegistered",
    "Policy",
    "Port2Request",
    "Refused",
    "Registered",
    "Registration",
    "Registry",
    "Request",
    "Server",
    "Session",
    "State",
    "StopRequest",
    "Stopped",
    "Unregistered",
    "encode_request",
    "kill",
    "look_up",
    "names",
    "parse_request",
    "register",
    "serve",
    "stop",
]


def test_exports() -> None:
    assert epmd_server.__all__ == PUBLIC


def test_public_names_show_their_public_home() -> None:
    homes = {getattr(getattr(epmd_server, name), "__module__", "epmd_server") for name in PUBLIC}
    # Event and Request are unions, which Python 3.14 keeps in another module.
    assert homes - {"types", "typing"} == {"epmd_server"}


def test_every_error_is_an_epmd_error() -> None:
    errors = [
        each for each in vars(epmd_server).values() if isinstance(each, type) and issubclass(each, Exception)
    ]
    assert len(errors) == 10
    assert all(issubclass(each, epmd_server.EpmdError) for each in errors)
    assert issubclass(epmd_server.InvalidName, ValueError)
    assert issubclass(epmd_server.NameTaken, epmd_server.EpmdRefused)
    assert issubclass(epmd_server.AddressInUse, epmd_server.CannotListen)

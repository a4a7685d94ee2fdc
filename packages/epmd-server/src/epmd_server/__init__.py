"""EPMD, the Erlang port mapper daemon: embedded in a program, or in place of the `epmd` command.

    async with serve() as epmd:                               # be the EPMD of this host
        async with register("py", 40001) as registration:     # hold a name there
            registration.creation
            await look_up("py", "127.0.0.1")                  # where is that node?

Server and client run on asyncio and trio, through anyio. Below them, `Session`, `Registry` and the
requests are pure: bytes and time in, bytes and events out.
"""

from ._client import Registration, kill, look_up, names, register, stop
from ._errors import (
    AddressInUse,
    BadAnswer,
    BadRequest,
    CannotListen,
    EpmdError,
    EpmdRefused,
    EpmdUnreachable,
    InvalidName,
    NameTaken,
    NotRegistered,
)
from ._messages import (
    Alive2Request,
    DumpRequest,
    KillRequest,
    NameEntry,
    NamesRequest,
    NodeEntry,
    NodeType,
    Port2Request,
    Request,
    StopRequest,
    encode_request,
    parse_request,
)
from ._registry import Life, Registry
from ._server import Server, serve
from ._session import Event, Killed, Policy, Refused, Registered, Session, State, Stopped, Unregistered

__version__ = "0.1.0"

__all__ = [
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

for _name in __all__:
    if getattr(globals()[_name], "__module__", "").startswith(f"{__name__}._"):
        globals()[_name].__module__ = __name__
del _name

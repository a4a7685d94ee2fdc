"""Everything this package raises, and whose fault it is.

EpmdError
├── BadRequest          a client sent bytes that are no request (the session closes the connection)
├── BadAnswer           an EPMD sent bytes that are no answer to our request
├── CannotListen        serve(): an address we were told to listen on is not ours, or not allowed
│   └── AddressInUse    serve(): another EPMD, or another program, holds the port
├── EpmdUnreachable     no EPMD answers at that host and port
├── EpmdRefused         an EPMD is there, and will not do it
│   └── NameTaken       register(): the name belongs to a living node
├── NotRegistered       look_up(): no living node has that name
└── InvalidName         the name can belong to no node (also a ValueError)

Messages name the EPMD that was asked, and say what to do.
"""


class EpmdError(Exception):
    """Root of everything this package raises."""


class BadRequest(EpmdError):
    """The client's fault: its bytes are not a request as the distribution protocol defines one."""


class BadAnswer(EpmdError):
    """The EPMD's fault: its bytes are not an answer as the distribution protocol defines one."""


class CannotListen(EpmdError):
    """An address that was asked for explicitly cannot be listened on."""


class AddressInUse(CannotListen):
    """The port is held by another program, most likely by an EPMD that can be used instead."""


class EpmdUnreachable(EpmdError):
    """No EPMD answered in time at that host and port."""


class EpmdRefused(EpmdError):
    """The EPMD is there and refuses: wrong peer, living nodes, or no permission."""


class NameTaken(EpmdRefused):
    """A living node holds the name. The name is free again when that node's connection closes."""


class NotRegistered(EpmdError):
    """No living node is registered under the name."""


class InvalidName(EpmdError, ValueError):
    """A name that no EPMD accepts: empty, too long, or with a NUL in it."""

"""`net_kernel`: the process every node has, which answers `net_adm:ping`."""

from __future__ import annotations

from typing import Any, Final

from etf_codec import Atom, Term
from otp_behaviors import Caller, GenServer

NAME: Final = "net_kernel"
IS_AUTH: Final = Atom("is_auth")
YES: Final = Atom("yes")
NO: Final = Atom("no")
ERROR: Final = Atom("error")


class NetKernel(GenServer):
    """Answers `{is_auth, Node}` with `yes`: whoever asks has passed the handshake."""

    def init(self) -> None:
        """A link with another node must not end it."""
        self.trap_exit = True

    def handle_call(self, request: Any, caller: Caller) -> Term:
        """`{is_auth, Node}`; other requests of OTP's net_kernel are for OTP's own nodes."""
        if type(request) is tuple and len(request) == 2 and request[0] == IS_AUTH:
            return YES
        return (ERROR, (Atom("bad_request"), request))

    def handle_cast(self, message: Any) -> None:
        """Nothing is asked of us by casts."""

    def handle_info(self, message: Any) -> None:
        """Nothing is asked of us by messages."""

"""`rex`: the server of `rpc` in every node, which OTP 22 calls for everything and later releases for some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from etf_codec import Atom, Pid, Term
from otp_behaviors import NO_REPLY, NORMAL, Caller, GenServer

from ergo_node._erpc import Call, Outcome, rpc_result

NAME: Final = "rex"
REX: Final = Atom(NAME)
FEATURES: Final[list[Term]] = [Atom("erpc")]
"""What `features_request` asks for: with `erpc`, OTP 23 and 24 come by spawn requests."""

Ended = Callable[[Outcome], Term]


class Host(Protocol):
    """The node, as `rex` sees it."""

    @property
    def name(self) -> str:
        """The node's name."""

    def execute(self, call: Call, node: str | None, ended: Ended, group_leader: Pid | None = None) -> Pid:
        """Run a provided function in a process of its own; `ended` gets its outcome, returns a reason."""


class Rex(GenServer):
    """Runs provided functions for `rpc:call` of OTP 22, `rpc:block_call`, `rpc:cast`; see `rpc` of KERNEL.

    Who calls is not certain here, the caller's pid being part of the message: so functions that are provided
    to certain nodes only are not run.
    """

    def init(self, host: Host) -> None:
        """`host` runs functions."""
        self.trap_exit = True  # a link with another node must not end it
        self.host = host
        self.blocked: list[tuple[Caller, Call, Pid | None]] = []
        self.block: Pid | None = None

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """`{call, M, F, A, GroupLeader}`, and `{block_call, …}`, of which one runs at a time."""
        match request:
            case (Atom("call"), Atom() as module, Atom() as function, args, leader):
                self._call((module, function, args), leader, lambda result: self.reply(caller, result))
            case (Atom("block_call"), Atom() as module, Atom() as function, args, leader):
                self.blocked.append((caller, (module, function, args), _leader(leader)))
                self._next_block()
            # Anything else OTP's rex does not answer either.
        return NO_REPLY

    def handle_cast(self, message: Any) -> None:
        """`{cast, M, F, A, GroupLeader}`."""
        match message:
            case (Atom("cast"), Atom() as module, Atom() as function, args, leader):
                self.host.execute((module, function, args), None, lambda _: NORMAL, _leader(leader))

    def handle_info(self, message: Any) -> None:
        """`features_request`, and the requests of nodes that cannot wait for a reply (`sbcast`, C nodes)."""
        match message:
            case (Pid() as sender, Atom("features_request")):
                self.send(sender, (Atom("features_reply"), Atom(self.host.name), FEATURES))
            case (Pid() as sender, (Atom("call"), Atom() as module, Atom() as function, args, leader)):
                self._call((module, function, args), leader, lambda result: self.send(sender, (REX, result)))
            case (Pid() as sender, (Atom("sbcast"), Atom() as name, text)):
                there = self._pass_on(sender, name, text)
                self.send(
                    sender, (REX, Atom(self.host.name), Atom(self.host.name) if there else _nobody(name))
                )
            case (Pid() as sender, (Atom("send"), Atom() as name, text)):
                if not self._pass_on(sender, name, (sender, text)):
                    self.send(sender, (REX, Atom(self.host.name), _nobody(name)))
            case (Atom("block_ended"), Pid() as pid) if pid == self.block:
                self.block = None
                self._next_block()

    def _call(self, call: Call, leader: Term, answer: Callable[[Term], None]) -> None:
        def ended(outcome: Outcome) -> Term:
            answer(rpc_result(outcome))
            return NORMAL

        self.host.execute(call, None, ended, _leader(leader))

    def _next_block(self) -> None:
        if self.block is not None or not self.blocked:
            return
        caller, call, leader = self.blocked.pop(0)

        def ended(outcome: Outcome) -> Term:
            self.reply(caller, rpc_result(outcome))
            self.send(self.pid, (Atom("block_ended"), self.block))
            return NORMAL

        self.block = self.host.execute(call, None, ended, leader)

    def _pass_on(self, sender: Pid, name: Atom, message: Term) -> bool:
        there = self.whereis(name) is not None
        if there:
            self.send(name, message)
        return there


def _leader(leader: Term) -> Pid | None:
    # `user` and `send_stdout_to_caller` leave it to this node.
    return leader if isinstance(leader, Pid) else None


def _nobody(name: Atom) -> Term:
    return (Atom("nonexisting_name"), name)

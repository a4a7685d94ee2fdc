"""A supervisor at work: it starts children in order, restarts them as told, stops them in reverse order.

The decisions are in `_restart`; this file carries them out. Follows `supervisor` of STDLIB, its messages
included, so `supervisor:which_children/1` from afar works.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from etf_codec import Atom, Pid, Term

from otp_behaviors._children import (
    RESTARTING,
    UNDEFINED,
    Child,
    Children,
    Crowd,
    Member,
    count_children,
    offender,
    specification,
    which_child,
    which_children,
)
from otp_behaviors._completion import Completion
from otp_behaviors._effects import ChildStarted, ChildStartedOnRequest, SupervisorReport
from otp_behaviors._errors import ExitError, Ignore
from otp_behaviors._gen_call import GEN_CALL
from otp_behaviors._process import Process, own_name
from otp_behaviors._reasons import SHUTDOWN, is_clean
from otp_behaviors._restart import Forget, Keep, Restart, add_restart, decide, ends_supervisor, restart_of
from otp_behaviors._shutdown import end_children, ended_badly, ended_well
from otp_behaviors._signals import Exit
from otp_behaviors._supervisor_system import SupervisorSystem, Tree
from otp_behaviors._system import handle_system, is_system

OK: Final = Atom("ok")
ERROR: Final = Atom("error")
BAD_COMBINATION: Final = Atom("bad_combination")
RUNNING: Final = Atom("running")
NOT_FOUND: Final = Atom("not_found")
SIMPLE: Final = Atom("simple_one_for_one")
TRY_AGAIN: Final = Atom("try_again_restart")

Answer = Coroutine[Any, Any, Term]


class Supervision:
    """A supervisor at work.

    Args:
        process: the supervisor's process.
        supervisor: what it was started with.
    """

    def __init__(self, process: Process, supervisor: Tree) -> None:
        self._process = process
        self._record = process._record
        self._kernel = process._kernel
        self._supervisor = supervisor
        self._simple = supervisor.strategy == "simple_one_for_one"
        self._children = Crowd() if self._simple else Children(map(Member, supervisor.children))
        self._restarts: tuple[int, ...] = ()
        self._dynamic = 0
        self._system = SupervisorSystem(self, process)

    @property
    def children(self) -> Children:
        """The children as they are now."""
        return self._children

    @property
    def simple(self) -> bool:
        """Whether all children are of one kind, and stop together."""
        return self._simple

    async def run(self) -> None:
        """Start the children, then supervise them until told to end."""
        failure = await self._start_all(tuple(member.spec.id for member in self._children))
        if failure is not None:
            id, reason = failure
            self._report("start_error", self._spec(id), None, reason)
            await self._stop_all()
            why = (SHUTDOWN, (Atom("failed_to_start_child"), id, reason))
            self._record.refuse(ExitError(why))
            raise ExitError(why)
        self._record.acknowledge()
        while True:
            message = await self._process.receive()
            if is_system(message):
                work = handle_system(self._system, message)
                if work is not None:
                    await work
                continue
            self._system.received(message)
            if type(message) is tuple and len(message) == 3 and message[0] is GEN_CALL:
                answer = await self.answer(message[2])
                self._process.reply(message[1], answer)
                self._system.replied(answer, message[1])
                continue
            if type(message) is Exit:
                await self._exited(message.pid, message.reason)
            elif type(message) is tuple and len(message) == 2 and message[0] is TRY_AGAIN:
                await self._try_again(message[1])
            self._system.handled()

    # Starting and stopping

    async def _start(
        self, spec: Child, args: tuple[Any, ...], report: type[ChildStarted] = ChildStarted
    ) -> Pid | None:
        """Start a child and wait for its `init`; None if it asked to be ignored."""
        started = Completion(self._kernel)
        record = spec.start.__process__(self._kernel, args)
        record.ack = started
        self._kernel.spawn(record, parent=self._record, name=spec.name or own_name(spec.start), link=True)
        await started.wait(self._record.waiter(), None)
        try:
            started.result()
        except Ignore:
            return None
        if not self._simple:
            child = offender(spec, record.pid)
            self._kernel.report(report(self._record.pid, self._record.name, child))
        return record.pid

    async def _start_all(
        self, ids: tuple[Term, ...], report: type[ChildStarted] = ChildStarted
    ) -> tuple[Term, Term] | None:
        """Start children in order; returns the id and the reason of the first that fails."""
        for id in ids:
            member = self._children.find(id)
            if member is None:
                continue
            try:
                pid = await self._start(member.spec, member.spec.args, report)
            except ExitError as error:
                return (id, error.reason)
            if pid is None and member.spec.restart == "temporary":
                self._children = self._children.remove(id)
            else:
                self._children = self._children.update(id, pid)
        return None

    async def _stop_all(self) -> None:
        """Stop every child, the last started first; those of `simple_one_for_one` all at once."""
        members = list(self._children)
        if not self._simple:
            for member in reversed(members):
                await self._stop(member)
        elif members:
            specs = {member.pid: member.spec for member in members if member.pid is not None}
            shutdowns = {pid: spec.shutdown for pid, spec in specs.items()}
            reasons = await end_children(self._process, shutdowns)
            for reason, pids in ended_badly(specs, reasons):
                self._report("shutdown_error", members[0].spec, pids, reason)
            self._children = Crowd()

    async def _stop(self, member: Member) -> None:
        """Stop one child."""
        spec, pid = member.spec, member.pid
        if pid is not None:
            reasons = await end_children(self._process, {pid: spec.shutdown})
            if not ended_well(spec, reasons[pid]):
                self._report("shutdown_error", spec, pid, reasons[pid])
        if spec.restart == "temporary" or self._simple:
            self._children = self._children.remove(spec.id)
        else:
            self._children = self._children.update(spec.id, None)

    # Restarting

    async def _exited(self, pid: Pid, reason: Term) -> None:
        if pid == self._record.parent:
            await self._shut_down(reason)
        member = self._children.by_pid(pid)
        if member is None:
            return
        strategy = self._supervisor.strategy
        decision = decide(self._children, member, reason, strategy)
        if isinstance(decision, Restart):
            self._report("child_terminated", member.spec, pid, reason)
            await self._restart(member, decision)
            return
        if isinstance(decision, Forget) and not is_clean(reason):
            self._report("child_terminated", member.spec, pid, reason)
        if isinstance(decision, Keep) and not self._simple:
            self._children = self._children.update(member.spec.id, None)
        else:
            self._children = self._children.remove(member.spec.id)
        if ends_supervisor(self._children, member, self._supervisor.auto_shutdown):
            await self._shut_down(SHUTDOWN)

    async def _restart(self, member: Member, decision: Restart) -> None:
        supervisor = self._supervisor
        id = member.spec.id
        restarts = add_restart(self._restarts, self._kernel.now(), supervisor.intensity, supervisor.period)
        if restarts is None:
            self._report("shutdown", member.spec, member.pid, Atom("reached_max_restart_intensity"))
            self._children = self._children.remove(id)
            await self._shut_down(SHUTDOWN)
            return
        self._restarts = restarts
        self._children = self._children.update(id, None)
        for stopped in reversed(decision.stop):
            other = self._children.find(stopped)
            if other is not None:
                await self._stop(other)
        failure = await self._start_all(decision.start)
        if failure is not None:
            failed, why = failure
            self._report("start_error", self._spec(failed), None, why)
            self._children = self._children.update(failed, None, restarting=True)
            # Not at once: other messages, such as the parent's exit, get their turn between two tries.
            self._process.send(self._process.pid, (TRY_AGAIN, failed))

    async def _try_again(self, id: Term) -> None:
        member = self._children.find(id)
        if member is not None and member.restarting:
            await self._restart(member, restart_of(self._children, member, self._supervisor.strategy))

    async def _shut_down(self, reason: Term) -> None:
        await self._stop_all()
        raise ExitError(reason)

    def _spec(self, id: Term) -> Child:
        member = self._children.find(id)
        assert member is not None
        return member.spec

    def _reported(self, spec: Child) -> Child:
        """Return what reports tell of a child: OTP knows those of `simple_one_for_one` by their template."""
        return self._supervisor.children[0] if self._simple else spec

    def _report(self, context: str, spec: Child, who: Pid | list[Pid] | None, reason: Term) -> None:
        spec = self._reported(spec)
        record, child = self._record, offender(spec, who)
        self._kernel.report(SupervisorReport(record.pid, context, spec.id, reason, record.name, child))

    # Management

    def use(self, tree: Tree) -> None:
        """Supervise by another description from now on (`sys.change_code`)."""
        self._supervisor = tree

    async def answer(self, request: Term) -> Term:
        """Answer a request."""
        if type(request) is Atom and request in QUERIES:
            return QUERIES[request](self._children, self._simple)
        if type(request) is tuple and len(request) == 2 and type(request[0]) is Atom:
            command = COMMANDS.get(request[0])
            if command is not None:
                return await command(self, request[1])
        return (ERROR, (Atom("bad_request"), request))

    async def start_child(self, argument: Term) -> Term:
        """`{start_child, ChildSpec | ExtraArgs}`."""
        if self._simple:
            return await self._start_simple(argument)
        if not isinstance(argument, Child):
            return (ERROR, Atom("badarg"))
        if argument.significant and self._supervisor.auto_shutdown == "never":
            never = (Atom("auto_shutdown"), Atom("never"))
            return (ERROR, (BAD_COMBINATION, [never, (Atom("significant"), True)]))
        present = self._children.find(argument.id)
        if present is not None:
            return (ERROR, (Atom("already_started"), present.pid) if present.pid else Atom("already_present"))
        return await self._start_new(argument, argument.args)

    async def _start_simple(self, argument: Term) -> Term:
        if not isinstance(argument, list | tuple):
            return (ERROR, Atom("badarg"))
        template = self._supervisor.children[0]
        spec = Child(
            template.start,
            *template.args,
            *argument,
            id=self._next_id(),
            restart=template.restart,
            shutdown=template.shutdown,
            significant=template.significant,
        )
        return await self._start_new(spec, spec.args)

    def _next_id(self) -> int:
        """Return what tells a child of `simple_one_for_one` from the others."""
        self._dynamic += 1
        return self._dynamic

    async def _start_new(self, spec: Child, args: tuple[Any, ...]) -> Term:
        try:
            pid = await self._start(spec, args, ChildStartedOnRequest)
        except ExitError as error:
            return (ERROR, error.reason)
        if pid is not None or not (self._simple or spec.restart == "temporary"):
            self._children = self._children.add(Member(spec, pid))
        return (OK, UNDEFINED if pid is None else pid)

    async def terminate_child(self, id: Term) -> Term:
        """`{terminate_child, Id | Pid}`."""
        if self._simple and not isinstance(id, Pid):
            return (ERROR, SIMPLE)
        member = self._find(id)
        if member is None:
            return (ERROR, NOT_FOUND)
        await self._stop(member)
        return OK

    async def which_child(self, id: Term) -> Term:
        """`{which_child, Id | Pid}`, as of OTP 28."""
        if self._simple and not isinstance(id, Pid):
            return (ERROR, SIMPLE)
        member = self._children.by_pid(id) if self._simple else self._children.find(id)
        return (ERROR, NOT_FOUND) if member is None else (OK, which_child(member, self._simple))

    async def get_childspec(self, id: Term) -> Term:
        """`{get_childspec, Id | Pid}`."""
        member = self._find(id)
        if member is None:
            return (ERROR, NOT_FOUND)
        return (OK, specification(self._supervisor.children[0] if self._simple else member.spec))

    def _find(self, id: Term) -> Member | None:
        if not self._simple:
            return self._children.find(id)
        if not isinstance(id, Pid):
            # The template has the only id there is.
            template = self._supervisor.children[0]
            return Member(template) if id == template.id else None
        member = self._children.by_pid(id)
        if member is None and self._kernel.table.by_pid.get(id) is None:
            # As in OTP, who has ended may have been a child of this supervisor.
            return Member(self._supervisor.children[0])
        return member

    async def restart_child(self, id: Term) -> Term:
        """`{restart_child, Id}`: start a child that was terminated."""
        member = self._children.find(id)
        if self._simple or member is None:
            return (ERROR, SIMPLE if self._simple else NOT_FOUND)
        if member.pid is not None or member.restarting:
            return (ERROR, RUNNING if member.pid else RESTARTING)
        failure = await self._start_all((id,), ChildStartedOnRequest)
        if failure is not None:
            return (ERROR, failure[1])
        started = self._children.find(id)
        return (OK, UNDEFINED if started is None or started.pid is None else started.pid)

    async def delete_child(self, id: Term) -> Term:
        """`{delete_child, Id}`: forget a child that was terminated."""
        member = self._children.find(id)
        if self._simple or member is None:
            return (ERROR, SIMPLE if self._simple else NOT_FOUND)
        if member.pid is not None or member.restarting:
            return (ERROR, RUNNING if member.pid else RESTARTING)
        self._children = self._children.remove(id)
        return OK


QUERIES: Final[dict[Atom, Callable[[Children, bool], Term]]] = {
    Atom("which_children"): which_children,
    Atom("count_children"): count_children,
}
COMMANDS: Final[dict[Atom, Callable[[Supervision, Term], Answer]]] = {
    Atom("start_child"): Supervision.start_child,
    Atom("terminate_child"): Supervision.terminate_child,
    Atom("restart_child"): Supervision.restart_child,
    Atom("delete_child"): Supervision.delete_child,
    Atom("which_child"): Supervision.which_child,
    Atom("get_childspec"): Supervision.get_childspec,
}

"""What has to hold after every fault test: nothing reordered, nothing answered twice, nothing left behind.

I1 numbered messages of a sender arrive in order; I2 each link and monitor resolves exactly once; I3 counts of
processes, bonds, connections, tasks and file descriptors return to what they were; I4 nothing was raised
where nobody sees it; I5 memory stays within a bound.
"""

import gc
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
from ergo_node import Node, NodeEvent, NodeMonitor, RemoteName
from etf_codec import Atom, Pid, Reference, Term
from otp_behaviors import Down, Exit, GenServer

PATIENCE = 30.0
MIB = 1024 * 1024
FDS = Path("/proc/self/fd")
STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


async def eventually(condition: Callable[[], object], within: float = PATIENCE) -> None:
    """Wait until a condition holds; a TimeoutError of anyio says that it never did."""
    with anyio.fail_after(within):
        while not condition():  # noqa: ASYNC110  # what is waited for is a state, and says nothing
            await anyio.sleep(0.005)


async def handled_by(node: Node, peer: str, within: float = PATIENCE) -> None:
    """Wait until a peer has handled all that was sent to it so far, and this node what it had sent before."""
    await node.call(RemoteName("net_kernel", peer), (Atom("is_auth"), Atom(node.name)), timeout=within)


async def told(monitor: NodeMonitor) -> list[NodeEvent]:
    """End a subscription, and return what it had been told that nobody has taken yet."""
    monitor.close()
    return [event async for event in monitor]


class Numbers:
    """I1: the last number of each sender. What comes out of order is noted, never forgiven."""

    def __init__(self) -> None:
        self.last: dict[Term, int] = {}
        self.received = 0
        self.missing = 0
        self.reordered: list[tuple[Term, int, int]] = []

    def take(self, sender: Term, number: int) -> None:
        """A message of a sender; its first is number 1."""
        last = self.last.get(sender, 0)
        if number <= last:
            self.reordered.append((sender, last, number))
        self.missing += max(0, number - last - 1)
        self.last[sender] = max(last, number)
        self.received += 1

    def assert_in_order(self, *, complete: bool = True) -> None:
        """None came twice, or after a later one; and none is missing, if there is no reason for it."""
        assert not self.reordered
        assert not (complete and self.missing)


class Numbered(GenServer):
    """Takes messages and casts `{Sender, N, ...}`. Asked anything, it answers how many it has got so far."""

    def init(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.trap_exit = True

    def handle_call(self, request: Term, caller: object) -> Term:
        """How many messages have come."""
        return self.numbers.received

    def handle_cast(self, message: Term) -> None:
        """Casts are numbered too."""
        self.handle_info(message)

    def handle_info(self, message: Term) -> None:
        """Note sender and number; an end of a link says nothing here."""
        if not isinstance(message, Exit):
            assert isinstance(message, tuple)
            sender, number, *_ = message
            assert isinstance(number, int)
            self.numbers.take(sender, number)


class Bonds:
    """I2: links and monitors of one process, how often each was resolved, and why."""

    def __init__(self) -> None:
        self.expected: set[Reference | Pid] = set()
        self.resolved: Counter[Reference | Pid] = Counter()
        self.reasons: Counter[Term] = Counter()

    @property
    def all_resolved(self) -> bool:
        """Whether each has been resolved at least once."""
        return self.resolved.keys() >= self.expected

    def assert_exactly_once(self, reason: str = "noconnection") -> None:
        """Each exactly once, nothing else, and all for this reason."""
        assert self.resolved == Counter(self.expected)
        assert self.reasons == {Atom(reason): len(self.expected)}


class Bonded(GenServer):
    """Called with a list of pids, it links itself with each and monitors it; then it notes their ends."""

    def init(self, bonds: Bonds) -> None:
        self.bonds = bonds
        self.trap_exit = True

    def handle_call(self, pids: list[Pid], caller: object) -> bool:
        """Link and monitor each of these."""
        for pid in pids:
            self.link(pid)
            self.bonds.expected |= {pid, self.monitor(pid)}
        return True

    def handle_info(self, message: Term) -> None:
        """Note an end; whatever else comes is an error."""
        assert isinstance(message, Down | Exit)
        self.bonds.resolved[message.ref if isinstance(message, Down) else message.pid] += 1
        self.bonds.reasons[message.reason] += 1


def holdings(node: Node) -> dict[str, int]:
    """I3: what a node holds."""
    kernel = node.kernel
    records = list(kernel.table.by_pid.values())
    return {
        "processes": len(records),
        "links": sum(len(each.links or ()) for each in records),
        "monitors": sum(len(each.monitors or ()) + len(each.monitored_by or ()) for each in records),
        "links to other nodes": len(kernel.links),
        "monitors across nodes": len(kernel.monitors),
        "mail": sum(len(each.mailbox) for each in records),
        "connections": len(node.nodes("all")),
    }


def holds_no_more(node: Node, than: dict[str, int]) -> bool:
    """Tell whether the node holds no more of anything; less is an answer that was still under way."""
    return all(count <= than[name] for name, count in holdings(node).items())


class Invariants:
    """I3 to I5 around one test. Made before its nodes are; `check` comes after they are gone."""

    def __init__(self) -> None:
        self._watched: list[tuple[Node, dict[str, int]]] = []
        self._tasks = len(anyio.get_running_tasks())
        self._fds = self._open_fds()
        self.errors = Errors()
        self.expected_errors: list[str] = []
        """Texts of log lines at ERROR that the test means to cause."""

    def watch(self, node: Node) -> Node:
        """Note what the node holds now, to be compared by `settled`."""
        self._watched.append((node, holdings(node)))
        return node

    async def settled(self, within: float = PATIENCE) -> None:
        """Wait until every watched node holds no more than it held; says what it holds if it never does."""
        for node, before in self._watched:
            try:
                await eventually(partial(holds_no_more, node, before), within)
            except TimeoutError:
                raise AssertionError(f"{node.name} held {before}, holds {holdings(node)}") from None

    async def check(self, within: float = PATIENCE) -> None:
        """The nodes are gone: so are their processes, tasks and sockets, and nothing complained."""
        for node, _ in self._watched:
            assert not node.kernel.table.by_pid, f"{node.name} was left, but processes of it live on"
        try:
            await eventually(lambda: len(anyio.get_running_tasks()) <= self._tasks, within)
        except TimeoutError:
            names = [each.name for each in anyio.get_running_tasks()]
            raise AssertionError(f"{self._tasks} tasks ran before, now there are {names}") from None
        gc.collect()  # what nobody will ever await or close complains now, into the log or as a warning
        try:
            await eventually(lambda: self._open_fds() <= self._fds, within)
        except TimeoutError:
            raise AssertionError(f"{self._fds} files were open, now {self._open_fds()}") from None
        unexpected = [
            each for each in self.errors.texts if not any(text in each for text in self.expected_errors)
        ]
        assert not unexpected, "errors were logged:\n" + "\n".join(unexpected)

    def _open_fds(self) -> int:
        return len(list(FDS.iterdir())) if FDS.exists() else 0


class Errors(logging.Handler):
    """I4: log lines at ERROR, among them those of asyncio about tasks that nobody awaited."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text, and the traceback if there is one."""
        self.texts.append(f"{record.name}: {self.format(record)}")


@contextmanager
def memory_within(mebibytes: float) -> Iterator[None]:
    """I5: the peak of resident memory inside exceeds what was before by no more (where Linux tells)."""
    if not CLEAR_REFS.exists():
        yield
        return
    gc.collect()
    CLEAR_REFS.write_text("5")  # the peak starts anew
    before = resident("VmRSS")
    yield
    grown = resident("VmHWM") - before
    assert grown <= mebibytes * MIB, f"memory grew by {grown / MIB:.0f} MiB, allowed are {mebibytes:g}"


def resident(line: str) -> int:
    """VmRSS or VmHWM, in bytes."""
    for each in STATUS.read_text().splitlines():
        if each.startswith(f"{line}:"):
            return int(each.split()[1]) * 1024
    raise AssertionError(f"no {line} in {STATUS}")

"""Ten thousand processes that hang together: all end, each once, within a second of work (rows G1 and G2)."""

import gc
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from etf_codec import Atom, Pid
from otp_behaviors import (
    KILL,
    KILLED,
    SHUTDOWN,
    Child,
    Down,
    GenServer,
    Kernel,
    Process,
    Supervisor,
    start_child,
)
from otp_behaviors._process import FunctionProcess
from otp_behaviors.testing import Simulation

CROWD = 10_000
CHURN = 20_000
BOOM = Atom("boom")


class Member(GenServer):
    """Waits; what counts are its links."""


class Counting(Kernel):
    """A kernel that counts how often each process ends."""

    def __init__(self) -> None:
        super().__init__("a@host", 1)
        self.ends: Counter[Pid] = Counter()
        self.reasons: set[Any] = set()

    def exit(
        self, record: Any, reason: Any, error: BaseException | None = None, *, by_signal: bool = False
    ) -> None:
        if record.alive:
            self.ends[record.pid] += 1
            self.reasons.add(reason)
        super().exit(record, reason, error, by_signal=by_signal)


@pytest.fixture
def kernel() -> Iterator[Counting]:
    kernel = Counting()
    yield kernel
    assert not kernel.table.by_pid
    assert [len(table) for table in (kernel.links, kernel.monitors, kernel.aliases, kernel.timers)] == [0] * 4


def crowd(kernel: Kernel) -> list[Any]:
    records = [Member.__process__(kernel, ()) for _ in range(CROWD)]
    for record in records:
        kernel.spawn(record)
    kernel.run(10 * CROWD)
    return records


def ring(kernel: Kernel, records: list[Any]) -> None:
    for record, following in zip(records, [*records[1:], records[0]], strict=True):
        kernel.links.link(record, following.pid)


def star(kernel: Kernel, records: list[Any]) -> None:
    for record in records[1:]:
        kernel.links.link(record, records[0].pid)


@pytest.mark.parametrize("shape", [ring, star])
@pytest.mark.parametrize("victim", [0, CROWD // 2])
def test_one_is_killed_and_all_end_once(
    kernel: Counting, shape: Callable[[Kernel, list[Any]], None], victim: int
) -> None:
    records = crowd(kernel)
    shape(kernel, records)
    started = time.process_time()
    kernel.send_exit(records[0].pid, records[victim].pid, KILL)
    kernel.run()
    assert time.process_time() - started < 1.0
    assert kernel.ends == Counter({record.pid: 1 for record in records})
    assert kernel.reasons == {KILLED}


def test_a_star_of_monitors_is_told_once_each(kernel: Counting) -> None:
    async def watcher(process: Process, centre: Pid) -> None:
        ref = process.monitor(centre)
        down = await process.receive()
        assert isinstance(down, Down)
        assert (down.ref, down.reason) == (ref, BOOM)

    centre = Member.__process__(kernel, ())
    kernel.spawn(centre)
    for _ in range(CROWD):
        record = FunctionProcess(kernel, watcher, (centre.pid,))
        record.driven = True
        kernel.spawn(record)
    kernel.run(10 * CROWD)
    started = time.process_time()
    kernel.exit(centre, BOOM)
    kernel.run(10 * CROWD)
    assert time.process_time() - started < 1.0
    assert len(kernel.ends) == CROWD + 1
    assert kernel.reasons == {BOOM, Atom("normal")}


def test_a_supervisor_of_many_works_no_more_for_each() -> None:
    def work(count: int) -> float:
        with Simulation(seed=1, turn_time=(0.0, 0.0)) as simulation:
            return float(simulation.node("a@host").play(start_and_end, count))

    async def start_and_end(self: Process, count: int) -> float:
        many = Supervisor(Child(Member, restart="temporary"), strategy="simple_one_for_one")
        supervisor = await self.start(many)
        began = time.process_time()
        pids = [await start_child(self, supervisor, []) for _ in range(count)]
        for pid in pids:
            assert pid is not None
            self.exit(pid, KILL)
        counts = await self.call(supervisor, Atom("count_children"), None)
        took = time.process_time() - began
        assert (Atom("active"), 0) in counts
        self.exit(supervisor, SHUTDOWN)
        return took / count

    assert work(CROWD) < 2.5 * work(CROWD // 10)


def test_a_chain_across_nodes_falls() -> None:
    with Simulation(seed=1, turn_time=(0.0, 0.0)) as simulation:
        nodes = [simulation.node(f"{letter}@host") for letter in "ab"]
        pids = [nodes[index % 2].start(Member) for index in range(500)]
        for pid, following in pairwise(pids):
            node = simulation.nodes[pid.node]
            node.kernel.links.link(node.kernel.table.by_pid[pid], following)
        simulation.run()
        simulation.check()
        nodes[0].exit(pids[0], KILL)
        simulation.run()
        simulation.check()
        assert [node.alive(pid) for node in nodes for pid in pids if pid.node == node.name] == [False] * 500


def test_churn_leaves_nothing_and_repeats_no_pid(kernel: Counting) -> None:
    async def brief(process: Process) -> None:
        process.alias()
        process.send_after(3600.0, process.pid, None)
        process.register("brief")

    def churn(times: int) -> None:
        for _ in range(times):
            record = FunctionProcess(kernel, brief, ())
            record.driven = True
            kernel.spawn(record)
            kernel.run()

    churn(CHURN)
    assert len(kernel.ends) == CHURN
    assert set(kernel.ends.values()) == {1}
    kernel.ends.clear()
    churn(10)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        churn(2000)
        kernel.ends.clear()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()

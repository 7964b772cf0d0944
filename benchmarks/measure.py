"""Interleaved measurement: for each case, round after round of every server in turn.

Machine speed drifts and other processes come and go; servers measured within seconds of each other
see the same machine, so ratios within a round hold where absolute numbers do not. A server is
started afresh for each sample, so that the luck of one process (hash seed, memory layout) does not
stay for all rounds.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.errors import BenchmarkError
from benchmarks.load import LoadPlan, check_answer, run_load
from benchmarks.processes import (
    ProcessTree,
    RunningServer,
    free_port,
    peak_octets,
    resident_octets,
)

if TYPE_CHECKING:
    from benchmarks.cases import Case
    from benchmarks.servers import Server

_WATCH_S = 0.25

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How everything is measured; the same for every server."""

    rounds: int
    seconds: float
    """Length of one sample."""
    warm_up_s: float
    """Load before the sample that is not counted."""
    load: LoadPlan
    server_cpus: frozenset[int]


@dataclass(frozen=True)
class Sample:
    """One measurement of one server in one round."""

    case: str
    interface: str
    server: str
    round: int
    requests: int
    seconds: float
    cpu_s: float
    """CPU of the whole process tree during the sample, user and system."""
    p50_us: float
    p99_us: float
    worker_rss: int
    """Octets resident in the process that served, idle, before any load."""
    tree_rss: int
    """The same of the whole tree; pages that processes share count once for each."""
    failures: dict[str, int]
    connection_octets: int = 0
    """Resident octets that each connection cost in the process that served; of idle ones only."""
    peak_rss: int = 0
    """The most octets that the process that served ever had resident."""

    @property
    def cpu_us(self) -> float:
        """CPU microseconds for one request."""
        return self.cpu_s / self.requests * 1e6

    @property
    def rate(self) -> float:
        """Requests answered per second."""
        return self.requests / self.seconds


@dataclass(frozen=True)
class Failure:
    """A server that could not be measured in a round, and why."""

    case: str
    interface: str
    server: str
    round: int
    reason: str


@dataclass(frozen=True)
class Entry:
    """One cell of the plan: a server in a case with an interface."""

    case: Case
    interface: str
    server: Server


def default_cpus() -> tuple[frozenset[int], frozenset[int]]:
    """Return the CPUs for the server and for the load: one each, different where there are two."""
    available = sorted(os.sched_getaffinity(0))
    return frozenset(available[-1:]), frozenset(available[:1])


def entries(
    cases: Iterable[Case], interfaces: Iterable[str], servers: Iterable[Server]
) -> list[list[Entry]]:
    """Return the groups to interleave: one list of servers for each case and interface."""
    pool = list(servers)
    wanted = list(interfaces)
    groups = [
        [Entry(case, interface, server) for server in pool if server.runs(case, interface)]
        for case in cases
        for interface in wanted
    ]
    return [group for group in groups if group]


def run(
    groups: Iterable[list[Entry]],
    interpreters: Mapping[str, Path],
    plan: Plan,
    progress: Progress,
) -> Iterator[Sample | Failure]:
    """Measure every entry of every group, *plan.rounds* times, interleaved.

    Args:
        groups: Entries that are compared with each other.
        interpreters: The Python of each server, by the server's name.
        plan: How to measure.
        progress: Gets a line of text for each result.
    """
    for group in groups:
        for number in range(plan.rounds):
            for entry in group:
                result = _try(entry, number, interpreters[entry.server.name], plan)
                progress(_line(result))
                yield result


def _try(entry: Entry, number: int, interpreter: Path, plan: Plan) -> Sample | Failure:
    try:
        return sample(entry, number, interpreter, plan)
    except BenchmarkError as error:
        names = (entry.case.name, entry.interface, entry.server.name)
        return Failure(*names, number, str(error))


def sample(entry: Entry, number: int, interpreter: Path, plan: Plan) -> Sample:
    """Start the server, load it, and return one sample.

    Raises:
        BenchmarkError: The server or the load generator failed.
    """
    case = entry.case
    port = free_port()
    command = entry.server.command(str(interpreter), case, entry.interface, port)
    with (
        tempfile.NamedTemporaryFile(prefix="benchmark-") as log,
        RunningServer(command, port, plan.server_cpus, log) as server,
    ):
        server.wait_ready()
        check_answer(case, port)
        idle = server.tree()
        resident = {process.pid: resident_octets(process.pid) for process in idle.processes}
        idling = case.websocket is not None and not case.websocket.octets
        if not idling:
            run_load(case, port, plan.warm_up_s, plan.load)
        before = server.tree()
        with _largest(idle if idling else ProcessTree(())) as largest:
            load = run_load(case, port, plan.seconds, plan.load)
        after = server.tree()
        worker = after.busiest_since(idle)
        peak = peak_octets(worker)
    return Sample(
        case=case.name,
        interface=entry.interface,
        server=entry.server.name,
        round=number,
        requests=load.requests,
        seconds=load.seconds,
        cpu_s=after.cpu_s - before.cpu_s,
        p50_us=load.p50_us,
        p99_us=load.p99_us,
        worker_rss=resident.get(worker, 0),
        tree_rss=sum(resident.values()),
        failures=load.failures,
        connection_octets=max(0, largest.get(worker, 0) - resident.get(worker, 0)) // load.requests
        if idling
        else 0,
        peak_rss=peak,
    )


@contextlib.contextmanager
def _largest(tree: ProcessTree) -> Iterator[dict[int, int]]:
    """Watch the processes of *tree* inside; return the most octets that each had resident."""
    found: dict[int, int] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_WATCH_S):
            for process in tree.processes:
                octets = resident_octets(process.pid)
                found[process.pid] = max(octets, found.get(process.pid, 0))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()


def _line(result: Sample | Failure) -> str:
    where = f"{result.case}/{result.interface} round {result.round + 1} {result.server}"
    if isinstance(result, Failure):
        return f"{where}: FAILED: {result.reason.rstrip().splitlines()[-1]}"
    failed = f"  {result.failures}" if result.failures else ""
    if result.connection_octets:
        failed += f"  {result.connection_octets / 1024:.1f} KiB/connection"
    return f"{where}: {result.cpu_us:.1f} us CPU, {result.rate:.0f} requests/s{failed}"

"""Starting, watching and ending the processes of one server; Linux only (``/proc``).

Only processes started here are ever signalled, each by its own id.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.environments import ROOT
from benchmarks.errors import BenchmarkError
from benchmarks.servers import HOST

_TICKS = os.sysconf("SC_CLK_TCK")
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.02
# Settings of these that the caller's shell happens to have would change what is measured.
_CLEARED = ("PYTHON", "GRANIAN_", "UVICORN_", "GUNICORN_", "HYPERCORN_", "WEB_CONCURRENCY")


@dataclass(frozen=True)
class ProcessState:
    """What the kernel says about one process, see proc(5)."""

    pid: int
    parent: int
    started: int
    """Start time in clock ticks since boot; with the pid it names a process for good."""
    cpu_s: float
    """User and system seconds of the process and of its children that were waited for."""


@dataclass(frozen=True)
class ProcessTree:
    """One moment of a process and all its descendants."""

    processes: tuple[ProcessState, ...]

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU used so far by the whole tree."""
        return sum(process.cpu_s for process in self.processes)

    def busiest_since(self, earlier: ProcessTree) -> int:
        """Return the pid that used most CPU after *earlier*: the worker, once it was loaded."""
        before = {process.pid: process.cpu_s for process in earlier.processes}
        used = {
            process.pid: process.cpu_s - before.get(process.pid, 0.0) for process in self.processes
        }
        return max(used, key=lambda pid: used[pid])


def read_state(pid: int) -> ProcessState | None:
    """Return the state of *pid*, or None when there is no such process (any more)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Field 2 is the command in parentheses and may hold anything; fields 3 and on follow it.
    fields = text.rpartition(")")[2].split()
    try:
        own_s = time.clock_gettime(_cpu_clock(pid))
    except OSError:
        return None
    children_s = sum(int(field) for field in fields[13:15]) / _TICKS
    return ProcessState(pid, int(fields[1]), int(fields[19]), own_s + children_s)


def _cpu_clock(pid: int) -> int:
    """Return the id of the clock that counts the CPU time of a process, all its threads together.

    It counts what utime and stime of ``/proc/PID/stat`` count, in nanoseconds in place of ticks of
    10 ms; the id is what clock_getcpuclockid(3) makes, which Python does not offer.
    """
    return (~pid << 3) | 2


def read_tree(root: int) -> ProcessTree:
    """Return *root* and all its descendants."""
    states = [read_state(int(name)) for name in os.listdir("/proc") if name.isdigit()]
    children: dict[int, list[ProcessState]] = {}
    found: list[ProcessState] = []
    for state in states:
        if state is None:
            continue
        children.setdefault(state.parent, []).append(state)
        if state.pid == root:
            found.append(state)
    for state in found:
        found.extend(children.get(state.pid, ()))
    return ProcessTree(tuple(found))


def resident_octets(pid: int) -> int:
    """Return the resident set of *pid* in octets, 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))


def peak_octets(pid: int) -> int:
    """Return the most octets that *pid* ever had resident, 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@contextlib.contextmanager
def pinned(cpus: frozenset[int]) -> Iterator[None]:
    """Let processes started inside run on *cpus* only; they inherit the caller's affinity."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_open_files(wanted: int) -> None:
    """Raise the soft limit of open files, which child processes inherit, to *wanted*.

    Raises:
        BenchmarkError: The hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        message = f"RLIMIT_NOFILE: {wanted} files are needed and the hard limit is {hard}"
        raise BenchmarkError(message)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def free_port() -> int:
    """Return a loopback port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def child_environment() -> dict[str, str]:
    """Return the variables for a server: the caller's without settings for Python or a server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_CLEARED)}
    kept.pop("VIRTUAL_ENV", None)
    kept["PYTHONPATH"] = str(ROOT)
    return kept


class RunningServer:
    """A server process tree; a context manager that ends it."""

    def __init__(self, command: Sequence[str], port: int, cpus: frozenset[int], log: IO[bytes]):
        self.port = port
        self._log = log
        with pinned(cpus):
            # A session of its own keeps a Ctrl-C in the terminal for us: we end it in order.
            try:
                self._process = subprocess.Popen(
                    list(command),
                    cwd=ROOT,
                    env=child_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                message = f"{command[0]} is not installed"
                raise BenchmarkError(message) from error

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the root of the tree."""
        return self._process.pid

    def tree(self) -> ProcessTree:
        """Return the present state of the process tree."""
        return read_tree(self._process.pid)

    def wait_ready(self) -> None:
        """Return when the port accepts connections.

        Raises:
            BenchmarkError: The server ended or did not listen in time; the text has its output.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                message = f"exited with {self._process.returncode}:\n{self.output()}"
                raise BenchmarkError(message)
            try:
                socket.create_connection((HOST, self.port), timeout=1.0).close()
            except OSError:
                time.sleep(_POLL_S)
            else:
                return
        message = f"does not listen after {_START_TIMEOUT_S:.0f} s:\n{self.output()}"
        raise BenchmarkError(message)

    def output(self) -> str:
        """Return the end of what the server has printed."""
        return Path(self._log.name).read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """End the tree: SIGTERM to its root, then SIGKILL to whatever of it is left."""
        if self._process.poll() is None:
            members = self.tree().processes
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_TIMEOUT_S)
            _kill_left(members)
        self._process.wait()


def _kill_left(members: Sequence[ProcessState]) -> None:
    for member in members:
        state = read_state(member.pid)
        # A pid with another start time is another process by now.
        if state is not None and state.started == member.started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGKILL)

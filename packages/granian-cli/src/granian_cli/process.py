"""One worker's process as the supervisor holds it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import TYPE_CHECKING

from granian_cli.handle import ControlPipe
from granian_cli.signals import handled_signals
from granian_cli.worker import run_worker

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from granian_cli.control import Assignment, WorkerSpec

PROCESS_NAME = "granian-worker"


def start_method() -> str:
    """Return how workers start: fork where it is multiprocessing's default, else spawn."""
    return "fork" if multiprocessing.get_start_method() == "fork" else "spawn"


@contextlib.contextmanager
def blocked_signals() -> Iterator[None]:
    """Keep our signals pending while a process starts.

    A forked child shares the wakeup descriptor until it has reset it: a Ctrl-C in between
    would count twice here. The child unblocks them itself.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    former = signal.pthread_sigmask(signal.SIG_BLOCK, handled_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


class WorkerProcess(ControlPipe):
    """A worker process, its control pipe and its heartbeat.

    Args:
        context: The multiprocessing context to start it in.
        entry: Runs in it, instead of `run_worker`.
    """

    kind = "PID"

    def __init__(
        self, context: BaseContext, entry: Callable[[WorkerSpec], None] | None = None
    ) -> None:
        super().__init__()
        self._context = context
        self._entry = entry
        self._process: BaseProcess | None = None

    def start(self, assignment: Assignment, others: tuple[Connection, ...]) -> None:
        """Start the process; *others* are ends of pipes that a forked child has to close.

        Raises:
            OSError: The system has no room for it.
        """
        if assignment.configuration.processes.workers_watchdog_timeout is not None:
            self._heartbeat = self._context.RawValue("d", time.monotonic())
        self.connection, theirs = multiprocessing.Pipe()
        forks = self._context.get_start_method() == "fork"
        inherited = (*others, self.connection) if forks else ()
        spec = assignment.equipped(theirs, self._heartbeat, inherited)
        self._process = self._context.Process(  # type: ignore[attr-defined]
            target=self._entry or run_worker, args=(spec,), name=PROCESS_NAME
        )
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            with blocked_signals():
                self._process.start()
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """What becomes readable when the process ends."""
        assert self._process is not None
        return self._process.sentinel

    @property
    def exitcode(self) -> int | None:
        """How the process ended, negative for a signal; None while it runs."""
        assert self._process is not None
        return self._process.exitcode

    def dump_stacks(self) -> None:
        """Have faulthandler write the worker's stacks, even while its loop is blocked."""
        if hasattr(signal, "SIGUSR1"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGUSR1)

    def kill(self) -> None:
        """End the process at once."""
        assert self._process is not None
        self._process.kill()

    def close(self) -> None:
        """Release what we hold of a process that has ended, or is about to."""
        self.close_connection()
        if self._process is not None and self._process.pid is not None:
            self._process.join()
            self._process.close()

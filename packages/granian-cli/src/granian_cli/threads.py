"""Workers that are threads of the supervisor's process, for Python without the GIL.

Rules:

- The application is loaded once, on the main thread, and shared. Everything else a worker
  has for itself: its event loop, its interface with its lifespan, its server, its pool.
- `WorkerThread` is to the supervisor what `granian_cli.process.WorkerProcess` is, so that
  the state machine knows no difference.
- Signals are the supervisor's, on the main thread; a worker hears of them on its pipe.
- A thread can not be killed. One that should be is *left behind*: nobody waits for it any
  more, and the process ends without it.

All of this runs with the GIL as well, where ``GRANIAN_WORKERS_AS=threads`` asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import faulthandler
import gc
import logging
import multiprocessing
import os
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from granian_cli.handle import ControlPipe
from granian_cli.titles import set_thread_title
from granian_cli.worker import (
    LATE_EXIT_CODE,
    YOUNG_OBJECTS,
    ControlThread,
    Worker,
    application_errors,
    load_application,
)
from granian_core.errors import ConfigurationError, FatalError

if TYPE_CHECKING:
    from granian_cli.config import Configuration
    from granian_cli.control import Assignment, WorkerSpec

logger = logging.getLogger("_granian.worker")

VARIABLE = "GRANIAN_WORKERS_AS"
"""Environment variable that says ``threads`` or ``processes``, for tests and for a way back."""
THREAD_NAME = "granian-worker-"


def workers_are_threads() -> bool:
    """Whether workers are threads here: Python is free-threaded, or somebody asks for it.

    Raises:
        ConfigurationError: The variable says something else.
    """
    wish = os.environ.get(VARIABLE)
    if wish is None:
        return is_free_threaded()
    if wish not in ("threads", "processes"):
        raise ConfigurationError(VARIABLE, wish, "use threads or processes")
    return wish == "threads"


def is_free_threaded() -> bool:
    """Whether this Python was built to run without the GIL."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def is_gil_enabled() -> bool:
    """Whether threads take turns."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def refuse_gil() -> None:
    """Refuse to serve where a free-threaded Python has the GIL all the same.

    Raises:
        FatalError: An extension module, or the environment, has enabled it.
    """
    if is_free_threaded() and is_gil_enabled():
        raise FatalError(
            "the GIL is enabled, so that workers would take turns: an extension module that "
            "does not support free threading was imported (Python has warned of it), or "
            f"PYTHON_GIL is 1; do without that module, set PYTHON_GIL=0, or {VARIABLE}=processes"
        )


def settle_process() -> None:
    """Do once, with the application loaded, what a worker process does for itself."""
    refuse_gil()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    gc.collect()
    gc.freeze()


def is_any_left_behind() -> bool:
    """Whether a worker's thread still runs."""
    return any(thread.name.startswith(THREAD_NAME) for thread in threading.enumerate())


@dataclass(slots=True)
class Heartbeat:
    """What `control.SharedFloat` is within one process."""

    value: float


class ThreadWorker(Worker):
    """A worker that shares its process with others."""

    def _make_control(self) -> ControlThread:
        return ThreadControl(self)

    def _prepare(self) -> None:
        set_thread_title(f"worker-{self.spec.number}")

    def _settle_memory(self) -> None:
        # Other workers serve: what they have in hand must not be frozen.
        refuse_gil()  # the loop's package may have enabled it

    def _watch_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """Leave signals to the main thread."""

    def _leave_unstarted(self) -> None:
        """Leave it to `_serve`, which looks whether it still has to begin."""

    def _count_workers(self) -> int:
        return 1  # processes

    def _release(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the threads that only this worker has used."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
        loop.run_until_complete(loop.shutdown_default_executor())


class ThreadControl(ControlThread):
    """Waits for orders until the supervisor closes its end of the pipe."""

    def arm(self) -> None:
        """Do nothing: it is the supervisor that leaves late workers behind."""

    def run(self) -> None:
        """Read orders, then close our end, which nobody else may do while we read."""
        super().run()
        self._connection.close()


class WorkerThread(ControlPipe):
    """A worker thread and its control pipe."""

    kind = "TID"

    def __init__(self) -> None:
        super().__init__()
        self._thread: threading.Thread | None = None
        self._sentinel: Connection | None = None
        self._ended: Connection | None = None
        self._exitcode: int | None = None
        self._ending = threading.Lock()

    def start(self, assignment: Assignment, others: tuple[Connection, ...]) -> None:
        """Start the thread; see `granian_cli.handle.WorkerHandle`.

        The logging, the title and the pipes of others are the process's.
        """
        if assignment.configuration.processes.workers_watchdog_timeout is not None:
            self._heartbeat = Heartbeat(time.monotonic())
        self._sentinel, self._ended = multiprocessing.Pipe(duplex=False)
        self.connection, theirs = multiprocessing.Pipe()
        for sock in assignment.sockets:
            sock.setblocking(False)  # as `listen` does: the other workers' copies must stay so
        own = tuple(sock.dup() for sock in assignment.sockets)
        spec = dataclasses.replace(assignment, sockets=own).equipped(theirs, self._heartbeat)
        self._thread = threading.Thread(
            target=self._run,
            args=(spec,),
            name=f"{THREAD_NAME}{assignment.number}",
            daemon=True,
        )
        try:
            self._thread.start()
        except RuntimeError as exc:
            _release_unstarted(spec, self._ended)
            raise OSError(str(exc)) from exc

    def _run(self, spec: WorkerSpec) -> None:
        code = 1
        try:
            code = ThreadWorker(spec).run()
        except BaseException:  # SystemExit too: an application can not stop the server
            logger.exception("worker-%d ended with an exception", spec.number)
        finally:
            asyncio.set_event_loop(None)
            for sock in spec.sockets:
                sock.close()
            self._note_end(code)

    def _note_end(self, code: int) -> None:
        assert self._ended is not None
        with self._ending:
            if self._exitcode is None:
                self._exitcode = code
            self._ended.close()

    @property
    def pid(self) -> int:
        """The thread's id, as the system has it."""
        assert self._thread is not None
        return self._thread.native_id or 0

    @property
    def sentinel(self) -> Connection:
        """What becomes readable when the thread ends."""
        assert self._sentinel is not None
        return self._sentinel

    @property
    def exitcode(self) -> int | None:
        """How the thread ended; None while it runs and is not left behind."""
        return self._exitcode

    def dump_stacks(self) -> None:
        """Write the stacks of all threads."""
        with contextlib.suppress(AttributeError, OSError, ValueError):  # stderr has no descriptor
            faulthandler.dump_traceback(all_threads=True)

    def kill(self) -> None:
        """Leave the thread behind: nothing can end it."""
        with self._ending:  # it may end just now, and close what we tell by
            if self._exitcode is not None:
                return
            self._exitcode = LATE_EXIT_CODE
            assert self._thread is not None
            assert self._ended is not None
            logger.error("%s does not end: it is left behind", self._thread.name)
            with contextlib.suppress(OSError):  # nobody reads any more
                self._ended.send(None)  # the sentinel tells

    def close(self) -> None:
        """Release what we hold of a thread that has ended, or is left behind."""
        self.close_connection()  # ends its control thread
        if self._sentinel is not None:
            self._sentinel.close()


def _release_unstarted(spec: WorkerSpec, ended: Connection) -> None:
    for sock in spec.sockets:
        sock.close()
    spec.control.close()
    ended.close()


def share_application(
    configuration: Configuration, loader: Callable[[], object] | None
) -> Callable[[], object]:
    """Load the application now, for workers that all get the same one.

    Raises:
        FatalError: It can not be loaded, or has brought the GIL back.
    """
    with application_errors("the application failed to load"):
        application = load_application(configuration, loader)
    settle_process()
    return lambda: application

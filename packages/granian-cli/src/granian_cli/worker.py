"""A worker process: one event loop, one application, one `granian_core.Server`.

Imports neither click nor rich. `run_worker` is the process's entry; it reports READY or
FAILED on the control pipe and ends when told to, by the pipe or by SIGTERM, or when the
pipe closes because the supervisor has died.

Two threads matter: the main thread runs the loop, and the control thread waits on the
pipe. So orders arrive, and the deadline for leaving holds, even while the loop is blocked.

`Worker` knows that it owns its process only in the section of that name;
`granian_cli.threads` overrides it for workers that are threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import faulthandler
import functools
import gc
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

from granian_cli import dump
from granian_cli.control import (
    DumpMessage,
    FailedMessage,
    ReadyMessage,
    RetireMessage,
    StopMessage,
    WorkerSpec,
)
from granian_cli.gate import shut_tcp
from granian_cli.loader import load_target
from granian_cli.rlimits import raise_open_files
from granian_cli.states import SHUTDOWN_MARGIN
from granian_cli.titles import set_process_title, set_thread_title
from granian_core.access import DEFAULT_ACCESS_LOG_FORMAT
from granian_core.errors import BindError, FatalError, StartupError
from granian_core.filethreads import limit_file_threads
from granian_core.interface import Interface, InterfaceOptions, load_interface
from granian_core.log import configure_logging
from granian_core.loops import loops
from granian_core.pool import BlockingPool
from granian_core.runtime.server import ThreadedServer
from granian_core.server import Server

if TYPE_CHECKING:
    from granian_cli.config import Configuration
    from granian_core.settings import ServerConfig
    from granian_core.stream import HTTPStream
    from granian_core.websocket import WebSocketStream

logger = logging.getLogger("_granian.worker")

LATE_EXIT_CODE = 70
"""Exit code of a worker that had to leave by `os._exit` (EX_SOFTWARE of sysexits.h)."""
BEATS = 4
"""Heartbeats within one watchdog timeout."""

_RESET_SIGNALS = ("SIGTERM", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGCHLD")


def run_worker(spec: WorkerSpec) -> None:
    """Run one worker until it is told to leave; ends by `SystemExit`."""
    _settle_signals()
    for end in spec.inherited:
        end.close()
    sys.exit(Worker(spec).run())


def _settle_signals() -> None:
    """Take the supervisor's signal handling off this process, and dump stacks on SIGUSR1."""
    # A forked child has the supervisor's descriptor there, and would write into it.
    signal.set_wakeup_fd(-1)
    for name in _RESET_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    # Ctrl-C and a closed terminal reach the whole group; what follows is the supervisor's
    # decision. A handler, for SIG_IGN would be inherited by the application's children.
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _leave_to_supervisor)
    if hasattr(signal, "SIGUSR1"):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # stderr has no descriptor
            faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _leave_to_supervisor(signum: int, frame: object) -> None:
    """Handle a signal by doing nothing."""


YOUNG_OBJECTS = 10_000
"""New container objects after which the garbage collector looks at the young ones."""


class Worker:
    """What happens in a worker process, from loading to leaving.

    Args:
        spec: What the supervisor wants.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self.configuration = spec.configuration
        self.server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._final = True
        self._sending = threading.Lock()
        self._pool: BlockingPool | None = None
        self._control = self._make_control()

    def run(self) -> int:
        """Load, serve, leave; return the exit code."""
        try:
            self._prepare()
            self._control.start()
            loop, server = self._build()
        except FatalError as exc:
            return self._fail(exc)
        try:
            loop.run_until_complete(self._serve(loop, server))
        except FatalError as exc:
            return self._fail(exc)
        finally:
            self._close(loop, server)
        return 0

    # -- the process is ours --------------------------------------------------------

    def _prepare(self) -> None:
        log = self.configuration.log
        set_process_title(self.spec.title)
        configure_logging(log.log_level, self.spec.log_config, log.log_enabled)
        raise_open_files()
        # A few dozen requests in progress hold more objects than Python's own threshold,
        # which made the collector run every few requests: 6 % of the CPU, measured at 64
        # connections. Before the application is loaded, so that its own choice wins.
        gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])

    def _settle_memory(self) -> None:
        """Keep the collector from walking again and again what exists now: it stays."""
        gc.collect()
        gc.freeze()

    def _watch_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        if hasattr(signal, "SIGTERM") and sys.platform != "win32":
            loop.add_signal_handler(signal.SIGTERM, self._terminated)

    def _leave_unstarted(self) -> None:
        """Leave while loading: nothing was accepted and nothing was started."""
        os._exit(0)

    def _release(self, loop: asyncio.AbstractEventLoop) -> None:
        """Release nothing more, once the loop has stopped: the rest goes with the process."""

    def _make_control(self) -> ControlThread:
        return ControlThread(self)

    def _count_workers(self) -> int:
        """Return how many processes serve the application."""
        return self.configuration.processes.workers

    # -- before the loop runs -----------------------------------------------------

    def _build(self) -> tuple[asyncio.AbstractEventLoop, Server]:
        """Make the loop, then the application, then the server around it."""
        runtime = self.configuration.runtime
        loop = loops.get(runtime.loop)
        if runtime.runtime_blocking_threads is not None:
            limit_file_threads(runtime.runtime_blocking_threads)
        with application_errors("the application failed to start"):
            interface = self._make_interface(self._load())
            log = self.configuration.log
            fmt = log.log_access_fmt or DEFAULT_ACCESS_LOG_FORMAT
            server = self._make_server(
                self._counted(interface),
                self.configuration.server_config(fmt if log.log_access_enabled else None),
            )
            server.setup(loop)
        self._settle_memory()
        return loop, server

    def _make_server(self, interface: Interface, config: ServerConfig) -> Server:
        runtime = self.configuration.runtime
        if runtime.runtime_threads == 1:
            return Server(interface, sockets=self.spec.sockets, config=config)
        return ThreadedServer(
            interface,
            threads=runtime.runtime_threads,
            mode=runtime.runtime_mode,
            new_loop=functools.partial(loops.get, runtime.loop),
            blocking=load_interface(self.configuration.application.interface).blocking,
            sockets=self.spec.sockets,
            config=config,
        )

    def _load(self) -> object:
        return load_application(self.configuration, self.spec.loader)

    def _make_interface(self, target: object) -> Interface:
        application, runtime = self.configuration.application, self.configuration.runtime
        factory = load_interface(application.interface)
        if factory.blocking:
            threads = runtime.blocking_threads or factory.default_blocking_threads
            self._pool = BlockingPool(
                threads or max(1, self.configuration.backpressure // 2),
                runtime.blocking_threads_idle_timeout,
            )
        options = InterfaceOptions(
            root_path=application.url_path_prefix or "",
            blocking_pool=self._pool,
            websockets=factory.websockets and self.configuration.network.websockets,
            access_log=self.configuration.log.log_access_enabled,
            worker_id=self.spec.number,
            workers=self._count_workers(),
            extra=application.extra(),
        )
        return factory(target, options)

    def _counted(self, interface: Interface) -> Interface:
        if self.spec.max_requests is None:
            return interface
        return RequestCounter(interface, self.spec.max_requests, self._ask_to_retire)

    # -- on the loop ----------------------------------------------------------------

    async def _serve(self, loop: asyncio.AbstractEventLoop, server: Server) -> None:
        self._stopping = asyncio.Event()
        self.server = server
        self._watch_signals(loop)
        self._beat(loop)
        self._loop = loop  # from now on the control thread stops us through the loop
        if self._control.stopping:
            return
        if not await self._start(server):
            return
        self._send(ReadyMessage(type(loop).__module__.partition(".")[0]))
        await self._stopping.wait()
        await self._stop(server)

    async def _start(self, server: Server) -> bool:
        """Start the server; False when we were told to leave meanwhile."""
        assert self._stopping is not None
        starting = asyncio.ensure_future(server.start())
        told = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return False
        with application_errors("the application failed to start"):
            try:
                starting.result()
            except OSError as exc:
                if exc.errno != errno.EADDRINUSE:
                    raise
                raise BindError(
                    "cannot listen: another server took the address; stop it or choose "
                    "another --port"
                ) from exc
        return True

    async def _stop(self, server: Server) -> None:
        timeout = self.configuration.processes.workers_graceful_timeout
        if self._final:
            for sock in self.spec.sockets:
                shut_tcp(sock)  # before the queue is emptied: nobody joins it afterwards
        await server.stop_accepting(final=self._final)
        for sock in self.spec.sockets:
            sock.close()  # the last process to do so has new clients refused, not reset
        await server.stop(timeout, final=self._final)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """Show the supervisor that the loop is alive."""
        timeout = self.configuration.processes.workers_watchdog_timeout
        if self.spec.heartbeat is not None and timeout is not None:
            self.spec.heartbeat.value = time.monotonic()
            loop.call_later(timeout / BEATS, self._beat, loop)

    def _terminated(self) -> None:
        """SIGTERM from outside: leave as if the supervisor had said so."""
        self._control.arm()
        assert self._stopping is not None
        self._stopping.set()

    # -- from the control thread ------------------------------------------------------

    def order_to_stop(self, final: bool) -> None:
        """Begin to leave. Called on the control thread, which has armed the deadline."""
        self._final = final
        if self._loop is None:
            self._leave_unstarted()
            return
        with contextlib.suppress(RuntimeError):  # the loop has closed: we are leaving
            self._loop.call_soon_threadsafe(self._set_stopping)

    def _set_stopping(self) -> None:
        if self._stopping is not None:
            self._stopping.set()

    def log_state(self) -> None:
        """Write stacks at once, tasks and connections when the loop gets to it."""
        logger.warning("Stacks of worker-%d:\n%s", self.spec.number, dump.stacks())
        if self._loop is not None and self.server is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._log_loop, self._loop, self.server)

    def _log_loop(self, loop: asyncio.AbstractEventLoop, server: Server) -> None:
        number = self.spec.number
        logger.warning("Tasks of worker-%d:\n%s", number, dump.tasks(loop))
        logger.warning("Connections of worker-%d:\n%s", number, dump.connections(server))

    # -- to the supervisor ------------------------------------------------------------

    def _ask_to_retire(self) -> None:
        self._send(RetireMessage())

    def _fail(self, error: FatalError) -> int:
        text = getattr(error, "traceback", "")
        self._send(FailedMessage(str(error), error.exit_code, text))
        return error.exit_code

    def _send(self, message: object) -> None:
        """Tell the supervisor; if it is gone, the control thread notices."""
        with self._sending, contextlib.suppress(OSError):
            self.spec.control.send(message)

    # -- after the loop ---------------------------------------------------------------

    def _close(self, loop: asyncio.AbstractEventLoop, server: Server) -> None:
        self._control.arm()  # teardown is the application's code, and may hang
        try:
            server.teardown(loop)
        except Exception:
            logger.exception("Application raised an exception while being torn down")
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        self._release(loop)
        loop.close()


class ControlThread(threading.Thread):
    """Waits for orders on the control pipe, and ends the process when it leaves too late."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(name="granian-control", daemon=True)
        self._worker = worker
        self._connection = worker.spec.control
        timeout = worker.configuration.processes.workers_graceful_timeout
        self._patience = timeout + SHUTDOWN_MARGIN
        self._deadline: float | None = None
        self._armed = threading.Event()
        self.stopping = False

    def arm(self) -> None:
        """Start the clock of the deadline. Safe from any thread; the first call counts."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._patience
            self._armed.set()
            threading.Thread(target=self._enforce, name="granian-deadline", daemon=True).start()

    def run(self) -> None:
        """Read orders until the supervisor is gone."""
        set_thread_title(self.name)
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                self._stop(final=True)  # the supervisor has died: nobody else will say it
                return
            if isinstance(message, StopMessage):
                self._stop(final=message.final)
            elif isinstance(message, DumpMessage):
                self._worker.log_state()

    def _stop(self, *, final: bool) -> None:
        if not self.stopping:
            self.stopping = True
            self.arm()
            self._worker.order_to_stop(final)

    def _enforce(self) -> None:
        assert self._deadline is not None
        time.sleep(max(0.0, self._deadline - time.monotonic()))
        logger.error(
            "worker-%d is late: leaving without the application's consent",
            self._worker.spec.number,
        )
        logging.shutdown()
        os._exit(LATE_EXIT_CODE)


def load_application(configuration: Configuration, loader: Callable[[], object] | None) -> object:
    """Return the application, from *loader* if there is one.

    Raises:
        TargetError: It is not found, or its code raised.
    """
    if loader is not None:
        return loader()
    application = configuration.application
    return load_target(
        configuration.target, factory=application.factory, working_dir=application.working_dir
    )


class RequestCounter:
    """Passes requests on, and calls back once, at a number of them.

    Args:
        inner: The interface.
        limit: The number.
        reached: Called when the request of that number begins, on its loop's thread.

    Loops of several threads may call it: the number is counted under a lock.
    """

    def __init__(self, inner: Interface, limit: int, reached: Callable[[], None]) -> None:
        self._inner = inner
        self._left = limit
        self._lock = threading.Lock()
        self._reached = reached
        self.websockets = inner.websockets
        self.setup = inner.setup
        self.startup = inner.startup
        self.shutdown = inner.shutdown
        self.teardown = inner.teardown

    def handle_http(self, stream: HTTPStream) -> Awaitable[None] | None:
        """Count and pass on."""
        self._count()
        return self._inner.handle_http(stream)

    def handle_websocket(self, stream: WebSocketStream) -> Awaitable[None] | None:
        """Count and pass on."""
        self._count()
        return self._inner.handle_websocket(stream)

    def _count(self) -> None:
        with self._lock:
            self._left -= 1
            is_reached = self._left == 0
        if is_reached:
            self._reached()


@contextlib.contextmanager
def application_errors(what: str) -> Iterator[None]:
    """Turn what the application raises outside of a request into a `StartupError`."""
    try:
        yield
    except (FatalError, asyncio.CancelledError):
        raise
    except Exception as exc:
        summary = traceback.format_exception_only(type(exc), exc)[-1].strip()
        error = StartupErrorWithTraceback(f"{what}: {summary}")
        error.traceback = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))
        raise error from exc


class StartupErrorWithTraceback(StartupError):
    """The application raised before it served."""

    traceback: str = ""

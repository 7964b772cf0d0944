"""A server inside a program: on the running loop, beside its other tasks.

One worker, no process, no signal handler. Granian's arguments and methods; beneath it is
`granian_core.Server`, which programs that need no drop-in may find simpler.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols, TaskImpl
from granian.log import LogLevels
from granian.server.common import Hooks
from granian_cli.keywords import KeywordError, configure
from granian_core.access import DEFAULT_ACCESS_LOG_FORMAT
from granian_core.errors import ConfigurationError, FatalError
from granian_core.filethreads import limit_file_threads
from granian_core.interface import InterfaceOptions, load_interface
from granian_core.log import configure_logging
from granian_core.runtime.server import ThreadedServer
from granian_core.server import Server as CoreServer
from granian_core.sockets import bind_tcp, bind_unix, local_address, unlink_unix

if TYPE_CHECKING:
    import socket

    from granian.http import HTTP1Settings, HTTP2Settings
    from granian_core.settings import Limits
    from granian_core.stream import Address

__all__ = ["Server"]

logger = logging.getLogger("_granian.embed")


class Order(Enum):
    """What `Server.stop` and `Server.reload` tell the coroutine that serves."""

    STOP = "stop"
    RELOAD = "reload"


class Server(Hooks):
    """A server for one application, in the running loop.

    The arguments are Granian's, by name, order and default; further keywords are our own
    settings, by the names of the ``GRANIAN_*`` variables in lower case. It may be made
    outside of a loop, and may serve again once it has stopped.

    Args:
        target: The application itself, or, with *factory*, what returns it.
        limits: Limits on what one peer may cost.
        settings: Further settings by name.

    Raises:
        ConfigurationError: A value is out of bounds, or something is asked for that an
            embedded server does not have. Where a keyword or a type is wrong, it is a
            `TypeError` too.

    Attributes:
        started: Set while connections are accepted; a new event after each stop.
    """

    def __init__(
        self,
        target: Any,
        address: str | Sequence[str] = "127.0.0.1",
        port: int = 8000,
        uds: Path | None = None,
        interface: Interfaces | str = Interfaces.RSGI,
        blocking_threads: int | None = None,
        blocking_threads_idle_timeout: int = 30,
        runtime_threads: int = 1,
        runtime_blocking_threads: int | None = None,
        task_impl: TaskImpl | str = TaskImpl.asyncio,
        http: HTTPModes | str = HTTPModes.auto,
        websockets: bool = True,
        backlog: int = 128,
        backpressure: int | None = None,
        http1_settings: HTTP1Settings | None = None,
        http2_settings: HTTP2Settings | None = None,
        log_enabled: bool = True,
        log_level: LogLevels | str = LogLevels.info,
        log_dictconfig: Mapping[str, Any] | None = None,
        log_access: bool = False,
        log_access_format: str | None = None,
        ssl_cert: Path | Sequence[Path] | None = None,
        ssl_key: Path | Sequence[Path] | None = None,
        ssl_key_password: str | None = None,
        ssl_protocol_min: SSLProtocols | str = SSLProtocols.tls13,
        ssl_ca: Path | None = None,
        ssl_crl: Sequence[Path] | None = None,
        ssl_client_verify: bool = False,
        url_path_prefix: str | None = None,
        factory: bool = False,
        static_path_route: Sequence[str] | None = None,
        static_path_mount: Sequence[Path] | None = None,
        static_path_dir_to_file: str | None = None,
        static_path_expires: int = 86400,
        *,
        limits: Limits | None = None,
        **settings: Any,
    ) -> None:
        keywords = {name: value for name, value in locals().items() if name not in _OUR_OWN}
        for name in settings.keys() & _NOT_EMBEDDED:
            raise KeywordError(name, None, "an embedded server has no such setting")
        keywords.update(settings)
        super().__init__()
        if log_dictconfig is not None and not isinstance(log_dictconfig, Mapping):
            raise KeywordError("log_dictconfig", repr(log_dictconfig), "use a dict")
        self.configuration = configure("embedded", keywords)
        self._factory = load_interface(self.configuration.application.interface)
        self._check()
        self._target = target
        self._made = False
        self._log_dictconfig = log_dictconfig
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._orders: asyncio.Queue[Order] | None = None
        self._stopped_early = False
        self._has_served = False
        self._sockets: list[socket.socket] = []
        self.started = asyncio.Event()

    def _check(self) -> None:
        name = self.configuration.application.interface
        threads = self.configuration.runtime.blocking_threads
        if self._factory.blocking:
            logger.error("The interface %s can not be embedded: its applications block", name)
            raise ConfigurationError("interface", name, "an embedded server needs asgi or rsgi")
        if threads is not None and threads > 1:
            logger.error("The interface %s has one blocking thread", name)
            raise ConfigurationError("blocking_threads", threads, "leave it out")

    # -- what people read ---------------------------------------------------------------

    @property
    def interface(self) -> Interfaces | str:
        """The interface; a member of `Interfaces` where it is one of those."""
        name = self.configuration.application.interface
        return Interfaces(name) if name in set(Interfaces) else name

    @property
    def addresses(self) -> list[Address]:
        """The bound addresses: ``(host, port)`` or ``(path, None)``; empty while stopped."""
        return [local_address(sock) for sock in self._sockets]

    @property
    def bind_addr(self) -> str:
        """The address, or the first of several."""
        return self.configuration.network.host[0]

    @property
    def bind_port(self) -> int:
        """The port; while it serves, the one that was bound."""
        for _, port in self.addresses:
            if port is not None:
                return port
        return self.configuration.network.port

    @property
    def bind_uds(self) -> Path | None:
        """The unix socket, absolute."""
        uds = self.configuration.network.uds
        return None if uds is None else uds.absolute()

    # -- what people call ---------------------------------------------------------------

    def stop(self) -> None:
        """Have `serve` stop gracefully and return. Safe from any thread, and any number of times.

        Before the first `serve`, it is remembered: that `serve` returns at once.
        """
        with self._lock:
            if self._loop is None:
                self._stopped_early = not self._has_served
        self._order(Order.STOP)

    def reload(self) -> None:
        """Have a new worker take over from the old one. Safe from any thread."""
        self._order(Order.RELOAD)

    def _order(self, order: Order) -> None:
        with self._lock:
            if self._loop is not None and self._orders is not None:
                with contextlib.suppress(RuntimeError):  # the loop was closed under its feet
                    self._loop.call_soon_threadsafe(self._orders.put_nowait, order)

    async def serve(self, spawn_target: Callable[..., CoreServer] | None = None) -> None:
        """Serve until `stop`; cancelling it stops gracefully, too.

        Args:
            spawn_target: Makes a worker, called as `granian_core.Server` is; that by default, or
                with *runtime_threads* one with I/O threads.

        Raises:
            FatalError: The address can not be bound, or the application refused to start.
            RuntimeError: It is serving already.
        """
        with self._lock:
            if self._loop is not None:
                raise RuntimeError("the server is serving already")
            self._has_served = True
            if self._stopped_early:
                self._stopped_early = False
                return
            self._loop = asyncio.get_running_loop()
            orders: asyncio.Queue[Order] = asyncio.Queue()
            self._orders = orders
        try:
            await self._serve(orders, spawn_target or self._server_class(self._loop))
        finally:
            with self._lock:
                self._loop = self._orders = None
            self.started = asyncio.Event()

    # -- serving ------------------------------------------------------------------------

    def _server_class(self, loop: asyncio.AbstractEventLoop) -> Callable[..., CoreServer]:
        """Return what makes a worker; loops of I/O threads are of the running one's kind."""
        threads = self.configuration.runtime.runtime_threads
        if threads == 1:
            return CoreServer
        return functools.partial(ThreadedServer, threads=threads, new_loop=type(loop))

    async def _serve(self, orders: asyncio.Queue[Order], make: Callable[..., CoreServer]) -> None:
        log = self.configuration.log
        configure_logging(log.log_level, self._log_dictconfig, log.log_enabled)
        logger.info("Starting granian (PID: %d)", os.getpid())
        if (files := self.configuration.runtime.runtime_blocking_threads) is not None:
            limit_file_threads(files)
        try:
            self._bind()
            _run_hooks(self.hooks_startup)
            worker = await self._start_unless_told(make, orders)
            if worker is None:
                return
            try:
                self.started.set()
                while await orders.get() is not Order.STOP:
                    worker = await self._replace(worker, make)
                logger.info("Shutting down granian")
            finally:
                await self._stop(worker)
                _run_hooks(self.hooks_shutdown)
        finally:
            self._release()

    async def _start_unless_told(
        self, make: Callable[..., CoreServer], orders: asyncio.Queue[Order]
    ) -> CoreServer | None:
        """Start; an application that takes long to do so does not delay a stop."""
        starting = asyncio.ensure_future(self._start(make))
        told = asyncio.ensure_future(_wait_for_stop(orders))
        try:
            await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if starting.done() and not starting.cancelled() and starting.exception() is None:
                await self._stop(starting.result())
            raise
        finally:
            for task in (starting, told):
                task.cancel()
            await asyncio.gather(starting, told, return_exceptions=True)
        if told.done() and not told.cancelled():
            orders.put_nowait(Order.STOP)  # it has taken the order, which is for serving too
        return None if starting.cancelled() else starting.result()

    async def _start(self, make: Callable[..., CoreServer]) -> CoreServer:
        configuration = self.configuration
        log = configuration.log
        fmt = log.log_access_fmt or DEFAULT_ACCESS_LOG_FORMAT
        factory = self._factory  # looking it up reads the metadata of all that is installed
        options = InterfaceOptions(
            root_path=configuration.application.url_path_prefix or "",
            websockets=factory.websockets and configuration.network.websockets,
            access_log=log.log_access_enabled,
            extra=configuration.application.extra(),
        )
        worker = make(
            factory(self._application(), options),
            sockets=tuple(self._sockets),
            config=configuration.server_config(fmt if log.log_access_enabled else None),
        )
        try:
            await worker.start()
        except BaseException:
            worker.teardown(asyncio.get_running_loop())
            raise
        return worker

    def _application(self) -> object:
        if self.configuration.application.factory and not self._made:
            self._target = self._target()
            self._made = True
        return self._target

    async def _replace(self, worker: CoreServer, make: Callable[..., CoreServer]) -> CoreServer:
        """Start a new worker, then stop the old one; a new one that fails changes nothing."""
        _run_hooks(self.hooks_reload)
        try:
            successor = await self._start(make)
        except FatalError as exc:
            logger.error("The new worker failed, the old one goes on: %s", exc)
            return worker
        await self._stop(worker, final=False)
        return successor

    async def _stop(self, worker: CoreServer, *, final: bool = True) -> None:
        try:
            await worker.stop_accepting(final=final)
            if final:
                self._release()  # new clients are refused while the last requests are answered
            await worker.stop(self.configuration.processes.workers_graceful_timeout, final=final)
        finally:
            worker.teardown(asyncio.get_running_loop())

    def _bind(self) -> None:
        network = self.configuration.network
        if network.uds is not None:
            self._sockets = [bind_unix(network.uds)]
        else:
            self._sockets = bind_tcp(network.host, network.port)
        for sock in self._sockets:
            logger.info("Listening at: %s", self.configuration.url(local_address(sock)))

    def _release(self) -> None:
        """Close the sockets, and remove the file of a unix socket."""
        bound, self._sockets = self._sockets, []
        for sock in bound:
            sock.close()
        if bound and self.configuration.network.uds is not None:
            unlink_unix(self.configuration.network.uds)


async def _wait_for_stop(orders: asyncio.Queue[Order]) -> None:
    """Take orders until there is one to stop; there is nothing to reload yet."""
    while await orders.get() is not Order.STOP:
        logger.debug("Nothing to reload yet")


def _run_hooks(hooks: Sequence[Callable[[], object]]) -> None:
    """Run hooks in order; one that raises is logged and does not keep the others from running."""
    for hook in hooks:
        try:
            hook()
        except FatalError:
            raise
        except Exception:
            logger.exception("A hook raised an exception")


_OUR_OWN = frozenset({"self", "__class__", "target", "log_dictconfig", "settings"})
"""Names in the constructor that are no settings."""

_NOT_EMBEDDED = frozenset(
    {
        "env_files",
        "loop",
        "metrics_address",
        "metrics_enabled",
        "metrics_port",
        "metrics_scrape_interval",
        "pid_file",
        "process_name",
        "reload",
        "reload_filter",
        "reload_ignore_dirs",
        "reload_ignore_paths",
        "reload_ignore_patterns",
        "reload_ignore_worker_failure",
        "reload_paths",
        "reload_tick",
        "respawn_failed_workers",
        "respawn_interval",
        "rss_sample_interval",
        "rss_samples",
        "runtime_mode",
        "uds_permissions",
        "workers",
        "workers_kill_timeout",
        "workers_lifetime",
        "workers_max_rss",
        "working_dir",
    }
)
"""Keywords of `granian.Granian` that are about processes."""

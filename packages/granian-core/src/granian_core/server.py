"""The in-process server: an interface served on given sockets, in the running loop.

Owns the order of things: set up, start up, listen, sweep deadlines, drain, shut
down. Never makes or sets an event loop, and installs no signal handler.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import os
import select
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from granian_core.access import compile_access_log
from granian_core.context import Connection, ConnectionContext
from granian_core.listener import Accepting, Listeners, Notice, usable_descriptors
from granian_core.negotiation import ConnectionChooser, alpn_protocols, warn_of_frame_size
from granian_core.settings import ServerConfig
from granian_core.sockets import OwnSockets
from granian_core.tls import TLSEndpoint, TLSTransport

if TYPE_CHECKING:
    import socket
    from types import TracebackType

    from granian_core.interface import Interface
    from granian_core.stream import Address
    from granian_core.tls import TLSInfo
    from granian_core.tls.contexts import TLSContexts

logger = logging.getLogger("_granian.serve")

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""What starts a coroutine as a task."""

_Self = TypeVar("_Self", bound="Server")

CANCEL_GRACE = 1.0
"""Seconds that applications get at each step of the drain deadline."""
SWEEP_SLICE = 256
"""Connections that a sweep looks at in one turn of the loop."""
SWEEP_DELAY = 0.05
"""Seconds that a loop gets to read what arrived while it was held up."""
DRAIN_TICK = 0.05
"""Seconds between looks at idle connections while draining."""
PAUSE_INTERVAL = 0.01
"""Seconds from resuming to accept until pausing for want of a permit."""
IDLE_GRACE = 0.25
"""Seconds without a request after which a connection may be closed to drain or make room.

A client in the middle of a series is told by ``Connection: close`` on its next answer; a
close under its hands would cost it that request. Nobody who really idles is waited for.
"""
REPLACED_IDLE_GRACE = 1.0
"""The same where a successor serves already, and nobody waits for this server to leave."""


class ServerState(enum.Enum):
    """Where a `Server` is in its one-way life."""

    NEW = "new"
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPED = "stopped"


class Server:
    """Serves one interface.

    Args:
        interface: What handles the requests.
        sockets: Bound sockets to serve on; they stay the caller's and are not closed.
        config: Settings and limits.
        host: Address or name to bind in `start`, and to let go of in `stop`.
        port: TCP port for *host*; 0 lets the system choose one, see `addresses`.
        uds: Path of a unix socket to bind in `start`, and to remove in `stop`.

    Raises:
        ConfigurationError: A certificate file can not be used.

    Use it as an async context manager, or call `start` and `stop`.

    Attributes:
        state: Where it is in its life.
        started: Set once connections are accepted.
        idle_grace: Seconds without a request after which a final stop closes a connection.
    """

    def __init__(
        self,
        interface: Interface,
        *,
        sockets: Sequence[socket.socket] = (),
        config: ServerConfig | None = None,
        host: str | None = None,
        port: int = 0,
        uds: str | os.PathLike[str] | None = None,
    ) -> None:
        self.config = config if config is not None else ServerConfig()
        self.interface = interface
        self.state = ServerState.NEW
        self.started = asyncio.Event()
        self.idle_grace = IDLE_GRACE
        self._own = OwnSockets(host, port, uds)
        self._sockets = sockets
        self._is_set_up = False
        self._context: ConnectionContext | None = None
        self._listeners: Accepting | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._swept_at = 0.0
        self._period = sweep_period(self.config)
        self._drained: asyncio.Event | None = None
        self._sweep_put_off = False
        self._stopping = asyncio.Lock()
        self._max_connections = self.config.max_connections
        self._max_descriptors = usable_descriptors()
        self._notice = Notice()
        self._resumed_at = -inf
        self._pausing: asyncio.TimerHandle | None = None
        self._holders: set[int] = set()
        self._idle_candidates: list[tuple[float, Connection]] = []
        self._chooser = ConnectionChooser(self.config)
        self._tls: TLSEndpoint | None = None
        if self.config.tls.enabled:
            self._tls = self._make_tls_endpoint()

    # -- life -------------------------------------------------------------------

    @property
    def addresses(self) -> list[Address]:
        """The bound addresses, ports resolved: ``(host, port)``, or ``(path, None)``.

        Those that the server binds itself are known from `start` to `stop`.
        """
        sockets = [*self._sockets, *self._own.sockets]
        return Listeners(sockets, asyncio.Protocol, 0).addresses

    @property
    def context(self) -> ConnectionContext:
        """What the connections share; exists once the server has started."""
        if self._context is None:
            raise RuntimeError("the server has not started")
        return self._context

    @property
    def contexts(self) -> list[ConnectionContext]:
        """`context`; where I/O has threads of its own, that of each. Empty before the start."""
        return [] if self._context is None else [self._context]

    def setup(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the interface prepare; a worker calls this before the loop runs."""
        if not self._is_set_up:
            self.interface.setup(loop)
            self._is_set_up = True

    async def start(self) -> None:
        """Start the application, then accept connections.

        Raises:
            StartupError: The application refused to start.
            BindError: An address can not be bound, or another server took it since.
        """
        if self.state is not ServerState.NEW:
            raise RuntimeError(f"the server is {self.state.value}; it can start once")
        self._own.open()
        self.state = ServerState.STARTING
        try:
            await self._start()
        except BaseException:
            self.state = ServerState.STOPPED
            self._own.close()
            raise

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self.setup(loop)
        self._warn()
        self._drained = asyncio.Event()
        await self.interface.startup()
        self._context = self._make_context(loop)
        self._context.on_change = self._update_accepting
        self._listeners = self._make_listeners()
        try:
            await self._listeners.start()
        except BaseException:
            await self._listeners.close(empty_queue=False)
            await self.interface.shutdown()
            raise
        self._schedule_sweep(loop)
        self.state = ServerState.SERVING
        self.started.set()

    def _make_context(self, loop: asyncio.AbstractEventLoop) -> ConnectionContext:
        fmt = self.config.access_log_format
        return ConnectionContext(
            loop,
            self.interface,
            self.config,
            task_spawner(loop, self.config.task_impl),
            compile_access_log(fmt) if fmt is not None else None,
        )

    def _make_listeners(self) -> Accepting:
        sockets = [*self._sockets, *self._own.sockets]
        return Listeners(sockets, self.connection_factory, self.config.backlog)

    def connection_factory(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        self._make_room()
        if self._tls is not None:
            return TLSTransport(self.context, self._tls)
        return self._chooser.make(self.context)

    def _make_tls_endpoint(self, contexts: TLSContexts | None = None) -> TLSEndpoint:
        return TLSEndpoint(
            self.config.tls, alpn_protocols(self.config.http), self._secure_protocol, contexts
        )

    def _secure_protocol(self, alpn: str | None, info: TLSInfo) -> asyncio.Protocol:
        """Return the protocol of a TLS session; *alpn* is one of `alpn_protocols`, or None."""
        return self._chooser.make(self.context, "https", info, alpn)

    def reload_tls(self) -> None:
        """Read the certificate files again, for connections that begin from now on.

        Raises:
            ConfigurationError: A file can not be used; the ones in use stay.
            RuntimeError: The server does not serve TLS.
        """
        if self._tls is None:
            raise RuntimeError("the server does not serve TLS")
        self._tls.reload()

    @property
    def tls_handshakes(self) -> tuple[int, int]:
        """How many TLS handshakes succeeded, and how many failed."""
        if self._tls is None:
            return (0, 0)
        return (self._tls.handshakes, self._tls.failures)

    async def stop_accepting(self, *, final: bool = True) -> None:
        """Begin to stop: accept nothing more, and take no further request.

        `stop` does this first; call it yourself to close the sockets in between, so that
        new clients are refused while the last requests are answered.

        Args:
            final: Nobody else accepts from these sockets: empty their queues first.
        """
        async with self._stopping:
            await self._stop_accepting(final=final)

    async def _stop_accepting(self, *, final: bool) -> None:
        if self.state is not ServerState.SERVING:
            return
        self.state = ServerState.DRAINING
        assert self._listeners is not None
        context = self.context
        # From here on every answer says that it is the connection's last.
        context.draining = context.attention = True
        await self._listeners.close(empty_queue=final)
        self._own.close()
        for connection in list(context.connections):
            connection.drain()

    async def stop(self, timeout: float = 25.0, *, final: bool = True) -> None:
        """Stop accepting, answer what was accepted, shut the application down.

        Does nothing if the server has not started or has stopped; a second call waits
        for the first.

        Args:
            timeout: Seconds for requests in progress; after them applications are told
                that their clients are gone, then cancelled, then connections are dropped.
            final: As for `stop_accepting`.
        """
        async with self._stopping:
            await self._stop_accepting(final=final)
            if self.state is not ServerState.DRAINING:
                return
            await self._drain(timeout, self.idle_grace if final else REPLACED_IDLE_GRACE)
            for timer in (self._sweeper, self._pausing):
                if timer is not None:
                    timer.cancel()
            self.state = ServerState.STOPPED
            await self.interface.shutdown()

    def teardown(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the interface clean up; a worker calls this once the loop has stopped."""
        if self._is_set_up:
            self._is_set_up = False
            self.interface.teardown(loop)

    async def __aenter__(self: _Self) -> _Self:
        """Start; what was set up is torn down if that fails."""
        try:
            await self.start()
        except BaseException:
            self.teardown(asyncio.get_running_loop())
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop and tear down."""
        try:
            await self.stop()
        finally:
            self.teardown(asyncio.get_running_loop())

    # -- accepting --------------------------------------------------------------

    def _update_accepting(self) -> None:
        """Accept while a permit and a socket are free. Called whenever either changes."""
        if self.state is ServerState.DRAINING:
            self._note_drained()
        if self._listeners is None or self.state is not ServerState.SERVING:
            return
        accepting = not self.context.pressed
        if self._is_full():
            accepting = accepting and self._find_idle()
        elif not accepting and self._listeners.accepting:
            accepting = self._has_just_resumed()
        if accepting and not self._listeners.accepting:
            self._resumed_at = self.context.loop.time()
        self._listeners.set_accepting(accepting)

    def _has_just_resumed(self) -> bool:
        """Whether to look again a moment later instead of pausing.

        Where permits are few, each request takes the last one: a pause for every one of them
        doubles what it costs.
        """
        loop = self.context.loop
        left = self._resumed_at + PAUSE_INTERVAL - loop.time()
        if left > 0 and self._pausing is None:
            self._pausing = loop.call_later(left, self._pause_after_all)
        return left > 0

    def _pause_after_all(self) -> None:
        self._pausing = None
        self._update_accepting()

    def _let_newcomers_in(self, listeners: Accepting) -> None:
        """Accept for a moment where the pressure lasts, though requests come and go.

        Clients that ask again as soon as they are answered would keep all others out for ever.
        Those that come in wait for a permit in line with them.
        """
        former, self._holders = self._holders, {id(one) for one in list(self.context.streams)}
        if former - self._holders and self.context.waiting and not self._is_full():
            self._resumed_at = self.context.loop.time()
            listeners.set_accepting(True)
            self._update_accepting()

    def _retry_accepting(self, listeners: Accepting) -> None:
        """Look again: a connection became idle perhaps, or a descriptor is free again."""
        context = self.context
        self._update_accepting()
        if not (listeners.accepting or context.pressed or context.draining):
            self._notice.warn(
                "Accepting pauses: all of %d connections are busy", len(context.connections)
            )

    def _is_full(self) -> bool:
        """Whether there are as many connections, or descriptors for them, as there may be."""
        count = len(self.context.connections)
        return (
            count >= self._max_connections
            or count + self.context.duplicates >= self._max_descriptors
        )

    def _make_room(self) -> None:
        """Close the longest-idle connection if there are as many as there may be."""
        if not self._is_full():
            return
        while self._find_idle():
            if self._close_candidate(self._idle_candidates.pop()[1]):
                return
        self._update_accepting()

    def _find_idle(self) -> bool:
        """Make sure that the last candidate, if any, is idle; the longest-idle is last.

        Who came, or was answered, just now does not count: its request may be on the way.
        """
        for _ in range(2):
            while self._idle_candidates:
                idle_since, connection = self._idle_candidates[-1]
                # One that was busy since then is not the longest-idle any more.
                if idle_since == connection.idle_since:
                    return True
                self._idle_candidates.pop()
            latest = self.context.clock() - IDLE_GRACE
            idle = [
                (idle_since, one)
                for one in self._candidates()
                if (idle_since := one.idle_since) <= latest
            ]
            idle.sort(key=_idle_since, reverse=True)
            self._idle_candidates = idle
        return False

    def _candidates(self) -> Iterable[Connection]:
        """Return whom `_make_room` may close."""
        return self.context.connections

    def _close_candidate(self, connection: Connection) -> bool:
        return connection.close_idle()

    def _warn(self) -> None:
        """Say what of the settings can not be had."""
        warn_of_frame_size(self.config.http2)
        self._warn_of_descriptors()

    def _warn_of_descriptors(self) -> None:
        if self._max_connections <= self._max_descriptors:
            return
        # Only what somebody has asked for is worth a warning.
        asked = self.config.limits.max_connections is not None
        logger.log(
            logging.WARNING if asked else logging.INFO,
            "At most %d of %d connections: the limit of open files is too low (ulimit -n)",
            self._max_descriptors,
            self._max_connections,
        )

    # -- deadlines --------------------------------------------------------------

    def _schedule_sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._swept_at = self.context.clock()
        self._sweeper = loop.call_later(self._period, self._sweep_and_repeat)

    def _sweep_and_repeat(self) -> None:
        context = self.context
        now = context.clock()
        # A loop that was held up has not listened: first it reads what has arrived, so that
        # nobody pays for our own delay.
        self._sweep_put_off = not self._sweep_put_off and now - self._swept_at >= 2 * self._period
        if self._sweep_put_off:
            self._sweeper = context.loop.call_later(SWEEP_DELAY, self._sweep_and_repeat)
            return
        self._sweeper = context.loop.call_later(self._period, self._sweep_and_repeat)
        self.sweep(now)

    def sweep(self, now: float) -> None:
        """Refresh the date and act on every deadline that *now* has passed.

        Args:
            now: Seconds of the context's clock.
        """
        context = self.context
        elapsed, self._swept_at = now - self._swept_at, now
        context.refresh_date()
        self._sweep_some(list(context.connections), now, elapsed)
        if self._listeners is None or self._listeners.accepting:
            return
        if context.pressed and self.state is ServerState.SERVING:
            self._let_newcomers_in(self._listeners)
        else:
            self._retry_accepting(self._listeners)

    def _sweep_some(self, connections: list[Connection], now: float, elapsed: float) -> None:
        """Sweep a slice; the rest in later turns, so that a crowd does not make the loop late."""
        context = self.context
        for connection in connections[-SWEEP_SLICE:]:
            if connection in context.connections:
                connection.sweep(now, elapsed)
        del connections[-SWEEP_SLICE:]
        if connections:
            context.loop.call_soon(self._sweep_some, connections, now, elapsed)

    # -- draining -----------------------------------------------------------------

    def _note_drained(self) -> None:
        context = self.context
        if self._drained is None:
            return
        if context.streams or context.websockets or context.connections:
            self._drained.clear()  # the last of the accept queue may come after a moment of rest
        else:
            self._drained.set()

    async def _drain(self, timeout: float, grace: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            self._close_idle(grace)
            remaining = deadline - loop.time()
            if await self._wait_drained(min(DRAIN_TICK, remaining)) or remaining <= 0:
                break
        if not await self._wait_drained(0):
            await self._give_up()

    async def _wait_drained(self, timeout: float) -> bool:
        assert self._drained is not None
        self._note_drained()
        if self._drained.is_set():
            return True
        if timeout > 0:
            waiting = asyncio.ensure_future(self._drained.wait())
            await asyncio.wait({waiting}, timeout=timeout)
            waiting.cancel()
        return self._drained.is_set()

    def _close_idle(self, grace: float) -> None:
        """Close connections that have been idle for a while, and on which nothing has arrived."""
        idle = self.context.clock() - grace
        connections = [one for one in self.context.connections if one.idle_since <= idle]
        readable = _readable([connection.socket_fd() for connection in connections])
        for connection in connections:
            # A request that is already here is answered; the loop reads it next.
            if connection.socket_fd() not in readable:
                connection.close_idle()

    async def _give_up(self) -> None:
        """The deadline has passed: disconnect, cancel, drop; each in its turn."""
        context = self.context
        if context.exchanges:
            logger.warning(
                "%d requests unfinished at the drain deadline, dropped", len(context.exchanges)
            )
        else:
            logger.warning(
                "%d connections unfinished at the drain deadline, dropped",
                len(context.connections),
            )
        for exchange in context.exchanges:
            exchange.feed_disconnect()
        await asyncio.sleep(0)
        if not await self._wait_streams(CANCEL_GRACE):
            for exchange in context.exchanges:
                if exchange.task is not None:
                    exchange.cancelled = True
                    exchange.task.cancel()
            await self._wait_streams(CANCEL_GRACE)
        for connection in list(context.connections):
            connection.abort()
        await self._wait_drained(CANCEL_GRACE)

    async def _wait_streams(self, timeout: float) -> bool:
        context = self.context
        tasks = [one.task for one in context.exchanges if one.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)
        return not any(one.task is not None for one in context.exchanges)


def _idle_since(candidate: tuple[float, Connection]) -> float:
    return candidate[0]


def _readable(fds: list[int]) -> set[int]:
    """Return which descriptors have bytes, or an end of stream, to read right now."""
    valid = [fd for fd in fds if fd >= 0]
    if not valid:
        return set()
    if hasattr(select, "poll"):
        poller = select.poll()
        for fd in valid:
            poller.register(fd, select.POLLIN)
        return {fd for fd, event in poller.poll(0) if event & select.POLLIN}
    return set(select.select(valid, [], [], 0)[0])


def sweep_period(config: ServerConfig) -> float:
    """Return the seconds between sweeps: a quarter of the shortest deadline, within bounds."""
    ping_interval = config.http2.keep_alive_interval
    shortest = min(
        config.http1.header_read_timeout / 1000,
        config.http1.keep_alive_timeout,
        config.http2.idle_timeout,
        inf if ping_interval is None else ping_interval / 1000,
        config.limits.body_idle_timeout,
        config.limits.write_timeout,
        config.limits.linger_timeout,
        config.tls.handshake_timeout,
        config.websocket.ping_interval or inf,
        config.websocket.ping_timeout or inf,
        config.websocket.message_timeout,
        config.websocket.close_timeout,
    )
    return min(1.0, max(0.05, shortest / 4))


def task_spawner(loop: asyncio.AbstractEventLoop, task_impl: str) -> Spawn:
    """Return what starts an exchange's coroutine as a task of *loop*.

    ``rust`` starts it eagerly (CPython 3.12+); below, it is a plain task.
    """
    if loop.get_task_factory() is not None:
        # Somebody has decided how tasks are made here.
        return loop.create_task
    if task_impl == "rust":
        if sys.version_info >= (3, 12):

            def eager(coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
                return asyncio.Task(coro, loop=loop, eager_start=True)

            return eager
        logger.info("task implementation 'rust' needs CPython 3.12; using plain tasks")

    def plain(coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # What create_task does without a factory, but for the numbered name.
        return asyncio.Task(coro, loop=loop, name="granian-request")

    return plain

"""The interface protocol API: what an adapter implements, and how it is found.

An *interface* (ASGI, RSGI, WSGI, or yours) turns a `HTTPStream` into a call of an
application. It is made by a *factory* that a distribution publishes under the
entry-point group ``granian.interfaces``; it depends on this package alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from granian_core.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Mapping

    from granian_core.pool import BlockingPool
    from granian_core.stream import HTTPStream
    from granian_core.websocket import WebSocketStream

INTERFACE_API = 1
"""Version of this API. A factory built for another one is refused when it is loaded."""

ENTRY_POINT_GROUP = "granian.interfaces"
"""Entry-point group in which adapters publish their factories."""

PUBLISHED_ADAPTERS = {
    "asgi": "granian-asgi",
    "asginl": "granian-asgi",
    "rsgi": "granian-rsgi",
    "wsgi": "granian-wsgi",
}
"""Where the interfaces of this project come from, for the message that one is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceOptions:
    """What the server tells an adapter when it is made."""

    root_path: str = ""
    """Path prefix that a proxy in front removed (ASGI root_path, WSGI SCRIPT_NAME)."""
    blocking_pool: BlockingPool | None = None
    """Threads for blocking applications; None where the interface is not blocking."""
    websockets: bool = True
    """Whether upgrade requests reach `Interface.handle_websocket`."""
    access_log: bool = False
    """Whether ``stream.log_client`` and ``stream.log_scheme`` are worth setting."""
    worker_id: int = 1
    """Number of this worker, from 1."""
    workers: int = 1
    """How many workers the supervisor runs."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Pairs from ``--interface-option KEY=VALUE``."""


class Interface(Protocol):
    """One application, made callable by the server. See `BaseInterface` for defaults."""

    websockets: bool
    """Whether WebSocket handshakes reach `handle_websocket`; else they are plain requests."""

    def setup(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run once on the loop's thread, before the loop runs.

        In an embedded server the loop is already running.
        """

    async def startup(self) -> None:
        """Run once on the running loop, before connections are accepted.

        Raises:
            StartupError: The application refused to start.
        """

    def handle_http(self, stream: HTTPStream) -> Awaitable[None] | None:
        """Handle one exchange.

        Returns:
            None when the stream has been dealt with on the spot (or was handed to
            `granian_core.run_blocking`), else an awaitable that the server runs as
            one task. What escapes from it is logged as the application's error.
        """

    def handle_websocket(self, stream: WebSocketStream) -> Awaitable[None] | None:
        """Handle one WebSocket; called only if `websockets` is true.

        Returns:
            As `handle_http`. A handshake that nobody has answered by then is refused
            with 403; a WebSocket that is left open is closed.
        """

    async def shutdown(self) -> None:
        """Run once after the last stream ended, while the loop still runs."""

    def teardown(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run once after the loop has stopped (embedded: while it still runs)."""


class BaseInterface:
    """Defaults for everything but `handle_http`."""

    websockets: bool = False
    """See `Interface`; set it where `InterfaceOptions.websockets` allows it."""

    def setup(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do nothing."""

    async def startup(self) -> None:
        """Do nothing."""

    def handle_http(self, stream: HTTPStream) -> Awaitable[None] | None:
        """Handle one exchange; the one method without a default."""
        raise NotImplementedError

    def handle_websocket(self, stream: WebSocketStream) -> Awaitable[None] | None:
        """Refuse: this interface has no WebSockets."""
        raise NotImplementedError

    async def shutdown(self) -> None:
        """Do nothing."""

    def teardown(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do nothing."""


@runtime_checkable
class InterfaceFactory(Protocol):
    """What an entry point of ``granian.interfaces`` names."""

    name: str
    """The word for ``--interface``."""
    interface_api: int
    """The `INTERFACE_API` that the adapter was written for."""
    blocking: bool
    """Whether applications run on the blocking pool's threads."""
    websockets: bool
    """Whether the interface handles WebSockets."""
    default_blocking_threads: int
    """Default of ``--blocking-threads``; 0 means half of ``--backpressure``."""

    def __call__(self, target: object, options: InterfaceOptions) -> Interface:
        """Make the interface for *target*.

        Raises:
            ConfigurationError: The target is not an application of this interface.
        """


def interface_names() -> list[str]:
    """Return the names of the installed interfaces, sorted."""
    return sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)})


def load_interface(name: str) -> InterfaceFactory:
    """Load the factory that an installed distribution publishes as *name*.

    Raises:
        ConfigurationError: None is installed (the message names the package that has
            it), or it was written for another `INTERFACE_API`.
    """
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            return _load(point)
    package = PUBLISHED_ADAPTERS.get(name)
    known = ", ".join(interface_names()) or "none"
    remedy = f"install {package}" if package else f"installed interfaces: {known}"
    raise ConfigurationError("--interface", name, remedy)


def _load(point: EntryPoint) -> InterfaceFactory:
    try:
        factory = point.load()
    except Exception as exc:
        raise ConfigurationError(
            "--interface", point.name, f"{_provider(point)} can not be loaded: {exc}"
        ) from exc
    version = getattr(factory, "interface_api", None)
    if version != INTERFACE_API and isinstance(version, int):
        raise ConfigurationError(
            "--interface",
            point.name,
            f"{_provider(point)} is written for interface API {version}, this granian-core "
            f"has {INTERFACE_API}; install matching versions",
        )
    if not isinstance(factory, InterfaceFactory):
        raise ConfigurationError(
            "--interface", point.name, f"entry point {point.value} is not an interface factory"
        )
    return factory


def _provider(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value

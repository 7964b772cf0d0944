"""The factories `asgi` and `asginl`, and the interface that they make."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from granian_asgi.http import HTTPExchange, logger
from granian_asgi.lifespan import Lifespan
from granian_asgi.scope import http_scope, websocket_scope
from granian_asgi.websocket import WebSocketExchange
from granian_core import BaseInterface, ConfigurationError, InterfaceOptions

if TYPE_CHECKING:
    from granian_asgi.types import ASGIApplication, Scope
    from granian_core import HTTPStream, WebSocketStream


class ASGIInterface(BaseInterface):
    """One ASGI 3 application in one worker.

    Args:
        app: The application.
        options: What the server says; root path and access log matter here.
        lifespan: Whether to speak the lifespan protocol.
    """

    def __init__(
        self, app: ASGIApplication, options: InterfaceOptions, *, lifespan: bool = True
    ) -> None:
        self._app = app
        self._root_path = options.root_path
        self._access_log = options.access_log
        self.websockets = options.websockets
        # What it takes is written at this level; at any other nobody would see it.
        self._debug = logger.isEnabledFor(logging.DEBUG)
        self._state: dict[str, Any] = {}
        self._lifespan = Lifespan(app, self._state) if lifespan else None

    async def startup(self) -> None:
        """Run the application's lifespan startup."""
        if self._lifespan is not None:
            await self._lifespan.startup()

    async def shutdown(self) -> None:
        """Run the application's lifespan shutdown."""
        if self._lifespan is not None:
            await self._lifespan.shutdown()

    def handle_http(self, stream: HTTPStream) -> Awaitable[None]:
        """Call the application; what it returns is run by the server as it is."""
        scope = http_scope(stream, self._root_path, self._state, debug=self._debug)
        exchange = HTTPExchange(stream)
        awaitable = self._app(scope, exchange.receive, exchange.send)
        if self._access_log:
            return _run_logged(awaitable, stream, scope)
        if awaitable is None:  # what the server would take for "dealt with on the spot"
            raise TypeError("the ASGI application returned None instead of an awaitable")
        return awaitable

    def handle_websocket(self, stream: WebSocketStream) -> Awaitable[None]:
        """Call the application for one WebSocket."""
        scope = websocket_scope(stream, self._root_path, self._state)
        # The line is written when the handshake is answered, not when the application ends.
        note = functools.partial(note_for_log, stream, scope) if self._access_log else None
        exchange = WebSocketExchange(stream, note)
        awaitable = self._app(scope, exchange.receive, exchange.send)
        if awaitable is None:
            raise TypeError("the ASGI application returned None instead of an awaitable")
        if self._access_log:
            return _run_logged(awaitable, stream, scope)
        return awaitable


async def _run_logged(
    awaitable: Awaitable[None], stream: HTTPStream | WebSocketStream, scope: Scope
) -> None:
    """Run the application; let the access log see what its proxy wrappers found out."""
    try:
        await awaitable
    finally:
        note_for_log(stream, scope)


def note_for_log(stream: HTTPStream | WebSocketStream, scope: Scope) -> None:
    """Copy client and scheme from *scope*, as far as the application left them sound."""
    client, scheme = scope.get("client"), scope.get("scheme")
    if client is None:
        stream.log_client = None
    elif isinstance(client, (tuple, list)) and client and isinstance(client[0], str):
        stream.log_client = (client[0], None)
    if isinstance(scheme, str):
        stream.log_scheme = scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class ASGIFactory:
    """Makes interfaces for ASGI applications; an entry point of ``granian.interfaces``."""

    name: str
    """The word for ``--interface``."""
    lifespan: bool
    """Whether applications see the lifespan protocol."""
    interface_api: int = 1
    """Version of the interface API that this adapter is written for."""
    blocking: bool = False
    """Applications run on the event loop."""
    websockets: bool = True
    """Applications get the handshakes of WebSockets."""
    default_blocking_threads: int = 1
    """There is no use for more."""

    def __call__(self, target: object, options: InterfaceOptions) -> ASGIInterface:
        """Make the interface for *target*.

        Raises:
            ConfigurationError: *target* is not an ASGI 3 application, or an option is
                given that this interface does not have.
        """
        for key in options.extra:
            raise ConfigurationError(
                "--interface-option", key, f"the {self.name} interface has no options"
            )
        fault = find_fault(target)
        if fault:
            raise ConfigurationError("--interface", self.name, fault)
        return ASGIInterface(cast("ASGIApplication", target), options, lifespan=self.lifespan)


def find_fault(target: object) -> str:
    """Say why *target* can not be an ASGI 3 application; empty if it may be one.

    Only what its signature rules out is refused: compiled callables have none.
    """
    if not callable(target):
        return f"the application must be callable, this is {type(target).__name__!r}"
    try:
        signature = inspect.signature(target, follow_wrapped=False)
    except (TypeError, ValueError):
        return ""
    if _takes(signature, 3):
        return ""
    wanted = "the application must take (scope, receive, send)"
    if _takes(signature, 1):
        return f"{wanted}; ASGI 2 applications, called in two steps, need a wrapper"
    if _takes(signature, 2):
        if _is_async(target):
            return f"{wanted}; this one looks like an RSGI application; use --interface rsgi"
        return f"{wanted}; this one looks like a WSGI application; use --interface wsgi"
    return f"{wanted}, not {signature}"


def _is_async(target: object) -> bool:
    call = getattr(target, "__call__", None)  # noqa: B004 - that method itself is looked at
    return any(inspect.iscoroutinefunction(function) for function in (target, call))


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


asgi = ASGIFactory(name="asgi", lifespan=True)
asginl = ASGIFactory(name="asginl", lifespan=False)

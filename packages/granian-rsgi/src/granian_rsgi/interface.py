"""The RSGI interface: one application on a worker's event loop."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias, cast

from granian_core import (
    INTERFACE_API,
    BaseInterface,
    ConfigurationError,
    InterfaceOptions,
    StartupError,
)
from granian_rsgi.http import HTTPProtocol
from granian_rsgi.scope import HTTPScope, WebsocketScope, bracketed
from granian_rsgi.websocket import WebsocketProtocol

if TYPE_CHECKING:
    from granian_core import HTTPStream, WebSocketStream

logger = logging.getLogger("_granian.rsgi")

Application: TypeAlias = Callable[
    [HTTPScope | WebsocketScope, HTTPProtocol | WebsocketProtocol], Awaitable[None]
]


class RSGIInterface(BaseInterface):
    """Runs an RSGI application.

    Args:
        target: The application: an object with ``__rsgi__``, or a callable. Its
            ``__rsgi_init__`` and ``__rsgi_del__`` are called if it has them.
        options: What the server tells.

    Raises:
        ConfigurationError: *target* is not an RSGI application.
    """

    def __init__(self, target: object, options: InterfaceOptions) -> None:
        self._target = target
        self._application = _application(target)
        self._access_log = options.access_log
        self.websockets = options.websockets

    def setup(self, loop: asyncio.AbstractEventLoop) -> None:
        """Call ``__rsgi_init__``.

        Raises:
            StartupError: It raised; the traceback has been logged.
        """
        hook = getattr(self._target, "__rsgi_init__", None)
        if hook is None:
            return
        try:
            hook(loop)
        except Exception as exc:
            logger.exception("Application hook __rsgi_init__ raised an exception")
            raise StartupError(f"__rsgi_init__ raised {type(exc).__name__}") from exc

    def teardown(self, loop: asyncio.AbstractEventLoop) -> None:
        """Call ``__rsgi_del__``; what it raises is logged, for the stop goes on."""
        hook = getattr(self._target, "__rsgi_del__", None)
        if hook is None:
            return
        try:
            hook(loop)
        except Exception:
            logger.exception("Application hook __rsgi_del__ raised an exception")

    def handle_http(self, stream: HTTPStream) -> Awaitable[None]:
        """Call the application; what it returns is run by the server as it is."""
        self._note_client(stream)
        awaitable = self._application(HTTPScope(stream), HTTPProtocol(stream))
        if awaitable is None:  # what the server would take for "dealt with on the spot"
            raise TypeError("the RSGI application returned None instead of an awaitable")
        return awaitable

    def handle_websocket(self, stream: WebSocketStream) -> Awaitable[None]:
        """Call the application for one WebSocket."""
        self._note_client(stream)
        awaitable = self._application(WebsocketScope(stream), WebsocketProtocol(stream))
        if awaitable is None:
            raise TypeError("the RSGI application returned None instead of an awaitable")
        return awaitable

    def _note_client(self, stream: HTTPStream | WebSocketStream) -> None:
        if self._access_log and stream.client is not None:
            # The scope is read-only, so what the application sees is known already.
            host, port = stream.client
            stream.log_client = (bracketed(host), port)


class RSGIFactory:
    """Makes `RSGIInterface` objects; the entry point ``rsgi`` of ``granian.interfaces``."""

    name = "rsgi"
    interface_api = INTERFACE_API
    blocking = False
    websockets = True
    default_blocking_threads = 1

    def __call__(self, target: object, options: InterfaceOptions) -> RSGIInterface:
        """Make the interface for *target*.

        Raises:
            ConfigurationError: *target* is not an RSGI application.
        """
        return RSGIInterface(target, options)


rsgi = RSGIFactory()
"""The factory that ``--interface rsgi`` names."""


def _application(target: object) -> Application:
    own = getattr(target, "__rsgi__", None)
    if own is not None and isinstance(target, type):
        raise _refused("the target is a class; name an instance of it, or use --factory")
    application = target if own is None else own
    if not callable(application):
        raise _refused(f"a {type(target).__name__} is neither callable nor has __rsgi__")
    _check_signature(application)
    return cast(Application, application)


def _check_signature(application: Callable[..., object]) -> None:
    try:
        signature = inspect.signature(application)
    except (TypeError, ValueError):  # built in, or compiled without a signature
        return
    names = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
    ]
    if names == ["environ", "start_response"]:
        raise _refused("the target looks like a WSGI application; use --interface wsgi")
    try:
        signature.bind(None, None)
    except TypeError:
        if len(names) == 3:
            raise _refused(
                "the target looks like an ASGI application (it takes three arguments); "
                "use --interface asgi"
            ) from None
        raise _refused(
            "an RSGI application is called with two arguments, scope and protocol; "
            f"this one has the signature {signature}"
        ) from None


def _refused(remedy: str) -> ConfigurationError:
    return ConfigurationError("--interface", "rsgi", remedy)

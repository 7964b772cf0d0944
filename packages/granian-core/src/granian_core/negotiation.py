"""Which HTTP version serves a connection: settled once, before its first request.

By ALPN under TLS; on cleartext, and for a TLS client that named no protocol, by the
client's first bytes (`PrefaceSniffer`); or by configuration alone. ``Upgrade: h2c`` is
not among them: RFC 9113 3.1 has dropped it, and such a request is served as HTTP/1.1.

Reference engines are loaded where one is chosen: the libraries below them take 3 MB.
"""

from __future__ import annotations

import asyncio
import logging
from math import inf
from typing import TYPE_CHECKING, cast

from granian_core.http1.connection import HTTP1Connection
from granian_core.http1.fast import FastEngine
from granian_core.http2.connection import HTTP2Connection
from granian_core.http2.contract import PREFACE
from granian_core.http2.fast import FastEngine as FastHTTP2Engine

if TYPE_CHECKING:
    from granian_core.context import ConnectionContext
    from granian_core.http1.engine import BaseEngine
    from granian_core.http2.contract import HTTP2Engine
    from granian_core.settings import HTTP2Settings, HTTPMode, ServerConfig
    from granian_core.tls import TLSInfo

logger = logging.getLogger("_granian.serve")


def http1_engine_class(choice: str) -> type[BaseEngine]:
    """Return the HTTP/1.1 engine that a setting names."""
    if choice == "reference":
        from granian_core.http1.reference import ReferenceEngine  # noqa: PLC0415

        return ReferenceEngine
    return FastEngine


def http2_engine_class(choice: str) -> type[HTTP2Engine]:
    """Return the HTTP/2 engine that a setting names."""
    if choice == "reference":
        from granian_core.http2.reference import ReferenceEngine  # noqa: PLC0415

        return ReferenceEngine
    return FastHTTP2Engine


def alpn_protocols(mode: HTTPMode) -> list[str]:
    """Return the protocols to offer to TLS clients, the preferred one first (RFC 7301)."""
    if mode == "auto":
        return ["h2", "http/1.1"]
    return ["http/1.1"] if mode == "1" else ["h2"]


def warn_of_frame_size(settings: HTTP2Settings) -> None:
    """Say once that a frame size that HTTP/2 does not allow is raised (RFC 9113 6.5.2)."""
    if settings.max_frame_size < settings.frame_size:
        logger.warning(
            "--http2-max-frame-size %d is below the least that HTTP/2 allows, raised to %d",
            settings.max_frame_size,
            settings.frame_size,
        )


def as_protocol(connection: HTTP1Connection | HTTP2Connection) -> asyncio.Protocol:
    """Return *connection* as what it is to its transport.

    Connections have all methods of `asyncio.Protocol`. They do not inherit from it: a class that
    mypyc compiles keeps its attributes in a C struct only if its bases are compiled too.
    """
    return cast("asyncio.Protocol", connection)


class ConnectionChooser:
    """Makes the protocols of one server's connections.

    Args:
        config: For the mode and the engines.
    """

    __slots__ = ("_http1_engine", "_http2_engine", "_mode")

    def __init__(self, config: ServerConfig) -> None:
        self._mode = config.http
        self._http1_engine = http1_engine_class(config.http1.engine)
        self._http2_engine = http2_engine_class(config.http2.engine)

    def make(
        self,
        context: ConnectionContext,
        scheme: str = "http",
        tls: TLSInfo | None = None,
        alpn: str | None = None,
    ) -> asyncio.Protocol:
        """Return the protocol of a new connection.

        Args:
            context: What the connections share.
            scheme: ``http`` or ``https``.
            tls: Facts about the TLS session, or None.
            alpn: What TLS has settled on, one of `alpn_protocols`, or None.
        """
        if self._mode == "1" or alpn == "http/1.1":
            return as_protocol(self.make_http1(context, scheme, tls))
        if self._mode == "2" or alpn == "h2":
            return as_protocol(self.make_http2(context, scheme, tls))
        return PrefaceSniffer(self, context, scheme, tls)

    def make_http1(
        self, context: ConnectionContext, scheme: str, tls: TLSInfo | None
    ) -> HTTP1Connection:
        """Return the protocol of an HTTP/1.1 connection."""
        return HTTP1Connection(context, self._http1_engine, scheme, tls)

    def make_http2(
        self, context: ConnectionContext, scheme: str, tls: TLSInfo | None
    ) -> HTTP2Connection:
        """Return the protocol of an HTTP/2 connection."""
        return HTTP2Connection(context, self._http2_engine, scheme, tls)


class PrefaceSniffer(asyncio.Protocol):
    """Looks at the first bytes of a connection, and hands it over for good.

    Implements the server's `Connection` until then. Where a transport can not change its
    protocol (rloop's), it passes on what it is told.
    """

    __slots__ = (
        "_chooser",
        "_context",
        "_data",
        "_deadline",
        "_scheme",
        "_successor",
        "_tls",
        "_transport",
        "idle_since",
    )

    def __init__(
        self,
        chooser: ConnectionChooser,
        context: ConnectionContext,
        scheme: str,
        tls: TLSInfo | None,
    ) -> None:
        self._chooser = chooser
        self._context = context
        self._scheme = scheme
        self._tls = tls
        self._transport: asyncio.Transport | None = None
        self._successor: HTTP1Connection | HTTP2Connection | None = None
        self._data = b""
        self._deadline = inf
        self.idle_since = inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes."""
        self._transport = cast("asyncio.Transport", transport)
        now = self._context.clock()
        self.idle_since = now
        self._deadline = now + self._context.config.http1.header_read_timeout / 1000
        self._context.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Decide, unless what is here could still become the preface."""
        if self._successor is not None:
            self._successor.data_received(data)
            return
        if self._data:
            data = self._data + data
        if data[:24] == PREFACE:
            self._hand_over(data, is_http2=True)
        elif len(data) < 24 and PREFACE.startswith(data):
            self._data = bytes(data)
            self.idle_since = inf
        else:
            self._hand_over(data, is_http2=False)

    def _hand_over(self, data: bytes, *, is_http2: bool) -> HTTP1Connection | HTTP2Connection:
        transport = self._transport
        context = self._context
        assert transport is not None
        make = self._chooser.make_http2 if is_http2 else self._chooser.make_http1
        connection = make(context, self._scheme, self._tls)
        context.connections.discard(self)
        self._transport = None
        try:
            transport.set_protocol(as_protocol(connection))
        except NotImplementedError:
            self._successor = connection
        connection.connection_made(transport)
        # The clock of the first head has been running since the connection began.
        connection.deadline = self._deadline
        connection.data_received(data)
        return connection

    def eof_received(self) -> bool:
        """The peer left, or what it sent is no preface after all."""
        if self._successor is not None:
            return bool(self._successor.eof_received())
        if self._transport is not None and self._data:
            return bool(self._hand_over(self._data, is_http2=False).eof_received())
        return False

    def pause_writing(self) -> None:
        """Pass it on."""
        if self._successor is not None:
            self._successor.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        if self._successor is not None:
            self._successor.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._successor is not None:
            self._successor.connection_lost(exc)
            return
        self._context.connections.discard(self)
        self._context.on_change()

    def sweep(self, now: float, elapsed: float) -> None:
        """Close silently when no byte came in time."""
        if self._deadline <= now:
            self.abort()

    def admit(self) -> None:
        """Nothing is held back here."""

    def drain(self) -> None:
        """Idle connections are closed by the server in its own time."""

    def close_idle(self) -> bool:
        """Close if nothing has arrived."""
        if self._data or self._transport is None:
            return False
        self._transport.close()
        return True

    def socket_fd(self) -> int:
        """Return the transport's descriptor, or -1."""
        if self._transport is None:
            return -1
        sock = self._transport.get_extra_info("socket")
        return sock.fileno() if sock is not None else -1

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

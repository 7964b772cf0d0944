"""One TLS session over one socket: a protocol to the socket, a transport to the connection.

`ssl` works on memory buffers here, the same on every event loop. The loops' own TLS
transports arm timers for each connection, log a peer's mistakes as ours, hide the
connection from the server until its handshake is over, and can not tell plain HTTP from
garbage; this one is swept and counted like every other connection.

Phases::

    HANDSHAKE ─▶ OPEN ─▶ SHUT          we have closed; what still comes is dropped
    HANDSHAKE ─▶ REFUSED               told what is wrong; read and dropped for a while
    OPEN ─▶ REFUSED                    the peer has closed: a full disconnect
    any  ─▶ GONE
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import sys
import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Final, cast

from granian_core.http1.response import simple_response
from granian_core.tls.contexts import HELLO_LIMIT, TLSContexts, TLSSession
from granian_core.tls.hello import looks_like_http

if TYPE_CHECKING:
    from granian_core.context import ConnectionContext
    from granian_core.settings import TLSSettings
    from granian_core.stream import Data
    from granian_core.tls.info import TLSInfo

logger = logging.getLogger("_granian.tls")

HANDSHAKE: Final = 0
OPEN: Final = 1
SHUT: Final = 2
REFUSED: Final = 3
GONE: Final = 4

RECORD: Final = 16_384
"""Most bytes of content in one record (RFC 8446 section 5.1), and in one read."""
PIECE: Final = 4 * RECORD
"""Bytes that are encrypted at a time; OpenSSL keeps a buffer of that size for good."""

READ_SIZE: Final = 65_536
"""Bytes that are read from a socket at a time, where that is ours to say."""
COMPLETION_BASED: Final = sys.platform == "win32"
"""Whether the kernel fills buffers on its own time, so that connections can not share one."""

PLAIN_HTTP_BODY: Final = b"This port speaks TLS only: use https://\n"


class TLSEndpoint:
    """What the TLS sessions of one server, on one event loop, share.

    Args:
        settings: Files and rules.
        protocols: ALPN names, the preferred one first.
        make_protocol: Makes the protocol of a session from its ALPN name, or None if the
            client offered none, and its facts.
        contexts: Made already, by an endpoint of the same server on another loop.

    Attributes:
        buffer: What sockets are read to.
        contexts: What new sessions start with.
        handshakes: Handshakes that succeeded.
        failures: Handshakes that did not: refused, timed out, or given up.

    Raises:
        ConfigurationError: A file can not be used.
    """

    __slots__ = (
        "_protocols",
        "buffer",
        "contexts",
        "failures",
        "handshakes",
        "make_protocol",
        "settings",
    )

    def __init__(
        self,
        settings: TLSSettings,
        protocols: list[str],
        make_protocol: Callable[[str | None, TLSInfo], asyncio.Protocol],
        contexts: TLSContexts | None = None,
    ) -> None:
        self.settings = settings
        self.make_protocol = make_protocol
        self.buffer = memoryview(bytearray(READ_SIZE))
        self.handshakes = 0
        self.failures = 0
        self._protocols = protocols
        self.contexts = contexts if contexts is not None else TLSContexts(settings, protocols)

    def reload(self) -> None:
        """Read the files again, for the sessions that begin from now on.

        Raises:
            ConfigurationError: A file can not be used; everything stays as it was.
        """
        self.contexts = TLSContexts(self.settings, self._protocols)


class TLSTransport(asyncio.Transport, asyncio.BufferedProtocol, asyncio.Protocol):
    """See the module. Implements the server's `Connection` while the handshake lasts.

    asyncio takes it for a buffered protocol: reading into one buffer instead of a new one of
    256 KiB halves what a small request costs. uvloop, which has such a buffer itself, takes
    it for a plain one.
    """

    __slots__ = (
        "_buffer",
        "_context",
        "_contexts",
        "_endpoint",
        "_incoming",
        "_inner",
        "_outgoing",
        "_phase",
        "_read",
        "_session",
        "_session_open",
        "_transport",
        "_write",
        "client",
        "deadline",
        "idle_since",
    )

    _buffer: memoryview
    _transport: asyncio.Transport
    _contexts: TLSContexts
    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO
    _read: Callable[[int], bytes]
    _write: Callable[[Data], int]

    def __init__(self, context: ConnectionContext, endpoint: TLSEndpoint) -> None:
        super().__init__()
        self._context = context
        self._endpoint = endpoint
        self._phase = HANDSHAKE
        self._inner: asyncio.Protocol | None = None
        self._session: TLSSession | None = None
        self._session_open = False
        self.client: object = None
        self.deadline = inf
        self.idle_since = inf

    # -- asyncio.Protocol: from the socket ------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport, and wait for the ClientHello."""
        self._transport = cast("asyncio.Transport", transport)
        self.client = transport.get_extra_info("peername")
        self.idle_since = now = self._context.clock()
        self.deadline = now + self._endpoint.settings.handshake_timeout
        self._context.connections.add(self)

    def data_received(self, data: bytes | memoryview) -> None:
        """Take bytes as the network brings them."""
        if self._phase == OPEN:
            self._incoming.write(data)
            self._deliver()
        elif self._phase == HANDSHAKE:
            self._continue_handshake(data)

    def eof_received(self) -> bool:
        """Take a FIN, with or without a close_notify before it: a full disconnect."""
        self._disconnect()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the end on."""
        if self._phase == HANDSHAKE and self._session is not None:
            self._count_failure("the client left")
        self._phase = GONE
        self.deadline = self.idle_since = inf
        self._context.connections.discard(self)
        self._end_inner(exc)
        self._free()
        self._context.on_change()

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The socket's buffer has room again."""
        if self._inner is not None:
            self._inner.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to."""
        if COMPLETION_BASED:
            self._buffer = memoryview(bytearray(READ_SIZE))
        else:
            self._buffer = self._endpoint.buffer
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read; it is copied before the buffer is used again."""
        self.data_received(self._buffer[:nbytes])

    # -- the handshake ----------------------------------------------------------------

    def _continue_handshake(self, data: bytes | memoryview) -> None:
        session = self._session
        if session is None:
            if looks_like_http(data):
                self._refuse_http()
                return
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._contexts = self._endpoint.contexts  # a reload replaces the endpoint's
            self._session = session = self._contexts.start(self._incoming, self._outgoing)
        if session.hello is not None and len(session.hello) < HELLO_LIMIT:
            session.hello += data
        self.idle_since = self._context.clock()
        self._incoming.write(data)
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as exc:
            self._count_failure(session.fault or exc)
            self._flush()  # the alert
            self._refuse()
        else:
            self._open(session)

    def _open(self, session: TLSSession) -> None:
        endpoint, context = self._endpoint, self._context
        endpoint.handshakes += 1
        session.hello = None
        self._read, self._write = session.read, session.write
        self._flush()  # session tickets
        self._phase = OPEN
        self._session_open = True
        self.deadline = self.idle_since = inf
        protocol, info = session.selected_alpn_protocol(), self._contexts.describe(session)
        inner = endpoint.make_protocol(protocol, info)
        self._inner = inner
        inner.connection_made(self)
        context.connections.discard(self)
        if self._incoming.pending:
            self._deliver()

    def _refuse_http(self) -> None:
        """Tell a client that forgot the s in https what to do."""
        context = self._context
        self._count_failure("plain HTTP")
        if context.access_log is not None:
            name = self.client
            client = (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
            context.access_log.log_rejected(client, 400, time.time())
        self._transport.write(simple_response(400, context.date, body=PLAIN_HTTP_BODY))
        self._refuse()

    def _refuse(self) -> None:
        """Half-close, then read and drop for a while, so that the answer is not reset."""
        self._phase = REFUSED
        self.idle_since = inf
        self.deadline = self._context.clock() + self._context.config.limits.linger_timeout
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _count_failure(self, reason: object) -> None:
        self._endpoint.failures += 1
        logger.debug("%s: TLS handshake failed: %s", self.client, reason)

    # -- an open session ----------------------------------------------------------------

    def _deliver(self) -> None:
        """Decrypt what has arrived, and pass it on in one piece."""
        incoming, read = self._incoming, self._read
        parts: list[bytes] = []
        end: object = None
        try:
            # One record at a time; asking again only where there is more saves the exception.
            while piece := read(RECORD):
                parts.append(piece)
                if not incoming.pending:
                    break
            else:
                end = "close_notify"
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:
            logger.debug("%s: TLS session broken: %s", self.client, exc)
            end = exc
        if self._outgoing.pending:
            self._flush()  # the answer to a KeyUpdate, or an alert
        if parts:
            assert self._inner is not None
            self._inner.data_received(parts[0] if len(parts) == 1 else b"".join(parts))
        if end is not None:
            self._disconnect()

    def _disconnect(self) -> None:
        """The peer has closed. TLS has no half-close for us: nobody is left to be answered."""
        if self._phase == OPEN:
            self._phase = REFUSED
            self._context.connections.add(self)
            self.deadline = self._context.clock() + self._context.config.limits.linger_timeout
            self._end_inner(None)
            self._send_close_notify()
        if self._phase != GONE:
            self._transport.close()

    def _end_inner(self, exc: Exception | None) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.connection_lost(exc)

    def _send_close_notify(self) -> None:
        """RFC 8446 section 6.1; the peer's own is not waited for."""
        assert self._session is not None
        with contextlib.suppress(ssl.SSLError):
            self._session.unwrap()
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())

    def _free(self) -> None:
        """Give OpenSSL's memory back now, not when the cycles are collected."""
        if self._session is not None:
            if self._session_open:
                self._session_open = False
                del self._read, self._write
            self._session = None
            del self._incoming, self._outgoing

    # -- asyncio.Transport: from the connection -------------------------------------------

    def write(self, data: Data) -> None:
        """Encrypt and send."""
        if self._phase != OPEN or not data:
            return
        try:
            if len(data) <= RECORD:
                self._write(data)
                self._transport.write(self._outgoing.read())
            else:
                self._write_pieces(memoryview(data))
        except ssl.SSLError as exc:
            logger.debug("%s: TLS session broken: %s", self.client, exc)
            self._transport.abort()

    def _write_pieces(self, view: memoryview) -> None:
        for start in range(0, len(view), PIECE):
            piece = view[start : start + PIECE]
            for at in range(0, len(piece), RECORD):
                self._write(piece[at : at + RECORD])
            self._transport.write(self._outgoing.read())

    def write_eof(self) -> None:
        """Close our side; what the peer still sends is dropped."""
        if self._phase == OPEN:
            self._send_close_notify()
            self._phase = SHUT
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def can_write_eof(self) -> bool:
        """Whether our side can be closed alone: it can, by an alert and a FIN."""
        return True

    def close(self) -> None:
        """Send what is buffered, then close."""
        if self._phase == OPEN:
            self._send_close_notify()
            self._phase = SHUT
        self._transport.close()

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether the connection is being closed."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Let the peer wait."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        """Whether the peer is being read."""
        return self._transport.is_reading()

    def get_write_buffer_size(self) -> int:
        """Return the encrypted bytes that the socket has not taken."""
        return self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high mark."""
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks between which writing is paused."""
        self._transport.set_write_buffer_limits(high, low)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the connection."""
        assert self._inner is not None
        return self._inner

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Put another protocol in the connection's place (an upgrade)."""
        self._inner = cast("asyncio.Protocol", protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return facts about the session, or about the socket below it."""
        if name == "ssl_object":
            return self._session
        if name == "sslcontext":
            return self._session.context if self._session is not None else default
        return self._transport.get_extra_info(name, default)

    # -- the server's Connection, during a handshake ---------------------------------------

    def sweep(self, now: float, elapsed: float) -> None:
        """Act on the deadline of the handshake, or of lingering."""
        if self.deadline <= now:
            if self._phase == HANDSHAKE:
                self._count_failure("timed out")
                self._phase = REFUSED
            self._transport.abort()

    def admit(self) -> None:
        """Hold no head back: there is none yet."""

    def drain(self) -> None:
        """Go on: the request that this handshake is for is answered."""

    def close_idle(self) -> bool:
        """Close while nothing was asked for."""
        if self._phase == HANDSHAKE:
            self._transport.close()
            return True
        return False

    def socket_fd(self) -> int:
        """Return the transport's descriptor, or -1."""
        sock = self._transport.get_extra_info("socket")
        return sock.fileno() if sock is not None else -1

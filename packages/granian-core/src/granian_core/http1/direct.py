"""Sending an HTTP/1.1 response from the worker thread, straight to the socket.

Going back to the loop for every response costs two wake-ups. A thread may send by
itself when nothing can come in between:

- the transport is plain TCP or a unix socket and had nothing queued when the request
  was handed out, and since then only this exchange may write (its turn);
- every send happens under the connection's lock, which closing takes too, on a
  descriptor that the connection owns: a dup, so that a closed and reused number can
  never be another client's;
- what the kernel does not take at once goes to the loop, and so does everything
  after it.

Where other requests wait for the thread, a small response goes to the loop, too: the thread
goes on without letting go of the interpreter's lock, which it would have to fight for after
each send, and the loop sends what has gathered when its turn comes. That is soon where each
request takes microseconds. One that computes for long would keep the answers before it
waiting: as long as there are such requests, each answer leaves from its thread.

A thread first marks the exchange complete and then sends, both under the lock. The
loop needs no wake-up for that: it notices when the next request arrives
(`HTTP1Connection.reap`) or at the next sweep.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Final

from granian_core.blocking import BlockingStream
from granian_core.errors import ClientDisconnected, LocalProtocolError
from granian_core.stream import COMPLETE, PENDING, STARTED, Data, Headers, HTTPStream

if TYPE_CHECKING:
    from granian_core.channel import Channel
    from granian_core.http1.connection import HTTP1Connection
    from granian_core.http1.output import HTTP1Output

logger = logging.getLogger("_granian.http1")

HANDED_OVER: Final = 16_384
"""Bytes of a response up to which giving it to the loop is cheaper than letting go of the lock."""
LONG: Final = 0.001
"""Seconds to a response, above which others should not have to wait for such a request."""
CALM: Final = 1.0
"""Seconds without one, after which the loop may send again."""
HAS_GIL: Final = bool(getattr(sys, "_is_gil_enabled", lambda: True)())
"""Without that lock there is nothing to fight for."""


def make_blocking_stream(
    connection: HTTP1Connection, stream: HTTPStream, channel: Channel
) -> BlockingStream:
    """Return the quickest thread's view of *stream* that is safe. Called on the loop."""
    transport = connection.transport
    if (
        (connection.dup is None and not own_descriptor(connection))
        or transport.get_write_buffer_size()
        or transport.is_closing()
        or (connection.pipeline_flush and connection.gathering)
    ):
        return BlockingStream(stream, channel)
    return DirectStream(connection, stream, channel)


def own_descriptor(connection: HTTP1Output) -> bool:
    """Make the lock and the descriptor of a connection's own; say if there is one."""
    if connection.lock is None:
        connection.lock = threading.Lock()
        if connection.scheme == "http":
            _duplicate(connection)
    return connection.dup is not None


def _duplicate(connection: HTTP1Output) -> None:
    """Give the connection a descriptor of its own, if it can have one."""
    # A transport that is closing may name a descriptor that is somebody else's by now.
    fd = -1 if connection.transport.is_closing() else connection.socket_fd()
    if fd < 0:
        return
    try:
        dup = socket.socket(fileno=os.dup(fd))
    except OSError as exc:  # no descriptor is free: the loop can send, too
        logger.debug("%s: threads can not send themselves: %s", connection.client, exc)
        return
    # The descriptor is non-blocking already; the object would wait by itself where an
    # application has called `socket.setdefaulttimeout`.
    dup.settimeout(0)
    connection.take_duplicate(dup)


class DirectStream(BlockingStream):
    """A `BlockingStream` that sends from the thread while it may."""

    __slots__ = ("_connection", "_direct")

    def __init__(self, connection: HTTP1Connection, stream: HTTPStream, channel: Channel) -> None:
        BlockingStream.__init__(self, stream, channel)
        self._connection = connection
        # Nothing is handed over while this is true: the exchange itself says how far it is.
        self._direct = True

    def _read_on_loop(self) -> bytes:
        # 100 Continue is the loop's to write; it must not cross with ours.
        if self.stream.expects_continue:
            self._direct = False
        return super()._read_on_loop()

    def inform(self, status: int, headers: Headers = ()) -> None:
        """Send an informational response; see `HTTPStream.inform`."""
        # The loop writes it, perhaps at the end of its turn; what follows must not overtake.
        self._direct = False
        super().inform(status, headers)

    def respond(
        self, status: int, headers: Headers = (), body: Data = b"", *, reason: bytes | None = None
    ) -> None:
        """Send the whole response; see `HTTPStream.respond`."""
        stream = self.stream
        if not self._direct or stream.phase != PENDING:
            self._direct = False
            super().respond(status, headers, body, reason=reason)
            return
        if type(body) is not bytes:
            body = bytes(memoryview(body))
        data, cut = self._connection.encode_response(stream, status, headers, body, reason)
        self._send_last(stream, status, data)
        if cut:
            raise LocalProtocolError("the response body is longer than its Content-Length")

    def start(self, status: int, headers: Headers = (), *, reason: bytes | None = None) -> None:
        """Send the response head; see `HTTPStream.start`."""
        stream = self.stream
        if not self._direct or stream.phase != PENDING:
            self._direct = False
            super().start(status, headers, reason=reason)
            return
        data, declared = self._connection.encode_head(stream, status, headers, reason)
        stream.mark_started(status, declared)
        self._send(data)

    def write(self, data: Data) -> None:
        """Send a piece of the body; see `BlockingStream.write`."""
        stream = self.stream
        if type(data) is not bytes:
            data = bytes(memoryview(data))  # an int would become that many zeros
        if not self._direct or stream.phase != STARTED or not stream.may_send(len(data)):
            self._direct = False
            super().write(data)
            return
        if data and not stream.no_content:
            stream.note_sent(len(data))
            self._send(self._connection.encode_data(data))

    def finish(self, trailers: Headers | None = None) -> None:
        """End the response; see `HTTPStream.finish`."""
        stream = self.stream
        if not self._direct or stream.phase != STARTED or not stream.may_finish:
            self._direct = False
            super().finish(trailers)
            return
        self._send_last(stream, stream.status, self._connection.encode_end(trailers))

    def _send(self, data: bytes) -> None:
        """Send a part of a response; the rest of a short write becomes the loop's."""
        with self._connection.lock_for_threads:
            sent = self._try_send(data)
        if sent < len(data):
            self._direct = False
            rest = data[sent:]
            self._channel.post(self._connection.write_for_thread, self.stream, rest)
            self._wait_writable()

    def _send_last(self, stream: HTTPStream, status: int, data: bytes) -> None:
        """Mark the exchange complete, then send its last bytes."""
        connection = self._connection
        lock = connection.lock
        assert lock is not None
        with lock:
            if stream.phase > STARTED:
                return  # the client left meanwhile
            stream.mark_complete(status)
            if self._may_leave_to_loop(len(data)):
                rest = data
            else:
                sent = self._try_send(data) if data else 0
                rest = b"" if sent == len(data) else data[sent:]
            if rest:
                connection.handed_off = True
        if rest or connection.needs_loop():
            self._channel.post(connection.finish_from_thread, stream, rest)

    def _may_leave_to_loop(self, size: int) -> bool:
        """Whether others wait for the thread, or the loop is on its way; and nothing for long."""
        pace = self.pace
        if pace is None or not HAS_GIL:
            return False
        now = monotonic()
        if now - self.began > LONG:
            pace.calm_at = now + CALM
            return False
        crowded = len(pace.backlog) > 0 or self._channel.awake
        return crowded and size <= HANDED_OVER and now >= pace.calm_at

    def _try_send(self, data: bytes) -> int:
        """Send what the kernel takes now; the caller holds the lock."""
        dup = self._connection.dup
        if dup is None or self.stream.disconnected:
            if self.stream.phase == COMPLETE:
                return len(data)  # nobody is there to take the answer
            self.gone = True
            raise ClientDisconnected
        try:
            return dup.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as exc:
            if self.stream.phase == COMPLETE:
                # Nobody may wait on a kept-alive connection for an answer that is lost.
                self._channel.post(self._connection.abort)
                return len(data)
            self.gone = True
            raise ClientDisconnected(str(exc)) from exc

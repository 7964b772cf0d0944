"""The application's half of an HTTP exchange: a carrier whose connection is on another loop.

`RemoteCarrier` checks what the application says as the connection would, so that its
mistakes raise in its own frame; then it posts it. The other way it takes what the relay
posts, and feeds the application's stream with it.

Both directions are bounded by credit. What was handed over counts as on its way until the
other half has said that it is taken: by the transport (response), or by the application
(body).
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from granian_core import handover
from granian_core.blocking import BlockingStream
from granian_core.errors import LocalProtocolError
from granian_core.handover import (
    TOO_LONG,
    check_final_head,
    check_head,
    check_trailers,
    has_no_content,
)
from granian_core.http1.response import is_event_stream
from granian_core.stream import COMPLETE, Fields, Headers, HTTPStream

if TYPE_CHECKING:
    import asyncio

    from granian_core.channel import Channel
    from granian_core.runtime.application import ApplicationContext
    from granian_core.runtime.relay import HTTPRelay

logger = logging.getLogger("_granian.runtime")

SEND_WINDOW: Final = 131_072
"""Bytes of a response on their way to the I/O loop at which the application has to wait."""
BODY_WINDOW: Final = 65_536
"""Bytes of a body on their way to the application at which the relay stops reading."""


class RemoteCarrier:
    """See the module. Implements `Carrier`, on the application's loop.

    Made on the I/O thread, with the stream that the application will see.

    Attributes:
        stream: That stream; None once nobody is interested in the peer any more.
    """

    __slots__ = (
        "_context",
        "_declared",
        "_in_flight",
        "_io",
        "_relay",
        "_unpulled",
        "_unsaid",
        "_writers",
        "loop",
        "stream",
    )

    def __init__(
        self, near: HTTPStream, relay: HTTPRelay, context: ApplicationContext, io: Channel
    ) -> None:
        self.loop = context.loop
        self._context = context
        self._relay = relay
        self._io = io
        self._in_flight = 0
        self._writers: list[asyncio.Future[None]] = []
        self._unsaid = 0
        self._unpulled = near.expects_continue
        self._declared = -1
        self.stream: HTTPStream | None = HTTPStream(
            self,
            near.http_version,
            near.method,
            near.scheme,
            near.path,
            near.raw_path,
            near.query_string,
            near.authority,
            near.headers,
            near.client,
            near.server,
            near.tls,
            not near.body_complete,
            near.expects_continue,
        )

    # -- Carrier: from the application -------------------------------------------------

    def send_response(
        self, stream: HTTPStream, status: int, headers: Headers, body: bytes, reason: bytes | None
    ) -> None:
        """Send a whole response."""
        fields, declared = check_final_head(stream.http_version, status, headers, reason)
        self._io.post(handover.respond, self._relay.stream, status, fields, body, reason)
        stream.mark_complete(status)
        if 0 <= declared < len(body) and not has_no_content(stream.method, status):
            raise LocalProtocolError(TOO_LONG)  # the connection cuts it, and ends with it

    def send_head(
        self, stream: HTTPStream, status: int, headers: Headers, reason: bytes | None
    ) -> int:
        """Send a response head."""
        fields, declared = check_final_head(stream.http_version, status, headers, reason)
        if status == 204:
            declared = -1
        stream.event_stream = is_event_stream(fields)
        self._declared = declared
        self._io.post(self._relay.start, stream.body_wanted, status, fields, reason)
        return declared

    def send_data(self, stream: HTTPStream, data: bytes) -> None:
        """Send a piece of content."""
        self._in_flight += len(data)
        self._io.post(self._relay.write, data)

    def send_end(self, stream: HTTPStream, trailers: Headers | None) -> None:
        """End the response."""
        fields = check_trailers(stream.http_version, trailers) if trailers else None
        self._io.post(handover.finish, self._relay.stream, fields)
        stream.mark_complete(stream.status)

    def send_informational(self, stream: HTTPStream, status: int, headers: Headers) -> None:
        """Send a 1xx head."""
        fields, _ = check_head(stream.http_version, status, headers, None)
        self._io.post(handover.inform, self._relay.stream, status, fields)

    def want_body(self, stream: HTTPStream) -> None:
        """Let the relay go on, for the first time or again."""
        if self._unpulled:
            self._unpulled = False
            self._io.post(self._relay.pump)
        elif self._unsaid:
            self._say_read()

    def hold_body(self, stream: HTTPStream) -> None:
        """Give no credit until the application has read: `feed` sees to it."""

    def abort_stream(self, stream: HTTPStream) -> None:
        """End the exchange so that it can not pass for complete."""
        self._io.post(self._relay.abort)
        self._wake_writers()

    def application_done(self, stream: HTTPStream) -> None:
        """The application has returned. Safe from any thread."""
        self._context.application_done(stream)
        # A task that it has left behind may still wait for the client to leave.
        watched = stream.gone_waiters is not None and stream.is_watched
        self._io.post(self._relay.done, stream.log_client, stream.log_scheme, watched)
        if not watched:
            self.stream = None

    def write_blocked(self) -> bool:
        """Whether enough is on its way."""
        return self._in_flight >= SEND_WINDOW

    def wait_writable(self, stream: HTTPStream) -> asyncio.Future[None]:
        """Return a future that ends when writing may go on, or the peer is gone."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        if self._in_flight < SEND_WINDOW or stream.phase >= COMPLETE:
            waiter.set_result(None)
        else:
            self._writers.append(waiter)
        return waiter

    def make_blocking(self, stream: HTTPStream) -> BlockingStream:
        """Return the thread's view of *stream*."""
        return BlockingStream(stream, self._context.channel)

    def send_file_part(
        self, stream: HTTPStream, fd: int, offset: int, count: int
    ) -> asyncio.Future[int] | None:
        """Let the kernel send a part of a file; see `granian_core.files.KernelSender`."""
        if stream.scheme != "http" or stream.http_version == "2" or self._declared < 0:
            return None
        try:
            # The caller's may be closed, and be another file's, by the time it is used.
            dup = os.dup(fd)
        except OSError as exc:
            logger.debug("the kernel can not send a file: %s", exc)
            return None
        sending: asyncio.Future[int] = self.loop.create_future()
        sending.add_done_callback(self._file_given_up)
        self._io.post(self._relay.send_file, dup, offset, count, sending)
        return sending

    def _file_given_up(self, sending: asyncio.Future[int]) -> None:
        if sending.cancelled():
            self._io.post(self._relay.stop_file)

    # -- from the relay, on the application's loop --------------------------------------

    def feed(self, data: bytes, ended: bool, trailers: Fields | None) -> None:
        """Take a piece of the body; *ended* if it is the last."""
        stream = self.stream
        if stream is None:
            return
        if data:
            stream.feed_data(data)
            self._unsaid += len(data)
            if self._unsaid >= BODY_WINDOW // 2 and not stream.body_held:
                self._say_read()
        if ended:
            stream.feed_end(trailers)

    def _say_read(self) -> None:
        size, self._unsaid = self._unsaid, 0
        self._io.post(self._relay.credit, size)

    def feed_half_close(self) -> None:
        """The peer has sent its FIN after a complete request."""
        if self.stream is not None:
            self.stream.feed_half_close()

    def feed_disconnect(self) -> None:
        """The peer is gone, or what it was sent is of no use any more."""
        if self.stream is not None:
            self.stream.feed_disconnect()
        self._wake_writers()

    def credit(self, size: int) -> None:
        """The transport has taken *size* bytes."""
        self._in_flight -= size
        if self._writers and self._in_flight < SEND_WINDOW:
            self._wake_writers()

    def _wake_writers(self) -> None:
        writers, self._writers = self._writers, []
        for waiter in writers:
            if not waiter.done():
                waiter.set_result(None)

    def file_ended(self, sending: asyncio.Future[int], outcome: int | BaseException) -> None:
        """The kernel has sent that many bytes of a file, or has failed."""
        if sending.done() or self.stream is None:
            return
        if isinstance(outcome, BaseException):
            sending.set_exception(outcome)
        else:
            self.stream.note_sent(outcome)
            sending.set_result(outcome)

    def cancel(self) -> None:
        """The server gives up on the application."""
        stream = self.stream
        if stream is not None and stream.task is not None:
            stream.cancelled = True
            stream.task.cancel()

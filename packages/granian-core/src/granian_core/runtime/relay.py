"""The I/O loop's half of an HTTP exchange: it stands in for the application.

`HTTPRelay` does to the connection's stream what the application does to its own, and passes
on what the peer does. Everything here runs on the I/O loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
from functools import partial
from typing import TYPE_CHECKING

from granian_core import handover
from granian_core.errors import ClientDisconnected
from granian_core.files import kernel_sender
from granian_core.runtime.carrier import BODY_WINDOW, SEND_WINDOW, RemoteCarrier
from granian_core.stream import ABORTED, COMPLETE, Address, HTTPStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from granian_core.channel import Channel
    from granian_core.runtime.application import ApplicationContext
    from granian_core.stream import Headers

logger = logging.getLogger("_granian.runtime")


class RemoteTask(asyncio.Future[None]):
    """What runs an exchange, as the I/O loop sees it: the task is on another loop.

    It ends when the application is done; cancelling it asks for that.
    """

    def __init__(self, relay: HTTPRelay, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._relay = relay

    def cancel(self, msg: object = None) -> bool:
        """Have the application's own task cancelled."""
        self._relay.cancel()
        return True


class HTTPRelay:
    """See the module.

    Args:
        stream: The connection's.
        context: The application's.
        io: To the I/O loop, for the carrier.

    Attributes:
        carrier: The other half; None once it is of no interest any more.
    """

    __slots__ = (
        "_application",
        "_body_ended",
        "_file",
        "_gone",
        "_taken",
        "_told",
        "_unread",
        "_waiting",
        "carrier",
        "stream",
    )

    _gone: asyncio.Future[None]

    def __init__(self, stream: HTTPStream, context: ApplicationContext, io: Channel) -> None:
        self.stream = stream
        self._application = context.channel
        self._unread = 0
        self._body_ended = stream.body_complete
        self._taken = 0
        self._waiting = False
        self._told = False
        self._file: asyncio.Future[int] | None = None
        self.carrier: RemoteCarrier | None = RemoteCarrier(stream, self, context, io)

    @property
    def far(self) -> HTTPStream:
        """The application's stream, as long as it has not ended."""
        assert self.carrier is not None
        assert self.carrier.stream is not None
        return self.carrier.stream

    def begin(self, start: Callable[..., None], far: object) -> None:
        """Start the application by ``start(far)``; pass on what the peer does from now on."""
        self._gone = self.stream.wait_disconnect()
        self._gone.add_done_callback(self._peer_gone)
        if not self._body_ended and not self.stream.expects_continue:
            self.pump()  # what is here already is there when the application starts
        self._application.post(start, far)

    # -- from the peer ------------------------------------------------------------------

    def pump(self, _: object = None) -> None:
        """Pass on what has arrived of the body, within the window."""
        stream, carrier = self.stream, self.carrier
        if self._body_ended or carrier is None:
            return
        try:
            while self._unread < BODY_WINDOW:
                data = stream.read_nowait()
                if data is None:
                    stream.wait_readable().add_done_callback(self.pump)
                    return
                # A read takes all there is: what is complete now, has been read.
                self._body_ended = stream.body_complete
                self._unread += len(data)
                self._application.post(carrier.feed, data, self._body_ended, stream.trailers)
                if self._body_ended:
                    return
        except ClientDisconnected:
            if stream.disconnected:
                self._tell_disconnect()

    def credit(self, size: int) -> None:
        """The application has read that much."""
        was_full = self._unread >= BODY_WINDOW
        self._unread -= size
        if was_full:
            self.pump()

    def _peer_gone(self, gone: asyncio.Future[None]) -> None:
        if gone.cancelled() or self.carrier is None:
            return
        if self.stream.disconnected:
            self._tell_disconnect()
        else:
            self._application.post(self.carrier.feed_half_close)

    def _tell_disconnect(self) -> None:
        if not self._told and self.carrier is not None:
            self._told = True
            self._application.post(self.carrier.feed_disconnect)

    def cancel(self) -> None:
        """Ask the application to end."""
        if self.carrier is not None:
            self._application.post(self.carrier.cancel)

    # -- from the application -------------------------------------------------------------
    #
    # Other heads and ends come to the connection's stream by the functions of `handover`.

    def start(self, wanted: bool, status: int, headers: Headers, reason: bytes | None) -> None:
        """Send the response head; *wanted* if the application has begun to read the body."""
        self.stream.body_wanted = wanted  # `pump` has read ahead of it
        handover.start(self.stream, status, headers, reason)

    def write(self, data: bytes) -> None:
        """Send a piece of content; give credit for it when the transport has taken it."""
        stream = self.stream
        handover.write(stream, data)
        if stream.phase == ABORTED:
            self._tell_disconnect()
            return
        self._taken += len(data)
        if self._waiting:
            return
        if stream.write_blocked:
            self._wait_writable()
        elif self._taken >= SEND_WINDOW // 4:
            self._give_credit()

    def _wait_writable(self) -> None:
        self._waiting = True
        self.stream.carrier.wait_writable(self.stream).add_done_callback(self._writable)

    def _writable(self, _: object) -> None:
        self._waiting = False
        stream = self.stream
        if stream.phase == ABORTED:
            self._tell_disconnect()
        elif stream.write_blocked:
            self._wait_writable()
        else:
            self._give_credit()

    def _give_credit(self) -> None:
        size, self._taken = self._taken, 0
        if self.carrier is not None:
            self._application.post(self.carrier.credit, size)

    def abort(self) -> None:
        """Cut the response."""
        self.stream.abort()

    def done(self, client: Address | None, scheme: str, watched: bool) -> None:
        """The application has returned.

        Args:
            client: For the access log.
            scheme: For the access log.
            watched: Somebody still waits for the client to leave.
        """
        stream = self.stream
        stream.log_client = client
        stream.log_scheme = scheme
        if not watched:
            self.end()
        if stream.phase < COMPLETE:
            stream.abort()  # what the connection has refused
        task, stream.task = stream.task, None
        if task is not None and not task.done():
            task.set_result(None)
        stream.carrier.application_done(stream)

    def end(self) -> None:
        """Tell the other half nothing more."""
        self._gone.cancel()
        self.carrier = None

    # -- files ----------------------------------------------------------------------------

    def send_file(self, fd: int, offset: int, count: int, waiter: asyncio.Future[int]) -> None:
        """Let the kernel send a part of a file, and tell *waiter*, which is the other loop's.

        Args:
            fd: Ours to close.
            offset: First byte to send.
            count: How many to send.
            waiter: Gets the number of bytes sent; 0 where the kernel can not do it.
        """
        stream = self.stream
        sender = kernel_sender(stream)
        sending = None
        if sender is not None and stream.phase < COMPLETE:
            sending = sender(stream, fd, offset, count)
        if sending is None:
            os.close(fd)
            self._tell_file(waiter, 0)
            return
        self._file = sending
        sending.add_done_callback(partial(self._file_sent, fd, waiter))

    def _file_sent(
        self, fd: int, waiter: asyncio.Future[int], sending: asyncio.Future[int]
    ) -> None:
        os.close(fd)
        self._file = None
        if sending.cancelled():
            return
        self._tell_file(waiter, sending.exception() or sending.result())
        if self.stream.phase == ABORTED:
            self._tell_disconnect()

    def _tell_file(self, waiter: asyncio.Future[int], outcome: int | BaseException) -> None:
        if self.carrier is not None:
            self._application.post(self.carrier.file_ended, waiter, outcome)

    def stop_file(self) -> None:
        """Nobody waits for a file any more."""
        if self._file is not None:
            self._file.cancel()

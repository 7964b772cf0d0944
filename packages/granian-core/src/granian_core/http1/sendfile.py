"""Handing the content of a file to the kernel, on a connection's own descriptor.

`os.sendfile` moves bytes from the page cache to the socket without showing them to this
process. It writes beside the transport, so:

- it begins when the transport's own buffer is empty, and until it has ended nothing else
  of this connection is written: the exchange is this stream's, and its response is in
  the middle of its content;
- it never blocks on the socket: what the kernel does not take waits until `add_writer` says
  that it may go on, on a dup that the connection owns, for a transport's own
  descriptor is not ours to watch;
- it ends before the dup is closed (`FileSending.stop`), whatever the reason.

Only for plain HTTP/1.1 on TCP and unix sockets: TLS has to see the bytes.
"""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING, Final

from granian_core.stream import STARTED, HTTPStream

if TYPE_CHECKING:
    import asyncio

    from granian_core.http1.output import HTTP1Output

logger = logging.getLogger("_granian.http1")

STEP: Final = 1_048_576
"""Most bytes that are handed over in one turn of the loop, so that others get theirs."""

_UNSUPPORTED: Final = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_PEER_GONE: Final = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ETIMEDOUT)


class FileSending:
    """One file on its way; `done` ends with the number of bytes that were sent."""

    __slots__ = ("_connection", "_count", "_fd", "_offset", "_sent", "_stream", "_watched", "done")

    def __init__(
        self, connection: HTTP1Output, stream: HTTPStream, fd: int, offset: int, count: int
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._fd = fd
        self._offset = offset
        self._count = count
        self._sent = 0
        self._watched = -1
        self.done: asyncio.Future[int] = connection.loop.create_future()

    def start(self) -> None:
        """Send what the kernel takes now, and go on when it takes more."""
        self.done.add_done_callback(self._end)
        self._step()
        if not self.done.done():
            assert self._connection.dup is not None
            self._watched = self._connection.dup.fileno()
            self._connection.loop.add_writer(self._watched, self._step)

    def stop(self) -> None:
        """Send nothing more; the connection closes its descriptors next."""
        self._unwatch()
        if not self.done.done():
            self.done.set_result(self._sent)

    def _end(self, done: asyncio.Future[int]) -> None:
        """The last word, also if whoever waited has given up."""
        self._unwatch()

    def _unwatch(self) -> None:
        watched, self._watched = self._watched, -1
        if watched >= 0:
            self._connection.loop.remove_writer(watched)
        self._connection.file_ended(self)

    def _step(self) -> None:
        connection = self._connection
        if self.done.done() or connection.dup is None or self._stream.phase != STARTED:
            self.stop()
            return
        if connection.transport.get_write_buffer_size():
            return  # the transport is first; it is woken by the same event
        try:
            sent = os.sendfile(
                connection.dup.fileno(),
                self._fd,
                self._offset + self._sent,
                min(self._count - self._sent, STEP),
            )
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._fail(exc)
            return
        self._sent += sent
        self._stream.note_sent(sent)
        connection.file_left -= sent
        if not sent or self._sent >= self._count:
            self.stop()

    def _fail(self, exc: OSError) -> None:
        if exc.errno in _UNSUPPORTED:
            self.stop()  # the caller reads instead
        elif exc.errno in _PEER_GONE:
            logger.debug("%s: %s", self._connection.client, exc)
            self._connection.abort()
            self.stop()
        else:
            self._unwatch()
            self.done.set_exception(exc)

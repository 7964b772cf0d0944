"""File responses: opened and read in a thread, sent with back-pressure.

Opening and reading may block for as long as a disk or a network share likes, so both
run on threads of their own (`granian_core.filethreads`). A file of one block leaves in a
single write. The rest of a longer one is handed to the kernel where the connection can do
that (plain HTTP/1.1), and read block by block elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from granian_core.filethreads import in_file_thread

if TYPE_CHECKING:
    from granian_core.stream import Headers, HTTPStream

logger = logging.getLogger("_granian.files")

BLOCK_SIZE = 131_072
"""Bytes read at a time."""

KernelSender: TypeAlias = "Callable[[HTTPStream, int, int, int], asyncio.Future[int] | None]"
"""``send_file_part(stream, fd, offset, count)`` of a carrier that can leave it to the kernel.

The future's result is how many bytes were sent; fewer than *count* if the file ended, the
client left, or the kernel can not do it with this file. None: not on this connection.
"""

_NOT_FOUND_HEADERS = [(b"content-type", b"text/plain; charset=utf-8")]
_NOT_FOUND_BODY = b"Not found"

# O_NONBLOCK: opening a FIFO that nobody writes to must not hold a thread for good.
OPEN_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)


class OpenFile:
    """A descriptor that threads read from, and that is closed only between two reads.

    A cancelled await leaves its read behind in a thread; without the lock that read could
    meet a number that has become another file's.
    """

    __slots__ = ("_lock", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._lock = threading.Lock()

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes from *offset*; none at the end, or once it is closed."""
        with self._lock:
            if self.fd < 0:
                return b""
            if hasattr(os, "pread"):
                return os.pread(self.fd, size, offset)
            os.lseek(self.fd, offset, os.SEEK_SET)
            return os.read(self.fd, size)

    def close(self) -> None:
        """Close the descriptor, after a read that is going on."""
        with self._lock:
            fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class _Opened(NamedTuple):
    file: OpenFile
    length: int
    """Bytes to send."""
    block: bytes
    """The first of them, up to BLOCK_SIZE."""


async def send_file(
    stream: HTTPStream,
    status: int,
    headers: Headers,
    path: str,
    start: int = 0,
    end: int | None = None,
) -> None:
    """Answer *stream* with the bytes from *start* to before *end* of a file.

    A range past the end of the file is cut. Content-Length is added unless the
    application gave one. What can not be opened, or is no regular file, is answered
    with 404 and logged at INFO.

    Args:
        stream: The exchange; its response must not have started.
        status: Status of the response.
        headers: Fields of the response.
        path: The file.
        start: First byte to send, from 0.
        end: The byte to stop before; None for the end of the file.

    Raises:
        OSError: Reading failed.
        LocalProtocolError: A field is invalid, or does not fit the length sent.
    """
    try:
        opened = await _open_in_thread(path, start, end)
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        logger.info("Cannot open file %r: %s", path, exc)
        stream.respond(404, _NOT_FOUND_HEADERS, _NOT_FOUND_BODY)
        return
    try:
        if len(opened.block) == opened.length:
            stream.respond(status, headers, opened.block)
        else:
            await _send_rest(stream, status, headers, start, opened)
    finally:
        opened.file.close()


async def _send_rest(
    stream: HTTPStream, status: int, headers: Headers, start: int, opened: _Opened
) -> None:
    stream.start(status, with_length(headers, opened.length))
    first = opened.block
    try:
        if first and not stream.no_content:
            stream.write(first)
            await send_part(stream, opened.file, start + len(first), opened.length - len(first))
        # A file that has become shorter meanwhile leaves the response short: an error.
        stream.finish()
    except BaseException:
        # At once, not when the application returns: the client is waiting.
        stream.abort()
        raise


async def send_open_file(stream: HTTPStream, fd: int, offset: int, count: int) -> int:
    """Send bytes of a descriptor as content of a response that has started.

    The descriptor stays the caller's, and its position where it is.

    Args:
        stream: The exchange.
        fd: Of a regular file.
        offset: First byte to send.
        count: How many to send.

    Returns:
        How many were sent: fewer if the file ended, or the response did.

    Raises:
        OSError: Reading failed.
        LocalProtocolError: More is sent than Content-Length says.
    """
    if stream.no_content:
        return 0
    file = OpenFile(os.dup(fd))
    try:
        return await send_part(stream, file, offset, count)
    finally:
        file.close()


async def send_part(stream: HTTPStream, file: OpenFile, offset: int, count: int) -> int:
    """Send *count* bytes of *file* from *offset* as content of a response that has started.

    Returns:
        How many were sent: fewer if the file ended, or the response did.

    Raises:
        OSError: Reading failed.
        LocalProtocolError: More is sent than Content-Length says.
    """
    sent = 0
    while sent < count and not stream.response_complete:
        by_kernel = kernel_sender(stream) if count - sent > BLOCK_SIZE else None
        if by_kernel is not None and stream.may_send(count - sent):
            await stream.drain()
            sending = by_kernel(stream, file.fd, offset + sent, count - sent)
            if sending is not None and (done := await sending):
                sent += done
                continue
        size = min(count - sent, BLOCK_SIZE)
        block = await in_file_thread(file.read_at, offset + sent, size)
        if not block or stream.response_complete:
            break
        stream.write(block)
        sent += len(block)
        await stream.drain()
    return sent


def kernel_sender(stream: HTTPStream) -> KernelSender | None:
    """Return what sends a file's bytes without reading them, if the connection has it."""
    sender: KernelSender | None = getattr(stream.carrier, "send_file_part", None)
    return sender


def with_length(headers: Headers, length: int) -> list[tuple[bytes, bytes]]:
    """Return *headers* with a Content-Length, unless they have a framing of their own."""
    fields = list(headers)
    if not any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in fields):
        fields.append((b"content-length", b"%d" % length))
    return fields


async def _open_in_thread(path: str, start: int, end: int | None) -> _Opened:
    opening = in_file_thread(_open, path, start, end)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unused)
        raise


def _close_unused(opening: asyncio.Future[_Opened]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().file.close()


def _open(path: str, start: int, end: int | None) -> _Opened:
    file = OpenFile(os.open(path, OPEN_FLAGS))
    try:
        info = os.fstat(file.fd)
        if not stat.S_ISREG(info.st_mode):
            raise OSError("not a regular file")
        size = info.st_size if end is None else min(info.st_size, end)
        length = max(0, size - start)
        return _Opened(file, length, file.read_at(start, min(length, BLOCK_SIZE)))
    except BaseException:
        file.close()
        raise

"""File responses: read in a thread, sent with back-pressure.

Opening and reading may block for as long as a disk or a network share likes, so both
run on the loop's default executor. A file of one block leaves in a single write.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from granian_core.stream import Headers, HTTPStream

logger = logging.getLogger("_granian.files")

BLOCK_SIZE = 131_072
"""Bytes read at a time."""

_NOT_FOUND_HEADERS = [(b"content-type", b"text/plain; charset=utf-8")]
_NOT_FOUND_BODY = b"Not found"

# O_NONBLOCK: opening a FIFO that nobody writes to must not hold a thread for good.
_OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)


class _Opened(NamedTuple):
    file: BinaryIO
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
    # Closing waits for a read that a cancelled await has left behind in its thread.
    with opened.file as file:
        if len(opened.block) == opened.length:
            stream.respond(status, headers, opened.block)
        else:
            await _send_blocks(stream, status, headers, file, opened)


async def _send_blocks(
    stream: HTTPStream, status: int, headers: Headers, file: BinaryIO, opened: _Opened
) -> None:
    loop = asyncio.get_running_loop()
    stream.start(status, _with_length(headers, opened.length))
    content = stream.method != "HEAD" and status != 204 and status != 304
    left, block = opened.length, opened.block
    try:
        while content and block:
            stream.write(block)
            await stream.drain()
            left -= len(block)
            if not left or stream.response_complete:
                break
            block = await loop.run_in_executor(None, file.read, min(left, BLOCK_SIZE))
        # A file that has become shorter meanwhile leaves the response short: an error.
        stream.finish()
    except BaseException:
        # At once, not when the application returns: the client is waiting.
        stream.abort()
        raise


def _with_length(headers: Headers, length: int) -> list[tuple[bytes, bytes]]:
    fields = list(headers)
    if not any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in fields):
        fields.append((b"content-length", b"%d" % length))
    return fields


async def _open_in_thread(path: str, start: int, end: int | None) -> _Opened:
    opening = asyncio.get_running_loop().run_in_executor(None, _open, path, start, end)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unused)
        raise


def _close_unused(opening: asyncio.Future[_Opened]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().file.close()


def _open(path: str, start: int, end: int | None) -> _Opened:
    file = os.fdopen(os.open(path, _OPEN_FLAGS), "rb")
    try:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise OSError("not a regular file")
        size = info.st_size if end is None else min(info.st_size, end)
        length = max(0, size - start)
        file.seek(start)
        return _Opened(file, length, file.read(min(length, BLOCK_SIZE)))
    except BaseException:
        file.close()
        raise

"""The ``http.response.pathsend`` extension: a file as the body of a response.

File reads happen in the loop's executor, a block at a time; how far ahead of the peer
they run is bounded by the stream's back-pressure.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from granian_core import HTTPStream

logger = logging.getLogger("_granian.asgi.io")

BLOCK = 131_072
"""Bytes read at a time."""

NOT_FOUND_BODY = b"Not found"
NOT_FOUND_HEADERS = [(b"content-type", b"text/plain; charset=utf-8")]


async def send_path(
    stream: HTTPStream, status: int, headers: Iterable[tuple[bytes, bytes]], path: str
) -> None:
    """Send the file at *path*; 404 if there is no such regular file.

    No Content-Length is added; one that *headers* declare is enforced by the stream.

    Raises:
        LocalProtocolError: HTTP does not allow *status* or *headers*, or the file is
            longer or shorter than the declared Content-Length.
        OSError: Reading failed in the middle.
    """
    loop = asyncio.get_running_loop()
    try:
        file = await loop.run_in_executor(None, open_regular, path)
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        logger.info("Cannot send file %r: %s", path, exc)
        stream.respond(404, NOT_FOUND_HEADERS, NOT_FOUND_BODY)
        return
    # The buffered reader's lock makes this close wait for a read that a cancelled
    # await has left behind in the executor.
    with file:
        stream.start(status, headers)
        if stream.method != "HEAD":
            await _copy(loop, file, stream)
        stream.finish()


async def _copy(loop: asyncio.AbstractEventLoop, file: BinaryIO, stream: HTTPStream) -> None:
    while not stream.response_complete:
        data = await loop.run_in_executor(None, file.read, BLOCK)
        if not data:
            return
        stream.write(data)
        await stream.drain()


def open_regular(path: str) -> BinaryIO:
    """Open *path* for reading.

    Raises:
        OSError: It can not be opened, or is not a regular file.
        ValueError: It can not be the name of a file.
    """
    # Without O_NONBLOCK opening a FIFO would wait for a writer, maybe for ever.
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    fd = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError("not a regular file")
        return open(fd, "rb", buffering=BLOCK)
    except BaseException:
        os.close(fd)
        raise

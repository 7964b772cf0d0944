"""``wsgi.file_wrapper``: a file as a response, sent without reading it where possible.

Spec: PEP 3333, "Optional Platform-Specific File Handling".
"""

from __future__ import annotations

import io
import os
import stat
from typing import BinaryIO, Protocol, cast

BLOCK_SIZE = 65_536
"""Bytes read at a time, if the application does not say."""


class FileLike(Protocol):
    """What an application may wrap."""

    def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes, none at the end."""


class FileWrapper:
    """Iterate over a file in blocks; closing it closes the file.

    Args:
        filelike: Anything with ``read(size)`` that returns bytes.
        block_size: Bytes to read at a time.
    """

    __slots__ = ("block_size", "filelike")

    def __init__(self, filelike: FileLike, block_size: int = BLOCK_SIZE) -> None:
        self.filelike = filelike
        self.block_size = block_size

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        data = self.filelike.read(self.block_size)
        if not data:
            raise StopIteration
        return data

    def close(self) -> None:
        """Close the file, if it can be closed."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()


def real_file(wrapper: FileWrapper) -> tuple[BinaryIO, int] | None:
    """Return the file of a wrapper and the bytes left in it, if it is a regular file.

    Only exact types of the standard library count: a subclass, or a compressed file,
    has a descriptor too, but reading it yields other bytes than the descriptor.
    """
    file: object = wrapper.filelike
    # What tempfile's functions return passes everything on to this attribute.
    if type(file).__module__ == "tempfile":
        file = getattr(file, "file", file)
    raw = (
        getattr(file, "raw", None) if type(file) in (io.BufferedReader, io.BufferedRandom) else file
    )
    if type(raw) is not io.FileIO or raw.closed or not raw.readable():
        return None
    info = os.fstat(raw.fileno())
    if not stat.S_ISREG(info.st_mode):
        return None
    regular = cast(BinaryIO, file)
    return regular, max(0, info.st_size - regular.tell())

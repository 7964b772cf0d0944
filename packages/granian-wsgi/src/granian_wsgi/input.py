"""``wsgi.input``: the request body as a file, read from the client as it is asked for.

No more than one received piece (64 KiB at most) is held here at a time; what the
application does not read is not received. Every method does what `io.BytesIO` over
the whole body would do, but for seeking.

Spec: PEP 3333, "Input and Error Streams".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from granian_core import ClientDisconnected
from granian_wsgi.errors import RequestBodyError

if TYPE_CHECKING:
    from granian_core import BlockingStream


class Input:
    """The body of one request, for the one thread that runs the application."""

    __slots__ = ("_buffer", "_position", "_stream")

    def __init__(self, stream: BlockingStream) -> None:
        self._stream = stream
        self._buffer = b""
        self._position = 0

    def read(self, size: int | None = -1) -> bytes:
        """Return *size* bytes, fewer only at the end; everything if negative or None.

        Raises:
            RequestBodyError: The client left before the body was complete.
        """
        if size is None or size < 0:
            return self._read_all()
        data = self._take(size)
        missing = size - len(data)
        if not missing:
            return data
        parts = [data] if data else []
        while missing and (data := self._receive(missing)):
            parts.append(data)
            missing -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readline(self, size: int | None = -1) -> bytes:
        """Return one line with its newline, but at most *size* bytes unless negative or None.

        Raises:
            RequestBodyError: The client left before the line was complete.
        """
        if size is None or size < 0:
            return self._read_line()
        line = self._find_line(size)
        if line is not None:
            return line
        parts: list[bytes] = []
        missing = size
        while True:
            parts.append(self._take(missing))
            missing -= len(parts[-1])
            if not missing or not self._fill():
                break
            line = self._find_line(missing)
            if line is not None:
                parts.append(line)
                break
        return b"".join(parts)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Return lines, no more once they hold *hint* bytes; all if it is not positive.

        Raises:
            RequestBodyError: The client left before the body was complete.
        """
        lines: list[bytes] = []
        total = 0
        while line := self._read_line():
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Input:
        return self

    def __next__(self) -> bytes:
        line = self._read_line()
        if not line:
            raise StopIteration
        return line

    # -- the piece at hand -----------------------------------------------------

    def _take(self, size: int) -> bytes:
        """Take up to *size* bytes of the piece at hand."""
        start = self._position
        if start == len(self._buffer):
            return b""
        data = self._buffer[start : start + size]
        self._position = start + len(data)
        return data

    def _find_line(self, limit: int) -> bytes | None:
        """Take a line that ends in the piece at hand, cut to *limit* bytes."""
        start = self._position
        end = self._buffer.find(b"\n", start, start + limit) + 1
        if end:
            self._position = end
            return self._buffer[start:end]
        if len(self._buffer) - start >= limit:
            return self._take(limit)
        return None

    def _fill(self) -> bool:
        """Receive the next piece, once the one at hand is used up; False at the end."""
        self._buffer = self._receive(-1)
        self._position = 0
        return bool(self._buffer)

    def _receive(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except ClientDisconnected as exc:
            raise RequestBodyError(str(exc), exc.status_hint) from exc

    def _read_all(self) -> bytes:
        data = self._take(len(self._buffer))
        parts = [data] if data else []
        while data := self._receive(-1):
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_line(self) -> bytes:
        start = self._position
        end = self._buffer.find(b"\n", start) + 1
        if end:
            self._position = end
            return self._buffer[start:end]
        parts = [self._take(len(self._buffer))]
        while self._fill():
            end = self._buffer.find(b"\n") + 1
            parts.append(self._take(end or len(self._buffer)))
            if end:
                break
        return b"".join(parts)

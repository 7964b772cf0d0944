"""What both HTTP/1.1 engines do alike: holding back, looping, and failing once.

The subclass parses; this base sequences. Bytes that arrive while a request waits
for its response are held back, `next_request` resumes them without recursion, and
a `Fault` becomes one `HTTP1Handler.on_error`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from granian_core.http1.contract import (
    BODY,
    CLOSED,
    CUT_SHORT,
    HEAD,
    IDLE,
    WAITING,
    HTTP1Handler,
)
from granian_core.http1.guard import Fault, HeadScanner

if TYPE_CHECKING:
    from granian_core.settings import HTTP1Settings, Limits


class BaseEngine:
    """Sequencing common to the engines; see the contract for the public methods."""

    __slots__ = (
        "_ended",
        "_handler",
        "_held",
        "_limits",
        "_partial",
        "_running",
        "_scanner",
        "_settings",
        "_skipped_empty_line",
        "buffered",
        "may_upgrade",
        "repeated",
        "state",
    )

    def __init__(self, handler: HTTP1Handler, settings: HTTP1Settings, limits: Limits) -> None:
        self.state = IDLE
        self.buffered = 0
        self.may_upgrade = False
        self.repeated = False
        self._handler = handler
        self._settings = settings
        self._limits = limits
        self._held: list[bytes] = []
        self._ended = False
        self._running = False
        self._partial: bytearray | None = None
        self._scanner: HeadScanner | None = None
        self._skipped_empty_line = False

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer."""
        if self._running or self.state == WAITING:
            self._hold(data)
        else:
            self._advance(data)

    def receive_eof(self) -> None:
        """Take the peer's FIN; what is held back is still parsed first."""
        self._ended = True
        self._check_end()

    def _check_end(self) -> None:
        if self.state == BODY:
            self._fail(400, CUT_SHORT)
        elif self.state == HEAD:
            self.close()

    def next_request(self) -> None:
        """Go on after a response."""
        if self.state != WAITING:
            return
        self.state = IDLE
        if self._held and not self._running:
            self._advance(self.take_buffered())

    def close(self) -> None:
        """Parse nothing any more."""
        self.state = CLOSED
        self._held.clear()
        self.buffered = 0
        self._partial = None

    def take_buffered(self) -> bytes:
        """Return and forget the bytes held back."""
        held = self._held
        data = held[0] if len(held) == 1 else b"".join(held)
        held.clear()
        self.buffered = 0
        return data

    def _hold(self, data: bytes) -> None:
        if self.state != CLOSED:
            self._held.append(data)
            self.buffered += len(data)

    def _advance(self, data: bytes) -> None:
        self._running = True
        try:
            while data:
                if self.state <= HEAD:
                    data = self._read_head(data)
                elif self.state == BODY:
                    data = self._read_body(data)
                else:
                    self._hold(data)
                    break
        except Fault as fault:
            self._fail(fault.status, fault.reason)
        finally:
            self._running = False
        if self._ended:
            self._check_end()

    def _fail(self, status: int, reason: str) -> None:
        if self.state == CLOSED:
            return  # the handler has closed meanwhile: nobody to tell
        self.close()
        self._handler.on_error(status, reason)

    def _read_head(self, data: bytes) -> bytes:
        """Take a head from *data*; return what follows it."""
        if self._partial is None:
            if data[0] == 0x0D and not self._skipped_empty_line and data[:2] == b"\r\n":
                # RFC 9112 2.2: one empty line before a request is forgiven.
                self._skipped_empty_line = True
                return data[2:]
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                self._skipped_empty_line = False
                self._parse_head(data, end)
                return data[end + 4 :]
        return self._read_partial_head(data)

    def _read_partial_head(self, data: bytes) -> bytes:
        if self._partial is None:
            self._partial = bytearray()
            self._scanner = HeadScanner(self._settings, self._limits)
            self.state = HEAD
        partial = self._partial
        partial += data
        if not self._skipped_empty_line and partial[:2] == b"\r\n":
            self._skipped_empty_line = True
            self._partial = None
            self.state = IDLE
            return bytes(partial[2:])
        if len(partial) == 1 and partial == b"\r" and not self._skipped_empty_line:
            return b""
        assert self._scanner is not None
        end = self._scanner.scan(partial)
        if end < 0:
            return b""
        self._partial = None
        self._skipped_empty_line = False
        self._take_head(bytes(partial[:end]))
        return bytes(partial[end + 4 :])

    def _check_whole_head(self, data: bytes, end: int) -> None:
        """Judge a head that the quick check refused; raise its first fault in wire order."""
        HeadScanner(self._settings, self._limits).scan(data[: end + 4])

    def _parse_head(self, data: bytes, end: int) -> None:
        """Judge and take the head ``data[:end]``, which arrived whole."""
        self._check_whole_head(data, end)
        self._take_head(data[:end])

    def _take_head(self, head: bytes) -> None:
        """Take a head that has been judged."""
        raise NotImplementedError

    def _read_body(self, data: bytes) -> bytes:
        """Take a piece of the body from *data*; return what follows the body."""
        raise NotImplementedError

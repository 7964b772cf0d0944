"""A message that does not arrive as one uncompressed frame in one read.

Its pieces are inflated and decoded as they come, so that what is wrong shows at once and
nothing is read twice.
"""

from __future__ import annotations

from codecs import utf_8_decode
from typing import TYPE_CHECKING, Final

from granian_core.websocket.contract import INVALID_DATA
from granian_core.websocket.deflate import InflateError

if TYPE_CHECKING:
    from granian_core.websocket.deflate import Inflater

GATHERED: Final = 256
"""Pieces of a message that are joined into one, so that tiny ones cost no objects."""


class Fault(Exception):
    """The peer broke the protocol or a limit.

    Attributes:
        code: The close code that says so.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Assembly:
    """The message in progress.

    Args:
        text: Whether it is text, so UTF-8 (RFC 6455 8.1).
        inflater: What inflates it; None if it is not compressed.

    Attributes:
        total: Bytes of payload that its frames have, as their headers say.
        fragments: Frames that have begun.
    """

    __slots__ = ("_fresh", "_inflater", "_rest", "_text", "fragments", "parts", "total")

    def __init__(self, inflater: Inflater | None, *, text: bool) -> None:
        self._inflater = inflater
        self._text = text
        self._rest = b""
        self._fresh = 0
        self.parts: list[str | bytes | bytearray] = []
        self.total = 0
        self.fragments = 0
        if inflater is not None:
            inflater.begin()

    def add(self, piece: bytes | bytearray) -> None:
        """Take a piece, unmasked.

        Raises:
            Fault: It is no UTF-8, malformed, or inflates to too much.
        """
        if self._inflater is not None:
            try:
                piece = self._inflater.inflate(piece)
            except InflateError as exc:
                raise Fault(exc.code, str(exc)) from None
        self._keep(piece, last=False)

    def finish(self) -> str | bytes:
        """Return the whole message.

        Raises:
            Fault: As for `add`.
        """
        last = b""
        if self._inflater is not None:
            try:
                last = self._inflater.finish()
            except InflateError as exc:
                raise Fault(exc.code, str(exc)) from None
        self._keep(last, last=True)
        return self._join(self.parts)

    def _keep(self, piece: bytes | bytearray, *, last: bool) -> None:
        """Keep a piece, decoded as far as it goes."""
        part: str | bytes | bytearray = piece
        if self._text:
            if self._rest:
                piece = self._rest + piece
            try:
                part, used = utf_8_decode(piece, "strict", last)
            except UnicodeDecodeError as exc:
                raise Fault(INVALID_DATA, str(exc)) from None
            self._rest = bytes(piece[used:])
        if not part:
            return
        parts = self.parts
        parts.append(part)
        self._fresh += 1
        if self._fresh == GATHERED:
            # An object for each byte would cost fifty times the message.
            parts[-GATHERED:] = [self._join(parts[-GATHERED:])]
            self._fresh = 0

    def _join(self, parts: list[str | bytes | bytearray]) -> str | bytes:
        if self._text:
            return parts[0] if len(parts) == 1 else "".join(parts)  # type: ignore[return-value, arg-type]
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)  # type: ignore[arg-type]

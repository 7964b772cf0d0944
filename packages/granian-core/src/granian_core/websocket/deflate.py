"""permessage-deflate (RFC 7692): strict negotiation, bounded memory, bounded inflation.

`Inflater` inflates in steps against the message limit and a ratio guard, for both engines;
`negotiate` reads offers by the grammar of RFC 6455 9.1.

Windows of 12 bits and memory level 5 in both directions cost about 24 KiB for each
WebSocket that compresses, where zlib's defaults cost 300 KiB; the `websockets` library
found the same compromise.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from granian_core.websocket.contract import INVALID_DATA, MESSAGE_TOO_BIG, POLICY_VIOLATION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from granian_core.settings import WebSocketSettings

WINDOW_BITS: Final = 12
"""Largest window that we use, and that we ask the peer for where it lets us."""
MEMORY_LEVEL: Final = 5
INFLATE_STEP: Final = 65_536
"""Bytes that are inflated before the limits are looked at again."""
RATIO_FREE: Final = 1_048_576
"""Bytes of a message up to which any ratio is fine."""
MIN_COMPRESSED: Final = 64
"""Messages below this size, in bytes, gain nothing from compression."""

MAX_FINAL_BLOCKS: Final = 16
"""Final blocks of one message (RFC 7692 7.2.3.4): each starts zlib anew, and few make one."""

_TAIL: Final = b"\x00\x00\xff\xff"
"""RFC 7692 7.2.2: what the sender has removed from the end of a message."""

_WORD: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER: Final = re.compile(rf'({_WORD})(?:[ \t]*=[ \t]*(?:({_WORD})|"({_WORD})"))?')
_BITS: Final = re.compile(r"8|9|1[0-5]")

Parameters = dict[str, "str | None"]


@dataclass(frozen=True, slots=True)
class DeflateParameters:
    """What was agreed. Window sizes are exponents, 8 to 15."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = WINDOW_BITS
    client_max_window_bits: int = 15
    client_bits_agreed: bool = False
    """Whether the client said that it understands ``client_max_window_bits``."""

    def field_value(self) -> bytes:
        """Return the value of our Sec-WebSocket-Extensions field."""
        parts = ["permessage-deflate"]
        if self.server_no_context_takeover:
            parts.append("server_no_context_takeover")
        if self.client_no_context_takeover:
            parts.append("client_no_context_takeover")
        # RFC 7692 7.1.2.1: the server may say this unasked.
        parts.append(f"server_max_window_bits={self.server_max_window_bits}")
        if self.client_bits_agreed:
            parts.append(f"client_max_window_bits={self.client_max_window_bits}")
        return "; ".join(parts).encode("ascii")


def negotiate(values: list[bytes]) -> DeflateParameters | None:
    """Choose the first acceptable offer of permessage-deflate, in the client's order.

    Args:
        values: The values of the request's Sec-WebSocket-Extensions fields.

    Spec: RFC 7692 5.1, 7.1; what is malformed or unknown is declined, never an error.
    """
    for name, parameters in _offers(b",".join(values).decode("latin-1")):
        if name == "permessage-deflate" and parameters is not None:
            agreed = _accept(parameters)
            if agreed is not None:
                return agreed
    return None


def _offers(text: str) -> Iterator[tuple[str, Parameters | None]]:
    """Yield each offered extension; None for parameters that are malformed or repeated."""
    for offer in text.split(","):
        name, *rest = (part.strip(" \t") for part in offer.split(";"))
        parameters: Parameters | None = {}
        for part in rest:
            match = _PARAMETER.fullmatch(part)
            if match is None or parameters is None or match[1] in parameters:
                parameters = None
                break
            parameters[match[1]] = match[2] or match[3]
        yield name, parameters


def _accept(offered: Parameters) -> DeflateParameters | None:
    """Answer one offer; None declines it (RFC 7692 7.1)."""
    for name in ("server_no_context_takeover", "client_no_context_takeover"):
        if offered.get(name) is not None:  # these have no value
            return None
    known = {
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits",
        "client_max_window_bits",
    }
    if offered.keys() - known:
        return None
    server_bits, client_bits = WINDOW_BITS, 15
    if "server_max_window_bits" in offered:
        value = offered["server_max_window_bits"]
        if value is None or _BITS.fullmatch(value) is None:
            return None
        server_bits = min(server_bits, int(value))
        if server_bits < 9:
            return None  # zlib has no raw window of 256 bytes
    client_agrees = "client_max_window_bits" in offered
    if client_agrees:
        value = offered["client_max_window_bits"]
        if value is not None and _BITS.fullmatch(value) is None:
            return None
        client_bits = min(WINDOW_BITS, int(value or 15))
    return DeflateParameters(
        server_no_context_takeover="server_no_context_takeover" in offered,
        client_no_context_takeover="client_no_context_takeover" in offered,
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits,
        client_bits_agreed=client_agrees,
    )


class InflateError(Exception):
    """What the peer compressed is no deflate stream, or too much.

    Attributes:
        code: The close code that says so.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Inflater:
    """Inflates the peer's messages, in steps, within the message limit and the ratio.

    Args:
        parameters: What was agreed.
        settings: The message limit and the ratio.
    """

    __slots__ = (
        "_bits",
        "_finals",
        "_inflated",
        "_limit",
        "_ratio",
        "_taken",
        "_takeover",
        "_zlib",
    )

    def __init__(self, parameters: DeflateParameters, settings: WebSocketSettings) -> None:
        # A window of 256 bytes is read with one of 512, as zlib does by itself.
        self._bits = max(9, parameters.client_max_window_bits)
        self._takeover = not parameters.client_no_context_takeover
        self._limit = settings.max_message_size
        self._ratio = settings.max_inflate_ratio
        self._taken = 0
        self._inflated = 0
        self._finals = 0
        self._zlib: zlib._Decompress | None = None

    def begin(self) -> None:
        """Count anew: a message begins."""
        self._taken = self._inflated = self._finals = 0

    def inflate(self, data: bytes | bytearray) -> bytes:
        """Inflate a piece of the message.

        Raises:
            InflateError: It is malformed (1007), too much (1009), or in too many streams (1008).
        """
        self._taken += len(data)
        return self._inflate(data)

    def finish(self) -> bytes:
        """Return what the end of the message still holds.

        Raises:
            InflateError: As for `inflate`.
        """
        rest = self._inflate(_TAIL)
        if not self._takeover:
            self._zlib = None
        return rest

    def _inflate(self, data: bytes | bytearray) -> bytes:
        parts: list[bytes] = []
        while True:
            if self._zlib is None:
                self._zlib = zlib.decompressobj(-self._bits)
            decompressor = self._zlib
            try:
                part = decompressor.decompress(data, INFLATE_STEP)
            except zlib.error:
                raise InflateError(INVALID_DATA, "malformed deflate data") from None
            parts.append(part)
            self._inflated += len(part)
            if self._exceeds():
                raise InflateError(MESSAGE_TOO_BIG, "inflates to too much")
            if decompressor.eof:
                # RFC 7692 7.2.3.4: a final block ends a stream, not the message.
                self._finals += 1
                if self._finals > MAX_FINAL_BLOCKS:
                    raise InflateError(POLICY_VIOLATION, "too many final blocks")
                data = decompressor.unused_data
                self._zlib = None
                if not data:
                    break
                continue
            data = decompressor.unconsumed_tail
            if not data and len(part) < INFLATE_STEP:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _exceeds(self) -> bool:
        inflated = self._inflated
        return inflated > self._limit or (
            inflated > RATIO_FREE and inflated > self._ratio * max(1, self._taken)
        )


class Deflater:
    """Compresses our messages.

    Attributes:
        shared_bits: The window if equal messages become equal bytes on every connection
            that has agreed on the same one; 0 if what was sent before counts.
    """

    __slots__ = ("_bits", "_zlib", "shared_bits")

    def __init__(self, parameters: DeflateParameters) -> None:
        self._bits = parameters.server_max_window_bits
        self.shared_bits = self._bits if parameters.server_no_context_takeover else 0
        self._zlib: zlib._Compress | None = None

    def deflate(self, data: bytes) -> bytes:
        """Return the payload of a message, which is always one frame."""
        compressor = self._zlib
        if compressor is None:
            compressor = zlib.compressobj(
                zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -self._bits, MEMORY_LEVEL
            )
            if not self.shared_bits:
                self._zlib = compressor
        packed = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return packed[: -len(_TAIL)]

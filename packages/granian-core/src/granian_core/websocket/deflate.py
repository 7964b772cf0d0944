"""permessage-deflate (RFC 7692): strict negotiation, bounded memory, bounded inflation.

wsproto's extension inflates whatever a frame holds in one go, and raises on parameters that
are no numbers. `BoundedDeflate` inflates in steps against the message limit and a ratio
guard; `negotiate` reads offers by the grammar of RFC 6455 9.1.

Windows of 12 bits and memory level 5 in both directions cost about 24 KiB for each
WebSocket that compresses, where zlib's defaults cost 300 KiB; the `websockets` library
found the same compromise.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, Opcode, RsvBits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsproto.frame_protocol import FrameDecoder, FrameProtocol

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


class BoundedDeflate(PerMessageDeflate):
    """wsproto's extension with bounds on what it inflates and what it costs.

    Args:
        parameters: What was agreed.
        settings: The message limit and the ratio.
    """

    def __init__(self, parameters: DeflateParameters, settings: WebSocketSettings) -> None:
        super().__init__(
            client_no_context_takeover=parameters.client_no_context_takeover,
            # A window of 256 bytes is read with one of 512, as zlib does by itself.
            client_max_window_bits=max(9, parameters.client_max_window_bits),
            server_no_context_takeover=parameters.server_no_context_takeover,
            server_max_window_bits=parameters.server_max_window_bits,
        )
        self._enabled = True
        self._limit = settings.max_message_size
        self._ratio = settings.max_inflate_ratio
        self._taken = 0
        self._inflated = 0

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        """Note where a message begins; the rest is the base's."""
        if self._inbound_compressed is None and not opcode.iscontrol():
            self._taken = self._inflated = 0
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        """Inflate a piece of a compressed message."""
        if not self._inbound_compressed or not self._inbound_is_compressible:
            return data
        self._taken += len(data)
        return self._inflate(data)

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        """Inflate what the end of a compressed message still holds."""
        if not fin or not self._inbound_is_compressible:
            return None
        compressed, self._inbound_compressed = self._inbound_compressed, None
        if not compressed:
            return None
        rest = self._inflate(_TAIL)
        if self.client_no_context_takeover:
            self._decompressor = None
        return rest

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        parts: list[bytes] = []
        while True:
            if self._decompressor is None:
                self._decompressor = zlib.decompressobj(-self.client_max_window_bits)
            decompressor = self._decompressor
            try:
                part = decompressor.decompress(data, INFLATE_STEP)
            except zlib.error:
                return CloseReason.INVALID_FRAME_PAYLOAD_DATA
            parts.append(part)
            self._inflated += len(part)
            if self._exceeds():
                return CloseReason.MESSAGE_TOO_BIG
            if decompressor.eof:
                # RFC 7692 7.2.3.4: a final block ends a stream, not the message.
                data = decompressor.unused_data
                self._decompressor = None
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

    def frame_outbound(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        data: bytes,
        fin: bool,
    ) -> tuple[RsvBits, bytes]:
        """Compress a message, which is always one frame; small ones stay as they are."""
        if len(data) < MIN_COMPRESSED or opcode.iscontrol():
            return rsv, data
        compressor = self._compressor
        if compressor is None:
            compressor = zlib.compressobj(
                zlib.Z_DEFAULT_COMPRESSION,
                zlib.DEFLATED,
                -self.server_max_window_bits,
                MEMORY_LEVEL,
            )
        data = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        self._compressor = None if self.server_no_context_takeover else compressor
        return RsvBits(True, False, False), data[:-4]

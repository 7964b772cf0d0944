"""Integers with a prefix (RFC 7541 5.1)."""

from __future__ import annotations

from typing import Final

from granian_core.http2.hpack.errors import HPACKError

MAX_INTEGER: Final = 2**31 - 1
"""Nothing that is counted on a connection is larger."""
_MAX_SHIFT: Final = 28
"""Of the fifth octet after the prefix, which is the last that `MAX_INTEGER` can need."""


def decode_integer(data: bytes, position: int, mask: int) -> tuple[int, int]:
    """Decode an integer; return it and where what follows it starts.

    Args:
        data: A block.
        position: Of the octet that holds the prefix.
        mask: The bits of the prefix, all ones.

    Raises:
        HPACKError: The integer is cut off, above `MAX_INTEGER`, or padded beyond it.
    """
    value = data[position] & mask
    position += 1
    if value < mask:
        return value, position
    shift = 0
    try:
        while True:
            octet = data[position]
            position += 1
            value += (octet & 0x7F) << shift
            if octet < 0x80:
                break
            shift += 7
            if shift > _MAX_SHIFT:
                raise HPACKError("integer too long")
    except IndexError as exc:
        raise HPACKError("truncated integer") from exc
    if value > MAX_INTEGER:
        raise HPACKError("integer too large")
    return value, position


def encode_integer(value: int, mask: int, pattern: int) -> bytes:
    """Encode an integer.

    Args:
        value: Not negative.
        mask: The bits of the prefix, all ones.
        pattern: What stands above the prefix in the first octet.
    """
    if value < mask:
        return bytes((pattern | value,))
    octets = bytearray((pattern | mask,))
    value -= mask
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)

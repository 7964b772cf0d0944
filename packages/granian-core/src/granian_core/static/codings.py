"""Which precompressed sibling of a file a client gets (RFC 9110 12.5.3). Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

SIBLINGS: Final = ((b"br", ".br"), (b"zstd", ".zst"), (b"gzip", ".gz"))
"""Content codings and the endings of their files, the preferred ones first."""

_WEIGHT: Final = re.compile(rb"[qQ]=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


@lru_cache(maxsize=256)
def choose_coding(field: bytes, available: tuple[bytes, ...]) -> bytes:
    """Return the coding to send; empty for the file as it is.

    Args:
        field: The Accept-Encoding field, repeated ones joined; empty if there is none.
        available: Codings that there are siblings for, the preferred ones first.
    """
    weights = _weights(field)
    others = weights.get(b"*", 0.0)
    best, coding = weights.get(b"identity", 0.0), b""
    for candidate in available:
        weight = weights.get(candidate, others)
        if weight > best or (weight == best > 0 and not coding):
            best, coding = weight, candidate
    return coding


def _weights(field: bytes) -> dict[bytes, float]:
    weights: dict[bytes, float] = {}
    for item in field.split(b","):
        name, _, parameter = item.partition(b";")
        name = name.strip().lower()
        match = _WEIGHT.fullmatch(parameter.strip())
        if name == b"x-gzip":
            name = b"gzip"
        if name and (match or not parameter.strip()):
            weights[name] = float(match[1]) if match else 1.0
    return weights

"""Which precompressed sibling is chosen."""

from __future__ import annotations

import pytest

from granian_core.static.codings import choose_coding

ALL = (b"br", b"zstd", b"gzip")


@pytest.mark.parametrize(
    ("field", "available", "coding"),
    [
        (b"", ALL, b""),
        (b"gzip", ALL, b"gzip"),
        (b"gzip, deflate, br, zstd", ALL, b"br"),
        (b"gzip, zstd", ALL, b"zstd"),
        (b"gzip, br", (b"gzip",), b"gzip"),
        (b"br", (b"gzip",), b""),
        (b"br;q=0.5, gzip", ALL, b"gzip"),
        (b"br;q=0, gzip;q=0.1", ALL, b"gzip"),
        (b"BR", ALL, b"br"),
        (b"x-gzip", ALL, b"gzip"),
        (b"*", ALL, b"br"),
        (b"*;q=0.1, br;q=0", ALL, b"zstd"),
        (b"*;q=0", ALL, b""),
        (b"identity", ALL, b""),
        (b"identity;q=1, gzip;q=0.5", ALL, b""),
        (b"identity;q=0.5, gzip;q=1", ALL, b"gzip"),
        (b"gzip;q=1.5", ALL, b""),
        (b"gzip;q=nan", ALL, b""),
        (b"gzip;level=9", ALL, b""),
        (b"gzip ; q=0.8", ALL, b"gzip"),
        (b",,gzip,", ALL, b"gzip"),
        (b"\xff\xfe", ALL, b""),
        (b"gzip", (), b""),
    ],
)
def test_choices(field: bytes, available: tuple[bytes, ...], coding: bytes) -> None:
    assert choose_coding(field, available) == coding

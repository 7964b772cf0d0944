"""Every byte value at every kind of place: which are taken, and which are a 400."""

from __future__ import annotations

import string
from collections.abc import Callable

import pytest

from tests.core.http1.engines import ENGINES, bytewise, drive

TOKEN = set(b"!#$%&'*+-.^_`|~" + (string.ascii_letters + string.digits).encode())
TEXT = {0x09, *range(0x20, 0x7F), *range(0x80, 0x100)}
"""RFC 9110 5.5: HTAB, SP, VCHAR and obs-text."""
VISIBLE = set(range(0x21, 0x7F))

HOST = b"\r\nHost: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

# What is taken at each place: a template around the byte, and the allowed bytes.
PLACES: dict[str, tuple[Callable[[bytes], bytes], set[int]]] = {
    "method": (lambda b: b"A" + b + b"A / HTTP/1.1" + HOST + b"\r\n", TOKEN),
    "target": (lambda b: b"GET /a" + b + b"a HTTP/1.1" + HOST + b"\r\n", VISIBLE - {0x23}),
    "query": (lambda b: b"GET /?a" + b + b"a HTTP/1.1" + HOST + b"\r\n", VISIBLE - {0x23}),
    "after-method": (lambda b: b"GET" + b + b"/ HTTP/1.1" + HOST + b"\r\n", {0x20}),
    "after-target": (lambda b: b"GET /" + b + b"HTTP/1.1" + HOST + b"\r\n", {0x20}),
    "minor": (lambda b: b"GET / HTTP/1." + b + HOST + b"\r\n", set(b"0123456789")),
    "after-version": (lambda b: b"GET / HTTP/1.1" + b + HOST + b"\r\n", set()),
    "name": (lambda b: b"GET / HTTP/1.1" + HOST + b"X" + b + b"X: y\r\n\r\n", TOKEN | {0x3A}),
    "name-start": (lambda b: b"GET / HTTP/1.1" + HOST + b + b"X: y\r\n\r\n", TOKEN),
    "name-end": (lambda b: b"GET / HTTP/1.1" + HOST + b"X" + b + b": y\r\n\r\n", TOKEN | {0x3A}),
    "after-colon": (lambda b: b"GET / HTTP/1.1" + HOST + b"X:" + b + b"y\r\n\r\n", TEXT),
    "value": (lambda b: b"GET / HTTP/1.1" + HOST + b"X: a" + b + b"a\r\n\r\n", TEXT),
    "value-end": (lambda b: b"GET / HTTP/1.1" + HOST + b"X: a" + b + b"\r\n\r\n", TEXT),
    "length": (
        lambda b: b"PUT / HTTP/1.1" + HOST + b"Content-Length: " + b + b"1\r\n\r\n" + b"x" * 91,
        set(b"0123456789 \t"),
    ),
    "length-end": (
        lambda b: b"PUT / HTTP/1.1" + HOST + b"Content-Length: 1" + b + b"\r\n\r\n" + b"x" * 19,
        set(b"0123456789 \t"),
    ),
    "chunk-size": (lambda b: CHUNKED + b"0" + b + b"\r\n", set(string.hexdigits.encode())),
    "chunk-extension": (lambda b: CHUNKED + b"0;a" + b + b"a\r\n", TOKEN | {0x3B, 0x3D}),
    "chunk-quoted": (
        lambda b: CHUNKED + b'0;a="a' + b + b'a"\r\n', TEXT - {0x22},
    ),
    "chunk-end": (lambda b: CHUNKED + b"1\r\nx" + b + b"\n", {0x0D}),
    "trailer-name": (lambda b: CHUNKED + b"0\r\nX" + b + b"X: y\r\n\r\n", TOKEN | {0x3A}),
    "trailer-value": (lambda b: CHUNKED + b"0\r\nX: a" + b + b"a\r\n\r\n", TEXT),
}  # fmt: skip

engines = pytest.mark.parametrize("engine", ENGINES)


@engines
@pytest.mark.parametrize("place", PLACES)
def test_byte_is_taken_or_refused(engine: str, place: str) -> None:
    template, allowed = PLACES[place]
    for value in range(256):
        wire = template(bytes([value]))
        calls = drive(ENGINES[engine], [wire])
        refused = ("error", 400) in calls
        assert refused == (value not in allowed), (bytes([value]), calls)
        assert drive(ENGINES[engine], bytewise(wire)) == calls, bytes([value])


@engines
@pytest.mark.parametrize("start", [b"GET / HTTP/1.1" + HOST + b"X: y\r\n"])
def test_only_whitespace_is_stripped_from_values(engine: str, start: bytes) -> None:
    for value in TEXT:
        byte = bytes([value])
        calls = drive(ENGINES[engine], [start + b"Z:" + byte + b"a" + byte + b"\r\n\r\n"])
        headers = calls[0][4]
        assert isinstance(headers, list)
        expected = b"a" if byte in b" \t" else byte + b"a" + byte
        assert headers[-1] == (b"z", expected)

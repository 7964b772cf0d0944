"""Field compression (RFC 9113 4.3, RFC 7541)."""

from __future__ import annotations

from tests.conformance.http2.model import Case, case
from tests.conformance.http2.wire import (
    COMPRESSION_ERROR,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    PROTOCOL_ERROR,
    block,
    frame,
    get,
    integer,
    pseudo,
)

BAD = {"goaway": COMPRESSION_ERROR}
GET = block(pseudo())
# Static table: :method GET, :scheme http, :path /; then a literal :authority, indexed.
INDEXED = b"\x82\x86\x84\x41\x0bexample.org"
# RFC 7541 C.4.1, with Huffman.
HUFFMAN = bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")


def request(payload: bytes, stream: int = 1) -> bytes:
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, payload)


CASES: list[Case] = [
    case("static-table", "RFC 7541 6.1", request(INDEXED), answers={1: 200}),
    case("dynamic-table", "RFC 7541 6.1", request(INDEXED) + request(b"\x82\x86\x84\xbe", 3),
         answers={1: 200, 3: 200}, seen={"authority": b"example.org"}),
    case("huffman", "RFC 7541 C.4.1", request(HUFFMAN), answers={1: 200},
         seen={"authority": b"www.example.com"}),
    case("never-indexed", "RFC 7541 6.2.3", request(INDEXED + b"\x10\x01a\x01b"), answers={1: 200},
         seen={"headers": [(b"a", b"b")]}),
    case("size-update-first", "RFC 7541 4.2", request(b"\x20" + INDEXED), answers={1: 200}),
    case("size-updates-two", "RFC 7541 4.2", request(b"\x20\x3f\xe1\x1f" + INDEXED),
         answers={1: 200}),
    case("size-updates-three", "RFC 7541 4.2", request(b"\x20\x20\x20" + INDEXED), **BAD),
    case("size-update-in-the-middle", "RFC 7541 4.2", request(INDEXED + b"\x20"), **BAD),
    case("size-update-too-large", "RFC 7541 6.3", request(b"\x3f\xe2\x1f" + INDEXED), **BAD),
    case("index-0", "RFC 7541 6.1", request(INDEXED + b"\x80"), **BAD),
    case("index-out-of-range", "RFC 7541 2.3.3", request(INDEXED + b"\xff\x00"), **BAD),
    case("index-after-eviction", "RFC 7541 4.3",
         request(INDEXED),
        request(b"\x20\x82\x86\x84\xbe", 3), answers={1: 200}, **BAD, calls=1),
    case("name-index-out-of-range", "RFC 7541 6.2.1", request(INDEXED + b"\x7f\x40\x01a"), **BAD),
    case("integer-truncated", "RFC 7541 5.1", request(INDEXED + b"\xff"), **BAD),
    case("integer-endless", "RFC 7541 5.1", request(INDEXED + b"\xff" + b"\x80" * 200), **BAD),
    case("integer-huge", "RFC 7541 5.1",
         request(INDEXED + integer(2**62, 7, 0x80)), **BAD),
    case("literal-truncated", "RFC 7541 6.2.1", request(INDEXED + b"\x40\x05ab"), **BAD),
    case("literal-without-value", "RFC 7541 6.2.1", request(INDEXED + b"\x40\x01a"), **BAD),
    case("value-length-huge", "RFC 7541 5.2",
         request(INDEXED + b"\x00\x01a" + integer(2**31, 7) + b"b"), **BAD),
    case("huffman-with-eos", "RFC 7541 5.2",
         request(INDEXED + b"\x00\x01a\x84\xff\xff\xff\xff"), **BAD),
    case("huffman-padding-of-8", "RFC 7541 5.2", request(INDEXED + b"\x00\x01a\x82\x1f\xff"),
         **BAD),
    case("huffman-padding-not-ones", "RFC 7541 5.2", request(INDEXED + b"\x00\x01a\x81\x18"),
         **BAD),
    case("state-kept-over-a-refused-stream", "4.3",
         # The malformed request adds to the table all the same.
         request(INDEXED + b"\x00\x01A\x01b") + request(b"\x82\x86\x84\xbe", 3),
         resets={1: PROTOCOL_ERROR}, answers={3: 200}),
    case("state-kept-over-trailers-on-a-reset-stream", "4.3",
         frame(HEADERS, END_HEADERS, 1, b"\x83\x86\x84\x41\x01a") + b"\0\0\4\3\0\0\0\0\1\0\0\0\10"
         + request(b"\x40\x02x1\x01y", 1) + request(INDEXED[:3] + b"\xbf\xbe", 3),
         resets={1: 5}, answers={3: 200}, calls=2, seen={"headers": [(b"x1", b"y")]}),
    case("bomb-of-references", "10.5.1",
         # One field of 4 KB in the table, named twenty times.
         request(INDEXED + b"\x40\x01x" + integer(4000, 7) + b"y" * 4000 + b"\xbe" * 20),
         goaway=ENHANCE_YOUR_CALM),
    case("bomb-of-tiny-fields", "10.5.1", request(INDEXED + b"\x00\x01a\x00" * 1000),
         goaway=ENHANCE_YOUR_CALM),
    case("plain-after-huffman", "RFC 7541 5.2", request(HUFFMAN) + get(3),
         answers={1: 200, 3: 200}),
    case("literals-only", "RFC 7541 6.2.2", request(GET), answers={1: 200}),
]  # fmt: skip

"""RFC 7541 appendix C, to the byte."""

from __future__ import annotations

import pytest

from granian_core.http2.hpack import NeverIndexed
from granian_core.http2.hpack.encoder import (
    NEVER_INDEXED,
    WITH_INDEXING,
    WITHOUT_INDEXING,
    encode_literal,
    encode_string,
)
from granian_core.http2.hpack.huffman import encode_huffman
from granian_core.http2.hpack.integers import decode_integer, encode_integer
from granian_core.http2.hpack.tables import STATIC_TABLE
from tests.core.http2.hpack.blocks import Field, decoder

_DATE = b"Mon, 21 Oct 2013 20:13:21 GMT"
_DATE_2 = b"Mon, 21 Oct 2013 20:13:22 GMT"
_COOKIE = b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
_PATH, _HTTP, _GET = (b":path", b"/"), (b":scheme", b"http"), (b":method", b"GET")
_AUTHORITY = (b":authority", b"www.example.com")
_CACHE = (b"cache-control", b"no-cache")
_PRIVATE, _LOCATION = (b"cache-control", b"private"), (b"location", b"https://www.example.com")
_302, _307, _200 = (b":status", b"302"), (b":status", b"307"), (b":status", b"200")

REQUESTS: list[list[Field]] = [
    [_GET, _HTTP, _PATH, _AUTHORITY],
    [_GET, _HTTP, _PATH, _AUTHORITY, _CACHE],
    [_GET, (b":scheme", b"https"), (b":path", b"/index.html"), _AUTHORITY,
     (b"custom-key", b"custom-value")],
]  # fmt: skip
RESPONSES: list[list[Field]] = [
    [_302, _PRIVATE, (b"date", _DATE), _LOCATION],
    [_307, _PRIVATE, (b"date", _DATE), _LOCATION],
    [_200, _PRIVATE, (b"date", _DATE_2), _LOCATION, (b"content-encoding", b"gzip"),
     (b"set-cookie", _COOKIE)],
]  # fmt: skip

C3 = (
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
)
C4 = (
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
)
C5 = (
    "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
    "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
    "4803333037c1c0bf",
    "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738"
    "666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d33363030"
    "3b2076657273696f6e3d31",
)
C6 = (
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff"
    "6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335df"
    "dfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
)

SERIES = [
    pytest.param(C3, REQUESTS, 4096, False, (57, 110, 164), id="C.3"),
    pytest.param(C4, REQUESTS, 4096, True, (57, 110, 164), id="C.4"),
    pytest.param(C5, RESPONSES, 256, False, (222, 222, 215), id="C.5"),
    pytest.param(C6, RESPONSES, 256, True, (222, 222, 215), id="C.6"),
]


@pytest.mark.parametrize(
    ("value", "mask", "octets"),
    [(10, 0x1F, "0a"), (1337, 0x1F, "1f9a0a"), (42, 0xFF, "2a")],
    ids=["C.1.1", "C.1.2", "C.1.3"],
)
def test_integers(value: int, mask: int, octets: str) -> None:
    wire = bytes.fromhex(octets)
    assert encode_integer(value, mask, 0) == wire
    assert decode_integer(wire, 0, mask) == (value, len(wire))


@pytest.mark.parametrize(
    ("field", "pattern", "octets", "used"),
    [
        ((b"custom-key", b"custom-header"), WITH_INDEXING,
         "400a637573746f6d2d6b65790d637573746f6d2d686561646572", 55),
        ((b":path", b"/sample/path"), WITHOUT_INDEXING, "040c2f73616d706c652f70617468", 0),
        ((b"password", b"secret"), NEVER_INDEXED, "100870617373776f726406736563726574", 0),
    ],
    ids=["C.2.1", "C.2.2", "C.2.3"],
)  # fmt: skip
def test_literals(field: Field, pattern: int, octets: str, used: int) -> None:
    wire = bytes.fromhex(octets)
    assert encode_literal(field, pattern) == wire
    made = decoder()
    assert made.decode(wire) == [field]
    assert made._used == used


def test_a_never_indexed_field_says_so_and_is_remembered_nowhere() -> None:
    made = decoder()
    wire = bytes.fromhex("100870617373776f726406736563726574")
    for _ in range(2):
        fields = made.decode(wire)
        assert fields is not None
        assert [type(field) for field in fields] == [NeverIndexed]
    assert not made._remembered
    assert made._used == 0


def test_indexed_field() -> None:
    made = decoder()
    assert made.decode(b"\x82") == [(b":method", b"GET")]  # C.2.4
    assert made._used == 0


@pytest.mark.parametrize(("blocks", "sections", "size", "huffman", "used"), SERIES)
def test_series_decodes(
    blocks: tuple[str, ...],
    sections: list[list[Field]],
    size: int,
    huffman: bool,
    used: tuple[int, ...],
) -> None:
    made = decoder(table_size=size)
    for block, section, expected in zip(blocks, sections, used, strict=True):
        assert made.decode(bytes.fromhex(block)) == section
        assert made._used == expected


@pytest.mark.parametrize(("blocks", "sections", "size", "huffman", "used"), SERIES)
def test_series_is_made_of_our_representations(
    blocks: tuple[str, ...],
    sections: list[list[Field]],
    size: int,
    huffman: bool,
    used: tuple[int, ...],
) -> None:
    """The examples insert every field at once, which our encoder does not: it picks."""
    table: list[Field] = []
    for block, section in zip(blocks, sections, strict=True):
        wire = b""
        for field in section:
            entries = [*STATIC_TABLE, *table]
            if field in entries:
                wire += encode_integer(entries.index(field) + 1, 0x7F, 0x80)
                continue
            wire += _example_literal(field, entries, huffman=huffman)
            table.insert(0, field)
            while sum(len(name) + len(value) + 32 for name, value in table) > size:
                table.pop()
        assert wire.hex() == block


def _example_literal(field: Field, entries: list[Field], *, huffman: bool) -> bytes:
    names = [name for name, _ in entries]
    index = names.index(field[0]) + 1 if field[0] in names else 0
    head = encode_integer(index, 0x3F, WITH_INDEXING)
    if not index:
        head += _example_string(field[0], huffman=huffman)
    return head + _example_string(field[1], huffman=huffman)


def _example_string(data: bytes, *, huffman: bool) -> bytes:
    """The examples compress what does not get shorter, too; our encoder does not."""
    if not huffman:
        return encode_string(data, huffman=False)
    code = encode_huffman(data)
    return encode_integer(len(code), 0x7F, 0x80) + code

"""Byte ranges: what is asked for, what is merged, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granian_core.static.ranges import MAX_RANGES, Span, multipart, parse_range

SIZE = 10_000


@pytest.mark.parametrize(
    ("field", "spans"),
    [
        (b"bytes=0-0", [(0, 1)]),
        (b"bytes=0-499", [(0, 500)]),
        (b"bytes=9500-", [(9500, 10_000)]),
        (b"bytes=-500", [(9500, 10_000)]),
        (b"bytes=0-", [(0, 10_000)]),
        (b"bytes=-99999", [(0, 10_000)]),
        (b"bytes=9999-99999", [(9999, 10_000)]),
        (b"Bytes = 1-2", [(1, 3)]),
        (b"bytes= 1-2 , 500-600 ", [(1, 3), (500, 601)]),
        (b"bytes=500-600,1-2", [(500, 601), (1, 3)]),
        (b"bytes=,1-2,", [(1, 3)]),
        # Overlapping, adjacent and close ones become one.
        (b"bytes=0-100,50-150", [(0, 151)]),
        (b"bytes=0-100,101-150", [(0, 151)]),
        (b"bytes=0-100,110-150", [(0, 151)]),
        (b"bytes=500-,0-100,-200", [(0, 101), (500, 10_000)]),
        (b"bytes=0-0,20000-20001", [(0, 1)]),
        (b"bytes=10000-", []),
        (b"bytes=-0", []),
        (b"bytes=20000-30000,40000-", []),
        (b"bytes=9-8", None),
        (b"bytes=a-b", None),
        (b"bytes=1", None),
        (b"bytes=", None),
        (b"bytes=,", None),
        (b"bytes", None),
        (b"items=0-1", None),
        (b"bytes=-", None),
        (b"bytes=--1", None),
        (b"bytes=+1-2", None),
        (b"bytes=0x1-2", None),
        (b"bytes=0-1;2-3", None),
        (b"bytes=99999999999999999999-", None),
        (b"bytes=\xd9\xa1-\xd9\xa2", None),
    ],
)
def test_fields(field: bytes, spans: list[tuple[int, int]] | None) -> None:
    assert parse_range(field, SIZE) == spans


def test_an_empty_file_has_no_range() -> None:
    assert parse_range(b"bytes=0-", 0) == []
    assert parse_range(b"bytes=-1", 0) == []


def test_too_many_ranges_are_ignored() -> None:
    some = [b"%d-%d" % (200 * index, 200 * index) for index in range(MAX_RANGES)]

    spans = parse_range(b"bytes=" + b",".join(some), SIZE)

    assert spans is not None
    assert len(spans) == MAX_RANGES
    assert parse_range(b"bytes=" + b",".join([*some, b"1-1"]), SIZE) is None
    assert parse_range(b"bytes=" + b"0-," * 50_000, SIZE) is None


@given(st.binary(max_size=60), st.integers(0, 100))
def test_no_field_asks_for_bytes_that_are_not_there(text: bytes, size: int) -> None:
    for span in parse_range(b"bytes=" + text, size) or []:
        assert 0 <= span.start < span.end <= size


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), min_size=1, max_size=20))
def test_merging_keeps_every_byte_and_sends_none_twice(pairs: list[tuple[int, int]]) -> None:
    pairs = [(min(pair), max(pair)) for pair in pairs]
    spans = parse_range(b"bytes=" + b",".join(b"%d-%d" % pair for pair in pairs), 2000)

    assert spans is not None
    sent = [byte for span in spans for byte in range(span.start, span.end)]
    assert len(sent) == len(set(sent))
    assert {byte for low, high in pairs for byte in range(low, min(high + 1, 2000))} <= set(sent)


def test_the_length_of_a_multipart_body_is_its_length() -> None:
    content = bytes(range(100))
    pieces, length = multipart([Span(0, 5), Span(90, 100)], 100, b"text/x", b"XX")

    body = b"".join(
        content[piece.start : piece.end] if isinstance(piece, Span) else piece for piece in pieces
    )

    assert length == len(body)
    assert body == (
        b"--XX\r\nContent-Type: text/x\r\nContent-Range: bytes 0-4/100\r\n\r\n"
        + content[:5]
        + b"\r\n--XX\r\nContent-Type: text/x\r\nContent-Range: bytes 90-99/100\r\n\r\n"
        + content[90:]
        + b"\r\n--XX--\r\n"
    )

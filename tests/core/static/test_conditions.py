"""Preconditions: If-Match, If-None-Match, the dates, and If-Range."""

from __future__ import annotations

import pytest

from granian_core.static.conditions import evaluate, matches, parse_date, range_applies

MODIFIED = 784_111_777
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER = b"Sun, 06 Nov 1994 08:49:36 GMT"
LATER = b"Sun, 06 Nov 1994 08:49:38 GMT"
ETAG = b'"abc"'


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (DATE, MODIFIED),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", MODIFIED),
        (b"Sun Nov  6 08:49:37 1994", MODIFIED),
        (b"", None),
        (b"yesterday", None),
        (b"784111777", None),
        (b"Sun, 06 Nov 1994 08:49:37 +0100", None),
        (b"Sun, 99 Nov 1994 08:49:37 GMT", None),
        (b"Sun, 06 Nov 1994 \xff GMT", None),
    ],
)
def test_dates_in_their_three_forms(value: bytes, seconds: int | None) -> None:
    assert parse_date(value) == seconds


@pytest.mark.parametrize(
    ("field", "weak", "found"),
    [
        (b'"abc"', False, True),
        (b'W/"abc"', False, False),
        (b'W/"abc"', True, True),
        (b'"x", "abc"', False, True),
        (b'"x" ,W/"abc"', True, True),
        (b',,"abc",', False, True),
        (b"*", False, True),
        (b" * ", True, True),
        (b'"abcd"', True, False),
        (b"abc", True, False),
        (b'"abc" "x"', True, False),
        (b'"a,b", "abc"', True, True),
        (b'"x"; "abc"', True, False),
        (b"", True, False),
        (b'"' * 5000, True, False),
    ],
)
def test_entity_tags_in_lists(field: bytes, weak: bool, found: bool) -> None:
    assert matches(field, ETAG, weak=weak) is found


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 200),
        ({b"if-none-match": ETAG}, 304),
        ({b"if-none-match": b'W/"abc"'}, 304),
        ({b"if-none-match": b"*"}, 304),
        ({b"if-none-match": b'"x"'}, 200),
        ({b"if-modified-since": DATE}, 304),
        ({b"if-modified-since": LATER}, 304),
        ({b"if-modified-since": EARLIER}, 200),
        ({b"if-modified-since": b"nonsense"}, 200),
        # If-None-Match counts, If-Modified-Since does not.
        ({b"if-none-match": b'"x"', b"if-modified-since": LATER}, 200),
        ({b"if-none-match": ETAG, b"if-modified-since": EARLIER}, 304),
        ({b"if-match": ETAG}, 200),
        ({b"if-match": b"*"}, 200),
        ({b"if-match": b'"x"'}, 412),
        ({b"if-match": b'W/"abc"'}, 412),
        ({b"if-unmodified-since": DATE}, 200),
        ({b"if-unmodified-since": LATER}, 200),
        ({b"if-unmodified-since": EARLIER}, 412),
        ({b"if-unmodified-since": b"nonsense"}, 200),
        # If-Match counts, If-Unmodified-Since does not.
        ({b"if-match": ETAG, b"if-unmodified-since": EARLIER}, 200),
        ({b"if-match": ETAG, b"if-none-match": ETAG}, 304),
        ({b"if-match": b'"x"', b"if-none-match": ETAG}, 412),
    ],
)
def test_preconditions_in_their_order(fields: dict[bytes, bytes], status: int) -> None:
    assert evaluate(fields, ETAG, MODIFIED) == status


@pytest.mark.parametrize(
    ("value", "applies"),
    [
        (None, True),
        (ETAG, True),
        (b'"x"', False),
        (b'W/"abc"', False),
        (DATE, True),
        (EARLIER, False),
        (LATER, False),
        (b"nonsense", False),
        (b"", False),
    ],
)
def test_if_range(value: bytes | None, applies: bool) -> None:
    fields = {} if value is None else {b"if-range": value}

    assert range_applies(fields, ETAG, MODIFIED) is applies

"""Preconditions of a request for a file (RFC 9110 13). Pure functions."""

from __future__ import annotations

import re
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PROCEED: Final = 200
NOT_MODIFIED: Final = 304
FAILED: Final = 412

_ETAG: Final = re.compile(rb'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_LIST: Final = re.compile(rb'[ \t]*(?:(?:W/)?"[\x21\x23-\x7e\x80-\xff]*")?[ \t]*(?:,|$)')


def parse_date(value: bytes) -> int | None:
    """Return an HTTP date as seconds since the epoch; None if it is no valid date."""
    if not value.endswith(b"GMT") and not re.search(rb"\d \d{4}$", value):
        return None  # of the three forms only that of asctime() has no zone
    try:
        when = parsedate_to_datetime(value.decode("ascii"))
        if when.tzinfo is None:
            when = when.replace(tzinfo=timezone.utc)
        return int(when.timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def matches(field: bytes, etag: bytes, *, weak: bool) -> bool:
    """Whether an If-Match or If-None-Match field names *etag*, which is a strong one.

    Args:
        field: ``*`` or a list of entity tags; a malformed list matches nothing.
        etag: With its quotes.
        weak: Whether the comparison is the weak one (RFC 9110 8.8.3.2).
    """
    if field.strip() == b"*":
        return True
    at = 0
    found = False
    while at < len(field):
        item = _LIST.match(field, at)
        if item is None:
            return False
        at = item.end()
        tag = _ETAG.search(item[0])
        if tag is not None and b'"%b"' % tag[2] == etag and (weak or not tag[1]):
            found = True
    return found


def evaluate(fields: Mapping[bytes, bytes], etag: bytes, modified: int) -> int:
    """Return `PROCEED`, `NOT_MODIFIED` or `FAILED`, in the order of RFC 9110 13.2.2.

    Args:
        fields: The conditional fields of a GET or HEAD by name; repeated ones joined.
        etag: Of the selected representation, a strong one.
        modified: Its Last-Modified, in seconds since the epoch.
    """
    value = fields.get(b"if-match")
    if value is not None:
        if not matches(value, etag, weak=False):
            return FAILED
    else:
        value = fields.get(b"if-unmodified-since")
        if value is not None and (date := parse_date(value)) is not None and modified > date:
            return FAILED
    value = fields.get(b"if-none-match")
    if value is not None:
        return NOT_MODIFIED if matches(value, etag, weak=True) else PROCEED
    value = fields.get(b"if-modified-since")
    if value is not None and (date := parse_date(value)) is not None and modified <= date:
        return NOT_MODIFIED
    return PROCEED


def range_applies(fields: Mapping[bytes, bytes], etag: bytes, modified: int) -> bool:
    """Whether If-Range lets a Range count (RFC 9110 13.1.5); true if there is none."""
    value = fields.get(b"if-range")
    if value is None:
        return True
    value = value.strip()
    if value.startswith((b'"', b"W/")):
        return value == etag
    return parse_date(value) == modified

"""Fields to field blocks (RFC 7541), for responses.

A field enters the dynamic table when it is sent for the second time on a connection: values
that never come again (identifiers, dates at low rates) then evict nothing. Those that differ
from one response to the next by their nature, or that are secret, never enter it.

A block in which nothing was inserted is good until the table changes, so whole blocks are
remembered by their fields. A server's responses on one connection are mostly a few heads.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from granian_core.http2.hpack.huffman import encode_huffman
from granian_core.http2.hpack.integers import encode_integer
from granian_core.http2.hpack.tables import (
    DEFAULT_TABLE_SIZE,
    ENTRY_OVERHEAD,
    STATIC_TABLE,
    Field,
    NeverIndexed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_REMEMBERED: Final = 16
"""Blocks of one connection that are remembered."""
MAX_REMEMBERED_SIZE: Final = 512
"""Bytes of the largest of them."""
MAX_SEEN: Final = 64
"""Fields of one connection that are remembered as sent once."""
MAX_INDEXED_SHARE: Final = 4
"""A field larger than this part of the table does not enter it."""

SENSITIVE: Final = frozenset(
    (b"authorization", b"cookie", b"proxy-authorization", b"set-cookie", b"www-authenticate")
)
"""Fields that are sent as never indexed (RFC 7541 7.1.3)."""
VARYING: Final = frozenset(
    (
        b":path",
        b"age",
        b"content-length",
        b"content-range",
        b"etag",
        b"if-modified-since",
        b"if-none-match",
        b"last-modified",
        b"location",
    )
)
"""Fields whose value is another in most responses: literals without indexing."""

_FIRST_DYNAMIC: Final = len(STATIC_TABLE) + 1
_INDEXED: Final = tuple(encode_integer(index, 0x7F, 0x80) for index in range(256))
_STATIC_FIELDS: Final = {
    field: _INDEXED[index] for index, field in reversed(list(enumerate(STATIC_TABLE, 1)))
}
_STATIC_NAMES: Final = {
    field[0]: index for index, field in reversed(list(enumerate(STATIC_TABLE, 1)))
}

WITH_INDEXING: Final = 0x40
"""The pattern of a literal that enters the table (RFC 7541 6.2.1)."""
WITHOUT_INDEXING: Final = 0x00
"""The pattern of a literal that does not (RFC 7541 6.2.2)."""
NEVER_INDEXED: Final = 0x10
"""The pattern of a literal that never may (RFC 7541 6.2.3)."""


class Encoder:
    """Encodes the field sections of one connection, in their order.

    Its dynamic table holds at most `DEFAULT_TABLE_SIZE` bytes, whatever the peer offers.
    """

    __slots__ = (
        "_announced",
        "_entries",
        "_inserted",
        "_numbers",
        "_remembered",
        "_seen",
        "_settled",
        "_smallest",
        "_table_size",
        "_used",
    )

    def __init__(self) -> None:
        self._table_size = DEFAULT_TABLE_SIZE
        # What the peer takes our table for, and the smallest size since we last said so.
        self._announced = DEFAULT_TABLE_SIZE
        self._smallest = DEFAULT_TABLE_SIZE
        self._used = 0
        self._inserted = 0
        # Oldest first; an entry's index follows from how many came after it.
        self._entries: deque[tuple[Field, int]] = deque()
        self._numbers: dict[Field, int] = {}
        self._seen: set[int] = set()
        # Whether the block at hand would be the same the next time.
        self._settled = True
        self._remembered: dict[tuple[Field, ...], bytes] = {}

    def set_max_table_size(self, size: int) -> None:
        """Take the peer's SETTINGS_HEADER_TABLE_SIZE; the next block says what we use of it."""
        self._table_size = min(size, DEFAULT_TABLE_SIZE)
        self._smallest = min(self._smallest, self._table_size)
        self._evict(0)
        self._remembered.clear()

    def encode(self, fields: Sequence[Field]) -> bytes:
        """Encode a field section.

        Args:
            fields: Names lower-case, pseudo-header fields first. Fields are remembered, so
                they are tuples of bytes.
        """
        # Any: as in `Decoder._take_field`, a `NeverIndexed` has to stay one.
        key: tuple[Any, ...] = tuple(fields)
        block = self._remembered.get(key)
        if block is not None:
            return block
        self._settled = self._announced == self._table_size == self._smallest
        parts = [] if self._settled else self._take_updates()
        for field in key:
            if field[0] in SENSITIVE or type(field) is NeverIndexed:
                parts.append(encode_literal(field, NEVER_INDEXED))
                self._settled = False
                continue
            part = _STATIC_FIELDS.get(field)
            if part is None:
                number = self._numbers.get(field)
                if number is None:
                    part = self._encode_new(field)
                else:
                    part = _INDEXED[_FIRST_DYNAMIC + self._inserted - number]
            parts.append(part)
        block = b"".join(parts)
        if self._settled and len(block) <= MAX_REMEMBERED_SIZE:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = block
        return block

    def _take_updates(self) -> list[bytes]:
        """Return the table size updates that are due (RFC 7541 4.2)."""
        sizes = [self._table_size]
        if self._smallest < self._table_size:
            sizes.insert(0, self._smallest)
        self._announced = self._smallest = self._table_size
        return [encode_integer(size, 0x1F, 0x20) for size in sizes]

    def _encode_new(self, field: Field) -> bytes:
        """Encode a field that is in no table, and insert it if it has been sent before."""
        name, value = field
        size = len(name) + len(value) + ENTRY_OVERHEAD
        if name in VARYING or size * MAX_INDEXED_SHARE > self._table_size:
            return encode_literal(field, WITHOUT_INDEXING)
        # Hashes suffice: taking one field for another costs an entry, nothing else.
        self._settled = False
        mark = hash(field)
        if mark not in self._seen:
            if len(self._seen) >= MAX_SEEN:
                self._seen.clear()
            self._seen.add(mark)
            return encode_literal(field, WITHOUT_INDEXING)
        self._seen.discard(mark)
        self._insert(field, size)
        return encode_literal(field, WITH_INDEXING, huffman=True)

    def _insert(self, field: Field, size: int) -> None:
        self._evict(size)
        self._inserted += 1
        self._entries.append((field, size))
        self._numbers[field] = self._inserted
        self._used += size
        self._remembered.clear()

    def _evict(self, room: int) -> None:
        """Evict the oldest entries until there is room for one of *room* bytes."""
        while self._used + room > self._table_size and self._entries:
            field, size = self._entries.popleft()
            del self._numbers[field]
            self._used -= size


def encode_literal(field: Field, pattern: int, *, huffman: bool = False) -> bytes:
    """Encode a field as a literal (RFC 7541 6.2), its name by the static table if that has it.

    Args:
        field: Name and value.
        pattern: `WITH_INDEXING`, `WITHOUT_INDEXING` or `NEVER_INDEXED`.
        huffman: Whether to compress what gets shorter by it. That costs some 40 ns an octet,
            so it pays for what is remembered, and not for what is sent once.
    """
    name, value = field
    index = _STATIC_NAMES.get(name, 0)
    head = encode_integer(index, 0x3F if pattern == WITH_INDEXING else 0x0F, pattern)
    if not index:
        head += encode_string(name, huffman=huffman)
    return head + encode_string(value, huffman=huffman)


def encode_string(data: bytes, *, huffman: bool) -> bytes:
    """Encode a string literal (RFC 7541 5.2), with *huffman* if it gets shorter by that."""
    if huffman:
        code = encode_huffman(data)
        if len(code) < len(data):
            return encode_integer(len(code), 0x7F, 0x80) + code
    return encode_integer(len(data), 0x7F, 0x00) + data

"""Field blocks to fields (RFC 7541 3 and 6), bounded while they are decoded.

The static and the dynamic table are one list, in which the newest dynamic entry follows the
static ones, so that an indexed field is one look-up. Inserting moves at most 128 pointers.

A block that leaves the table as it was decodes to the same fields as long as the table stays
so. Clients repeat themselves: such blocks are remembered, few and small, until the table
changes; those with a never-indexed field are not, because that asks for it to be kept nowhere.
"""

from __future__ import annotations

from typing import Any, Final

from granian_core.http2.hpack.errors import FieldSectionBombError, HPACKError
from granian_core.http2.hpack.huffman import decode_huffman
from granian_core.http2.hpack.integers import decode_integer
from granian_core.http2.hpack.tables import (
    DEFAULT_TABLE_SIZE,
    ENTRY_OVERHEAD,
    STATIC_TABLE,
    Field,
    NeverIndexed,
)

MAX_UPDATES: Final = 2
"""Table size updates of one block: the smallest size since the last, and the one to stay."""
BOMB_FACTOR: Final = 16
"""A block this many times over the limit of bytes is not decoded to its end."""
MAX_REMEMBERED: Final = 16
"""Blocks of one connection whose fields are remembered."""
MAX_REMEMBERED_SIZE: Final = 512
"""Bytes of the largest of them."""

_RUN: Final = 16
"""Indexed fields that are taken together before limits are looked at."""
_FIRST_DYNAMIC: Final = len(STATIC_TABLE) + 1
_FIELDS: Final[tuple[Field, ...]] = ((b"", b""), *STATIC_TABLE)
_SIZES: Final = tuple(len(name) + len(value) + ENTRY_OVERHEAD for name, value in _FIELDS)


class Decoder:
    """Decodes the field blocks of one connection, in their order.

    Args:
        max_list_bytes: Most that a field section may count, as RFC 9113 6.5.2 counts it.
        max_fields: Most fields beside cookies in it, pseudo-header fields included.
        max_cookies: Most ``cookie`` fields in it.
        table_size: Largest dynamic table that the peer may use, in bytes.

    Attributes:
        generation: Grows when the dynamic table changes: a block of bytes decodes to the same
            fields as before while it stays.
    """

    __slots__ = (
        "_cacheable",
        "_fields",
        "_max_cookies",
        "_max_fields",
        "_max_list_bytes",
        "_max_table_size",
        "_remembered",
        "_sizes",
        "_table_size",
        "_used",
        "generation",
    )

    def __init__(
        self,
        *,
        max_list_bytes: int,
        max_fields: int,
        max_cookies: int = 256,
        table_size: int = DEFAULT_TABLE_SIZE,
    ) -> None:
        self.generation = 0
        self._max_list_bytes = max_list_bytes
        self._max_fields = max_fields
        self._max_cookies = max_cookies
        self._max_table_size = table_size
        self._table_size = table_size
        self._used = 0
        # Whether the block at hand may be remembered.
        self._cacheable = True
        self._fields: list[Field] = list(_FIELDS)
        self._sizes: list[int] = list(_SIZES)
        self._remembered: dict[bytes, list[Field]] = {}

    @property
    def max_table_size(self) -> int:
        """Our SETTINGS_HEADER_TABLE_SIZE, to be set once the peer has acknowledged it.

        When it is below what the peer uses, its next block must say that it uses less.
        """
        return self._max_table_size

    @max_table_size.setter
    def max_table_size(self, size: int) -> None:
        self._max_table_size = size
        self._changed()

    def decode(self, block: bytes) -> list[Field] | None:
        """Decode a field block.

        Args:
            block: Whole; the caller bounds its length.

        Returns:
            The fields in wire order, the list not to be changed; or None if they are over a
            limit. None leaves the connection usable: the dynamic table is in step.

        Raises:
            FieldSectionBombError: They are so far over the limit that decoding stopped.
            HPACKError: The block is invalid. The decoder cannot be used any more.
        """
        remembered = self._remembered.get(block)
        if remembered is not None:
            return remembered
        generation = self.generation
        self._cacheable = len(block) <= MAX_REMEMBERED_SIZE
        fields = self._take_fields(block, self._take_updates(block))
        if self._cacheable and fields is not None and generation == self.generation:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[block] = fields
        return fields

    def _take_updates(self, block: bytes) -> int:
        """Take the table size updates, which come first; return where fields start."""
        position = updates = 0
        while position < len(block) and block[position] & 0xE0 == 0x20:
            size, position = decode_integer(block, position, 0x1F)
            updates += 1
            if size > self._max_table_size:
                raise HPACKError("table size update above the limit")
            if updates > MAX_UPDATES:
                raise HPACKError("too many table size updates")
            self._table_size = size
            self._evict(0)
            self._changed()
        if self._table_size > self._max_table_size:
            # RFC 7541 4.2: a change of the setting is acknowledged by the next block.
            raise HPACKError("table size update missing")
        return position

    def _take_fields(self, block: bytes, position: int) -> list[Field] | None:
        """Take the fields; return None if they are over a limit."""
        table = self._fields
        sizes = self._sizes
        limit = self._max_list_bytes
        most = self._max_fields + self._max_cookies
        end = len(block)
        kept: list[Field] = []
        size = 0
        while position < end:
            before = len(kept)
            try:
                for octet in block[position : position + _RUN]:
                    if octet <= 0x80 or octet == 0xFF:
                        break
                    octet -= 0x80  # noqa: PLW2901 - a second name costs as much again
                    kept.append(table[octet])
                    size += sizes[octet]
            except IndexError as exc:
                raise HPACKError("index out of range") from exc
            if len(kept) > before:
                position += len(kept) - before
            else:
                field, position = self._take_field(block, position)
                kept.append(field)
                size += len(field[0]) + len(field[1]) + ENTRY_OVERHEAD
            if size > limit or len(kept) > most:
                # Nothing is kept from here on, while the table still is.
                kept.clear()
                size = max(size, limit + 1)
                if size > limit * BOMB_FACTOR:
                    raise FieldSectionBombError("field section too large")
        if size > limit or self._too_many(kept):
            return None
        return kept

    def _too_many(self, fields: list[Field]) -> bool:
        if len(fields) <= self._max_fields and len(fields) <= self._max_cookies:
            return False
        cookies = sum(field[0] == b"cookie" for field in fields)
        return cookies > self._max_cookies or len(fields) - cookies > self._max_fields

    def _take_field(self, block: bytes, position: int) -> tuple[Any, int]:
        """Take a field that is no index of one octet; return it and where the next starts."""
        # Any: mypyc takes a declared pair apart and makes a new one, which is no `NeverIndexed`.
        octet = block[position]
        if octet >= 0x80:
            index, position = decode_integer(block, position, 0x7F)
            return self._entry(index), position
        if octet & 0xE0 == 0x20:
            raise HPACKError("table size update inside a block")
        index, position = decode_integer(block, position, 0x3F if octet >= 0x40 else 0x0F)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = _take_string(block, position)
        value, position = _take_string(block, position)
        if octet >= 0x40:
            field = (name, value)
            self._insert(field, len(name) + len(value) + ENTRY_OVERHEAD)
            return field, position
        if octet >= 0x10:
            self._cacheable = False
            return NeverIndexed((name, value)), position
        return (name, value), position

    def _entry(self, index: int) -> Field:
        if not 0 < index < len(self._fields):
            raise HPACKError("index out of range")
        return self._fields[index]

    def _insert(self, field: Field, size: int) -> None:
        """Insert an entry (RFC 7541 4.4). One that is larger than the table empties it."""
        self._evict(size)
        if size <= self._table_size:
            self._fields.insert(_FIRST_DYNAMIC, field)
            self._sizes.insert(_FIRST_DYNAMIC, size)
            self._used += size
        self._changed()

    def _evict(self, room: int) -> None:
        """Evict the oldest entries until there is room for one of *room* bytes."""
        limit = self._table_size - room
        while self._used > limit and len(self._fields) > _FIRST_DYNAMIC:
            self._fields.pop()
            self._used -= self._sizes.pop()

    def _changed(self) -> None:
        self.generation += 1
        if self._remembered:
            self._remembered.clear()


def _take_string(block: bytes, position: int) -> tuple[bytes, int]:
    """Take a string literal (RFC 7541 5.2)."""
    if position >= len(block):
        raise HPACKError("truncated field")
    octet = block[position]
    size = octet & 0x7F
    if size < 0x7F:
        position += 1
    else:
        size, position = decode_integer(block, position, 0x7F)
    end = position + size
    if end > len(block):
        raise HPACKError("truncated string")
    if octet >= 0x80:
        return decode_huffman(block[position:end]), end
    return block[position:end], end

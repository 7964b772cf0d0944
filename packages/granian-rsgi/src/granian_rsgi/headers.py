"""Header fields between RSGI (text) and the server (bytes), both ways.

Request fields stay the server's list of byte pairs until the application asks for
one: most applications read few fields, and a mapping that is never read costs one
object. Validation of what goes out (CR, LF, NUL, tokens) is the server's.

Spec: RSGI 1.6, scope.headers; RFC 9110 section 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar, overload

if TYPE_CHECKING:
    from granian_core import Fields

T = TypeVar("T")

HeaderPairs: TypeAlias = Sequence[tuple[str, str]]
"""Response fields as an RSGI application gives them: order and repeats kept."""

_ENCODED_NAMES: dict[str, bytes] = {}
"""Response field names seen so far, as they go on the wire."""
_ENCODED_NAMES_MAX = 1024
"""Entries of that cache; names made up per request must not fill the memory."""


class Headers:
    """Read-only mapping of the request's fields.

    Names are lower-case and looked up in any case; the order is that of the first
    occurrence of each name. A value with bytes outside visible ASCII, space and tab
    has no text: it is left out of `values`, `items` and `get_all`, `get` returns its
    default for it, and subscription an empty string.
    """

    __slots__ = ("_fields", "_first")

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._first: dict[bytes, bytes] | None = None

    def keys(self) -> list[str]:
        """Return the distinct names."""
        return [name.decode("latin-1") for name in dict(self._fields)]

    def values(self) -> list[str]:
        """Return all values, those of repeated names included."""
        return [value for _, value in self.items()]

    def items(self) -> list[tuple[str, str]]:
        """Return a ``(name, value)`` pair for every field, repeats beside each other."""
        return [
            (name.decode("latin-1"), text)
            for name, value in self._grouped()
            if (text := _visible(value)) is not None
        ]

    @overload
    def get(self, key: str) -> str | None: ...

    @overload
    def get(self, key: str, default: T) -> str | T: ...

    def get(self, key: str, default: T | None = None) -> str | T | None:
        """Return the first value of *key*, or *default*."""
        value = (self._first or self._index()).get(_folded(key))
        if value is None:
            return default
        text = _visible(value)
        return default if text is None else text

    def get_all(self, key: str) -> list[str]:
        """Return all values of *key* in their order of arrival."""
        wanted = _folded(key)
        return [
            text
            for name, value in self._fields
            if name == wanted and (text := _visible(value)) is not None
        ]

    def __getitem__(self, key: str) -> str:
        value = (self._first or self._index()).get(_folded(key))
        if value is None:
            raise KeyError(key)
        return _visible(value) or ""

    def __contains__(self, key: object) -> bool:
        return _folded(key) in (self._first or self._index())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._first or self._index())

    def _index(self) -> dict[bytes, bytes]:
        # Backwards, so that the first of repeated names stays.
        self._first = first = dict(reversed(self._fields))
        return first

    def _grouped(self) -> Fields:
        fields = self._fields
        names = dict(fields)
        if len(names) == len(fields):
            return fields
        rank = {name: index for index, name in enumerate(names)}
        return sorted(fields, key=lambda field: rank[field[0]])


def _folded(key: object) -> bytes:
    # Called through the class, so that a key of another type is a TypeError. What is
    # not ASCII becomes "?", which no field name contains.
    return str.encode(key, "ascii", "replace").lower()  # type: ignore[arg-type]


def _visible(value: bytes) -> str | None:
    """Return *value* as text if it is visible ASCII, spaces and tabs, else None."""
    text = value.decode("latin-1")
    if text.isascii() and (text.isprintable() or text.replace("\t", " ").isprintable()):
        return text
    return None


_ENCODED_FIELDS: dict[tuple[str, str], tuple[bytes, bytes]] = {}
"""Fields that applications send again and again, encoded; a full table starts anew."""
_ENCODED_FIELDS_MAX = 512
_KEPT_VALUE = 64
_NOT_KEPT = frozenset((b"content-length", b"set-cookie"))


def encode_headers(headers: HeaderPairs) -> Fields:
    """Return response fields as bytes: names lower-case, values in UTF-8.

    Raises:
        TypeError: *headers* is not a sequence of 2-tuples of str.
    """
    if type(headers) is not list and not isinstance(headers, Sequence):
        raise TypeError("headers must be a sequence of (name, value) tuples")
    fields: Fields = []
    for pair in headers:
        if type(pair) is not tuple and not isinstance(pair, tuple):
            raise TypeError(f"a header must be a (name, value) tuple, not {type(pair).__name__}")
        try:
            field = _ENCODED_FIELDS.get(pair)
            if field is None:
                field = _encode_field(pair)
        except (AttributeError, TypeError, ValueError):
            raise _explained(pair) from None
        fields.append(field)
    return fields


def _encode_field(pair: tuple[str, str]) -> tuple[bytes, bytes]:
    name, value = pair
    field = (_ENCODED_NAMES.get(name) or _encode_name(name), value.encode())
    if len(value) <= _KEPT_VALUE and field[0] not in _NOT_KEPT:
        if len(_ENCODED_FIELDS) >= _ENCODED_FIELDS_MAX:
            _ENCODED_FIELDS.clear()
        _ENCODED_FIELDS[pair] = field
    return field


def _encode_name(name: str) -> bytes:
    encoded = name.encode().lower()
    if len(_ENCODED_NAMES) < _ENCODED_NAMES_MAX:
        _ENCODED_NAMES[name] = encoded
    return encoded


def _explained(pair: tuple[object, ...]) -> Exception:
    if len(pair) != 2:
        return TypeError(f"a header must be a (name, value) tuple, not one of {len(pair)} items")
    for item in pair:
        if not isinstance(item, str):
            return TypeError(f"names and values of headers must be str, not {type(item).__name__}")
    return ValueError("a header can not be encoded as UTF-8")

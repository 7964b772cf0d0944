"""The first bytes of a connection: is it TLS, and which protocols does it offer?

OpenSSL judges the ClientHello; what is read here is only what `ssl` does not tell.
"""

from __future__ import annotations

HANDSHAKE_RECORD = 22
CLIENT_HELLO = 1
ALPN_EXTENSION = 16

_TOKEN_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class _TruncatedError(ValueError):
    """A length points behind the end."""


class _Reader:
    """Takes fields off the front of some bytes (RFC 8446 section 3.4)."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise _TruncatedError
        return self._data[start : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, width: int) -> bytes:
        """Take a vector whose length stands before it, in *width* bytes."""
        return self.take(self.number(width))


def looks_like_http(data: bytes | memoryview) -> bool:
    """Whether the first bytes of a connection are a request line and no TLS record.

    A letter is no content type (RFC 8446 section 5.1) and begins every common method.
    """
    return data[0] in _TOKEN_LETTERS


def offered_protocols(data: bytes) -> list[bytes]:
    """Return the ALPN names that a ClientHello offers.

    Args:
        data: Records as they came, the whole ClientHello in them.

    Returns:
        The names in the client's order; empty if it offers none, or if this is not a
        ClientHello.

    Spec: RFC 8446 section 4.1.2, RFC 7301 section 3.1.
    """
    try:
        extension = _find_extension(_client_hello(data), ALPN_EXTENSION)
        if extension is None:
            return []
        names, protocols = _Reader(_Reader(extension).vector(2)), []
        while names:
            protocols.append(names.vector(1))
    except _TruncatedError:
        return []
    return protocols


def _client_hello(data: bytes) -> bytes:
    """Put together the fragments that records cut the message into."""
    records, parts = _Reader(data), bytearray()
    while len(parts) < 4 or len(parts) < 4 + int.from_bytes(parts[1:4], "big"):
        if records.number(1) != HANDSHAKE_RECORD:
            raise _TruncatedError
        records.take(2)
        parts += records.vector(2)
    if parts[0] != CLIENT_HELLO:
        raise _TruncatedError
    return bytes(parts[4:])


def _find_extension(hello: bytes, wanted: int) -> bytes | None:
    reader = _Reader(hello)
    reader.take(2 + 32)  # legacy_version, random
    reader.vector(1)  # legacy_session_id
    reader.vector(2)  # cipher_suites
    reader.vector(1)  # legacy_compression_methods
    if not reader:
        return None
    extensions = _Reader(reader.vector(2))
    while extensions:
        kind, content = extensions.number(2), extensions.vector(2)
        if kind == wanted:
            return content
    return None

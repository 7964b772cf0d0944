"""The words of the options, as enums whose text is their value."""

from __future__ import annotations

from enum import Enum

__all__ = [
    "HTTPModes",
    "Interfaces",
    "Loops",
    "RuntimeModes",
    "SSLProtocols",
    "StrEnum",
    "TaskImpl",
]


class StrEnum(str, Enum):
    """An enum of words, equal to their text and printed as it."""

    def __str__(self) -> str:
        return str(self.value)


class Interfaces(StrEnum):
    """Interfaces of applications."""

    ASGI = "asgi"
    ASGINL = "asginl"
    RSGI = "rsgi"
    WSGI = "wsgi"


class HTTPModes(StrEnum):
    """HTTP versions to serve."""

    auto = "auto"
    http1 = "1"
    http2 = "2"


class RuntimeModes(StrEnum):
    """How I/O threads share connections."""

    auto = "auto"
    mt = "mt"
    st = "st"


class Loops(StrEnum):
    """Event loops."""

    auto = "auto"
    asyncio = "asyncio"
    rloop = "rloop"
    uvloop = "uvloop"
    winloop = "winloop"


class TaskImpl(StrEnum):
    """How application coroutines start."""

    asyncio = "asyncio"
    rust = "rust"


class SSLProtocols(StrEnum):
    """Oldest TLS versions to accept."""

    tls12 = "tls1.2"
    tls13 = "tls1.3"

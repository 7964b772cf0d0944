"""Test an interface without sockets: public tools for the authors of adapters.

- `MemoryServer` runs an interface in a real server; `MemoryClient` talks to it.
- `MemoryTransport` is the transport between them, for tests of a protocol alone.
- `ClockEventLoop` lets deadlines pass without waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from granian_core.testing.client import MemoryClient, MemoryResponse
from granian_core.testing.clock import ClockEventLoop
from granian_core.testing.memory import MemoryTransport

if TYPE_CHECKING:
    from granian_core.testing.server import MemoryServer

__all__ = [
    "ClockEventLoop",
    "MemoryClient",
    "MemoryResponse",
    "MemoryServer",
    "MemoryTransport",
]


def __getattr__(name: str) -> object:
    # The server is imported only by those who use it: a test of a protocol needs none.
    if name == "MemoryServer":
        from granian_core.testing.server import MemoryServer as Harness  # noqa: PLC0415

        return Harness
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

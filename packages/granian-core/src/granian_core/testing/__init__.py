"""Test an interface without sockets: public tools for the authors of adapters.

- `MemoryServer` runs an interface in a real server, over either HTTP version, with TLS or
  without; `MemoryClient` talks to it.
- `MemoryTransport` is the transport between them, for tests of a protocol alone.
- `ClockEventLoop` lets deadlines pass without waiting.
- `granian_core.testing.certs` makes certificates (extra ``granian-core[testing]``).
"""

from __future__ import annotations

from granian_core.testing.client import MemoryClient, MemoryResponse
from granian_core.testing.clock import ClockEventLoop
from granian_core.testing.memory import MemoryTransport
from granian_core.testing.server import MemoryServer

__all__ = [
    "ClockEventLoop",
    "MemoryClient",
    "MemoryResponse",
    "MemoryServer",
    "MemoryTransport",
]

"""A server in a program of one's own: ``python examples/embedded.py [PORT]``.

Counts its requests, and says so each second beside serving them.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from granian_core import InterfaceOptions, Server
from granian_rsgi import rsgi

if TYPE_CHECKING:
    from granian_rsgi import HTTPProtocol, Scope


class Counter:
    """An application that counts."""

    count = 0

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer with the number of the request."""
        self.count += 1
        protocol.response_str(200, [("content-type", "text/plain")], f"{self.count}\n")


async def main(port: int) -> None:
    """Serve until interrupted."""
    counter = Counter()
    async with Server(rsgi(counter, InterfaceOptions()), host="127.0.0.1", port=port) as server:
        print("Serving on", server.addresses, flush=True)
        while True:
            await asyncio.sleep(1)
            print(counter.count, "requests", flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 8000))
    except KeyboardInterrupt:
        print("Stopped")

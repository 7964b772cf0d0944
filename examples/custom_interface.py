"""An interface of our own on `granian_core` alone: ``python examples/custom_interface.py [PORT]``.

Answers each POST with its own body, in capitals.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

from granian_core import BaseInterface, BodyTooLarge, Server

if TYPE_CHECKING:
    from granian_core import HTTPStream

TEXT = [(b"content-type", b"text/plain; charset=utf-8")]


class Shout(BaseInterface):
    """Answer with what was sent, in capitals."""

    async def handle_http(self, stream: HTTPStream) -> None:
        """Handle one exchange."""
        try:
            body = await stream.read_all(limit=1 << 20)
        except BodyTooLarge:
            stream.respond(413, TEXT, b"At most 1 MiB, please\n")
            return
        stream.respond(200, TEXT, body.upper())


async def main(port: int) -> None:
    """Serve on localhost until interrupted."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        async with Server(Shout(), sockets=[listener]) as server:
            print("Serving on", server.addresses, flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 8000))
    except KeyboardInterrupt:
        print("Stopped")

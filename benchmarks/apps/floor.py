"""The floor: a bare uvloop protocol that answers a constant, the least that any server can cost.

It is no HTTP server: it looks for the end of a head, takes the rest on trust and answers ``GET``
only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from typing import cast

import uvloop

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b"
_ANSWER_1K = _HEAD % (1024, b"x" * 1024)
_LAST_ANSWER = _ANSWER_1K.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
_ANSWER_10K = _HEAD % (10_000, b"x" * 10_000)


class FloorProtocol(asyncio.Protocol):
    """Answers each request head on its connection with a constant."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep *transport* to write to."""
        # uvloop's transports do not register as asyncio.WriteTransport; they have its methods.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer each complete head in *data*."""
        if self._buffer:
            data = self._buffer + data
        transport = self._transport
        while transport is not None:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                break
            if data.find(b"\r\nConnection: close", 0, end) > 0:
                transport.write(_LAST_ANSWER)
                transport.close()
                return
            transport.write(_ANSWER_10K if data.startswith(b"GET /10k") else _ANSWER_1K)
            data = data[end + 4 :]
        self._buffer = data


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(FloorProtocol, "127.0.0.1", port)
    serving = asyncio.ensure_future(server.serve_forever())
    loop.add_signal_handler(signal.SIGTERM, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def main() -> None:
    """Serve on the loopback port of the command line until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(_serve(arguments.port))
    finally:
        loop.close()


if __name__ == "__main__":
    main()

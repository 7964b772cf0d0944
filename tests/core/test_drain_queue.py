"""A server that has nobody for a moment is not drained while its accept queue is."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

import pytest

from granian_core import BaseInterface, HTTPStream, Server
from granian_core.loops import loops
from granian_core.sockets import bind_tcp


class Hello(BaseInterface):
    """Answers."""

    async def handle_http(self, stream: HTTPStream) -> None:
        stream.respond(200, [], b"hello")


@pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])
def test_who_is_queued_when_the_last_connection_ends_is_answered(loop_name: str) -> None:
    if loop_name not in loops:
        pytest.skip(f"{loop_name} is not installed")

    async def main() -> None:
        (listening,) = bind_tcp(["127.0.0.1"], 0)
        server = Server(Hello(), sockets=[listening])
        await server.start()
        listeners = server._listeners
        assert listeners is not None
        with listening, socket.create_connection(server.addresses[0]) as early:
            while not server.context.connections:
                await asyncio.sleep(0)
            late = socket.socket()

            async def close_between(*, empty_queue: bool) -> None:
                early.close()
                while server.context.connections:
                    await asyncio.sleep(0)
                late.connect(server.addresses[0])  # no turn of the loop until it is closed
                late.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await listeners.close(empty_queue=empty_queue)

            server._listeners = SimpleNamespace(close=close_between)  # type: ignore[assignment]
            with late:
                await server.stop(10)
                late.settimeout(10)
                assert late.recv(65536).endswith(b"hello")

    loop = loops.get(loop_name)
    try:
        loop.run_until_complete(asyncio.wait_for(main(), 30))
    finally:
        asyncio.set_event_loop(None)
        loop.close()

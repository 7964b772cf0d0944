"""Pausing the listener loses nobody whom the kernel has already accepted for us."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from granian_core.listener import Listeners
from granian_core.loops import loops
from granian_core.sockets import bind_tcp

CLIENTS = 10


class Noting(asyncio.Protocol):
    """Pauses the listener when bytes arrive, as a server without permits does."""

    listeners: Listeners
    made: list[asyncio.BaseTransport]
    all_made: asyncio.Event

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made.append(transport)
        if len(self.made) == CLIENTS + 1:
            self.all_made.set()

    def data_received(self, data: bytes) -> None:
        self.listeners.set_accepting(False)
        # Resume only when everything of this turn is over.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self.listeners.set_accepting, True)


@pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])
def test_connections_accepted_in_the_turn_of_a_pause_are_served(loop_name: str) -> None:
    """Bytes that cause a pause and a crowd that connects arrive in the same turn."""
    if loop_name not in loops:
        pytest.skip(f"{loop_name} is not installed")

    async def main() -> None:
        with contextlib.ExitStack() as stack:
            listening = stack.enter_context(bind_tcp(["127.0.0.1"], 0)[0])
            Noting.made, Noting.all_made = [], asyncio.Event()
            Noting.listeners = Listeners([listening], Noting, 128)
            await Noting.listeners.start()

            def connect() -> socket.socket:
                return stack.enter_context(socket.create_connection(listening.getsockname()))

            first = connect()
            while not Noting.made:
                await asyncio.sleep(0)
            for _ in range(CLIENTS):
                connect()
            first.send(b"x")  # no turn of the loop since the first of them connected
            await Noting.all_made.wait()
            await Noting.listeners.close(empty_queue=False)
            for transport in Noting.made:
                transport.close()
            await asyncio.sleep(0)

    loop = loops.get(loop_name)
    try:
        loop.run_until_complete(asyncio.wait_for(main(), 30))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class Made(asyncio.Protocol):
    """Counts connections."""

    count = 0
    transports: list[asyncio.BaseTransport]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Made.count += 1
        Made.transports.append(transport)


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])
def test_connections_that_are_half_accepted_are_made_before_the_listener_is_closed(
    loop_name: str, turns: int
) -> None:
    """A loop accepts in one turn and makes the connection in a later one."""
    if loop_name not in loops:
        pytest.skip(f"{loop_name} is not installed")

    async def main() -> None:
        with contextlib.ExitStack() as stack:
            listening = stack.enter_context(bind_tcp(["127.0.0.1"], 0)[0])
            Made.count, Made.transports = 0, []
            listeners = Listeners([listening], Made, 128)
            await listeners.start()
            for _ in range(CLIENTS):
                stack.enter_context(socket.create_connection(listening.getsockname()))
            for _ in range(turns):
                await asyncio.sleep(0)
            await listeners.close(empty_queue=True)
            assert Made.count == CLIENTS
            for transport in Made.transports:
                transport.close()
            await asyncio.sleep(0)

    loop = loops.get(loop_name)
    try:
        loop.run_until_complete(asyncio.wait_for(main(), 30))
    finally:
        asyncio.set_event_loop(None)
        loop.close()

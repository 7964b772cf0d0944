"""The sweep looks at a crowd in slices."""

from __future__ import annotations

import asyncio
from typing import cast

from granian_core import BaseInterface, HTTPStream
from granian_core.context import Connection
from granian_core.server import SWEEP_SLICE
from granian_core.testing import MemoryServer


class Swept:
    """Stands in for a connection; counts its sweeps."""

    idle_since = 0.0

    def __init__(self) -> None:
        self.times: list[float] = []

    def sweep(self, now: float, elapsed: float) -> None:
        self.times.append(now)


class Plain(BaseInterface):
    async def handle_http(self, stream: HTTPStream) -> None:
        stream.respond(200, (), b"")


def test_a_crowd_is_swept_in_slices_and_nobody_twice_or_after_leaving() -> None:
    async def main() -> None:
        async with MemoryServer(Plain()) as memory:
            context = memory.server.context
            crowd = [Swept() for _ in range(3 * SWEEP_SLICE)]
            context.connections.update(cast("list[Connection]", crowd))
            memory.server.sweep(1.0)
            done = [swept for swept in crowd if swept.times]
            assert len(done) == SWEEP_SLICE
            gone = next(swept for swept in crowd if not swept.times)
            context.connections.discard(cast("Connection", gone))
            for _ in range(5):
                await asyncio.sleep(0)
            assert gone.times == []
            assert all(swept.times == [1.0] for swept in crowd if swept is not gone)
            context.connections.clear()

    asyncio.run(asyncio.wait_for(main(), 30))

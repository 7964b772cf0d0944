"""What an idle connection holds."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

from granian_core.settings import EngineChoice
from tests.core.http2.serving import HELLO, echo, serving

CONNECTIONS = 40
LIMIT = {"fast": 20 * 1024, "reference": 40 * 1024}
"""Bytes of an idle connection of ours; what the client beside it holds is not counted."""


def test_idle_connection_is_small(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(echo) as server:
            fields = [(b"user-agent", b"x" * 80), (b"accept", b"y" * 60), (b"cookie", b"z" * 60)]
            warm = server.connect()
            warm.request(1, *fields)
            await warm.turn()
            clients = [server.connect(hello=b"") for _ in range(CONNECTIONS)]
            gc.collect()
            tracemalloc.start()
            try:
                for client in clients:
                    client.send(HELLO)
                    for stream in range(1, 11, 2):
                        client.request(stream, *fields, path=b"/%d" % stream)
                await warm.turn()
                for client in clients:
                    assert client.connection.streams == {}
                gc.collect()
                filters = [
                    tracemalloc.Filter(True, "*/granian_core/http2/*"),
                    tracemalloc.Filter(True, "*/h2/*"),
                    tracemalloc.Filter(True, "*/hpack/*"),
                ]
                kept = tracemalloc.take_snapshot().filter_traces(filters)
            finally:
                tracemalloc.stop()
            size = sum(trace.size for trace in kept.traces)
            assert size / CONNECTIONS < LIMIT[engine]

    asyncio.run(main())

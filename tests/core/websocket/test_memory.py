"""What an idle WebSocket holds."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from tests.core.http1.serving import turns
from tests.core.websocket.serving import Echo, frames, opened, run, serving
from tests.core.websocket.wire import TEXT, frame

WEBSOCKETS = 40
LIMIT = 12 * 1024
"""Bytes of one of ours, its connection included; what the client beside it holds is not counted."""


@pytest.mark.usefixtures("each_engine")
def test_idle_websocket_is_small() -> None:
    async def main() -> None:
        async with serving(Echo()) as subject:
            (await opened(subject)).send(frame(TEXT, b"warm"))
            await turns()
            gc.collect()
            tracemalloc.start()
            try:
                clients = [await opened(subject) for _ in range(WEBSOCKETS)]
                for client in clients:
                    client.send(frame(TEXT, b"x" * 100))
                await turns()
                assert all(frames(client) == [(TEXT, b"x" * 100)] for client in clients)
                gc.collect()
                filters = [
                    tracemalloc.Filter(True, "*/granian_core/*"),
                    tracemalloc.Filter(False, "*/granian_core/testing/*"),
                ]
                kept = tracemalloc.take_snapshot().filter_traces(filters)
            finally:
                tracemalloc.stop()
            size = sum(trace.size for trace in kept.traces)
            assert size / WEBSOCKETS < LIMIT

    run(main)

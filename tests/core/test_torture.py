"""A crowd of clients, polite and not: every answer right, nothing left behind."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from granian_core import BlockingPool, HTTP1Settings, Server, ServerConfig
from granian_core.loops import loops
from granian_core.settings import EngineChoice
from granian_core.sockets import bind_tcp
from tests.core.torture import LoopApplication, ThreadApplication, Torture

CLIENTS = 120


@pytest.fixture
def pool() -> Iterator[BlockingPool]:
    pool = BlockingPool(4, name="torture")
    yield pool
    pool.shutdown(wait=True, timeout=10)


def open_files() -> int | None:
    """Return how many descriptors are open, where the system says."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None


async def serve_crowd(
    application: LoopApplication | ThreadApplication, engine: EngineChoice, seed: int
) -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(sock) for sock in bind_tcp(["127.0.0.1"], 0)]
        # Few permits: most of the crowd has to queue for one.
        config = ServerConfig(http1=HTTP1Settings(engine=engine), backpressure=6)
        async with Server(application, sockets=sockets, config=config) as server:
            torture = Torture(server.addresses[0], seed)
            await torture.run(CLIENTS)
            context = server.context
        assert sum(torture.done.values()) == CLIENTS
        assert len(torture.done) == 6
        assert not context.streams
        assert not context.connections
        assert not context.waiting


@pytest.mark.parametrize("engine", ["reference", "fast"])
@pytest.mark.parametrize("threads", [False, True], ids=["loop", "threads"])
@pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])
def test_every_answer_is_right_and_nothing_is_left(
    loop_name: str,
    engine: EngineChoice,
    pool: BlockingPool,
    caplog: pytest.LogCaptureFixture,
    *,
    threads: bool,
) -> None:
    """Resets, half-closes, pipelines and slow readers at once do not disturb each other."""
    if loop_name not in loops:
        pytest.skip(f"{loop_name} is not installed")
    application = ThreadApplication(pool) if threads else LoopApplication()
    before = open_files()
    loop = loops.get(loop_name)
    try:
        with caplog.at_level(logging.WARNING):
            loop.run_until_complete(
                asyncio.wait_for(serve_crowd(application, engine, seed=20_26), 120)
            )
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    assert [record.getMessage() for record in caplog.records] == []
    assert open_files() == before

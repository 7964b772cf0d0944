"""The embedded server, as programs' own tests use it: a task beside the client's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from granian.constants import Interfaces
from granian.errors import FatalError
from granian.server.embed import Server
from tests.e2e.compat import apps
from tests.e2e.compat.serving import free_port
from tests.e2e.serving import IO_TIMEOUT


@pytest.fixture(autouse=True)
def _keep_logging() -> Iterator[None]:
    kept = [
        (logger, logger.propagate, list(logger.handlers), logger.level)
        for logger in map(logging.getLogger, ("_granian", "granian.access"))
    ]
    yield
    for logger, propagate, handlers, level in kept:
        logger.propagate, logger.handlers[:] = propagate, handlers
        logger.setLevel(level)


@pytest.mark.parametrize("interface", ["asgi", "asginl", Interfaces.RSGI])
def test_requests(interface: str) -> None:
    target: Any = apps.rsgi if interface == "rsgi" else apps.asgi
    if interface == "rsgi":
        # Its hook runs the loop, which an embedded server's is doing already.
        async def target(scope: Any, protocol: Any) -> None:
            await apps.RSGI_HTTP[scope.path](scope, protocol)

    async def main() -> None:
        server = Server(target, port=free_port(), interface=interface, log_level="error")
        task = asyncio.create_task(server.serve())
        await asyncio.wait_for(server.started.wait(), IO_TIMEOUT)
        async with httpx.AsyncClient(trust_env=False, timeout=IO_TIMEOUT) as client:
            url = f"http://127.0.0.1:{server.bind_port}"
            assert (await client.get(f"{url}/info")).status_code == 200
            assert (await client.post(f"{url}/echo", content=b"body")).content == b"body"
            server.reload()
            answers = [client.get(f"{url}/sleep") for _ in range(10)]
            assert {a.text for a in await asyncio.gather(*answers)} == {"slept"}
        server.stop()
        await asyncio.wait_for(task, IO_TIMEOUT)

    asyncio.run(main())


def test_a_refused_start() -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    async def main() -> None:
        with pytest.raises(FatalError):
            await Server(refuse, port=free_port(), interface="asgi", log_enabled=False).serve()

    asyncio.run(main())

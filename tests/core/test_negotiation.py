"""Transports that can not change their protocol, as rloop's: the sniffer passes all on."""

from __future__ import annotations

import asyncio

import pytest

from granian_core import BaseInterface, HTTPStream
from granian_core.testing import MemoryServer
from granian_core.testing.memory import MemoryTransport


class Echo(BaseInterface):
    async def handle_http(self, stream: HTTPStream) -> None:
        body = await stream.read_all(1 << 20)
        stream.respond(200, [], b"%s %b" % (stream.http_version.encode(), body))


@pytest.fixture(autouse=True)
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: MemoryTransport, protocol: asyncio.BaseProtocol) -> None:
        raise NotImplementedError("protocol cannot be changed")

    monkeypatch.setattr(MemoryTransport, "set_protocol", refuse)


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_requests_are_answered_and_the_end_is_noticed(version: str) -> None:
    async def main() -> None:
        async with MemoryServer(Echo(), http_version=version) as server:
            client = server.connect()
            for _ in range(2):
                response = await client.request("POST", "/", body=b"body" * 50_000)
                assert response.body == version.encode() + b" " + b"body" * 50_000
            context = server.server.context
            assert len(context.connections) == 1
            client.abort()
            await client.wait_ended()
            assert not context.connections

    asyncio.run(main())


def test_half_of_a_preface_and_an_end() -> None:
    async def main() -> None:
        async with MemoryServer(Echo()) as server:
            client = server.connect()
            client.send(b"PRI * HTTP/2.0\r\n\r\n")
            client.send_eof()
            response = await client.receive_response()
            assert response.status == 505

    asyncio.run(main())

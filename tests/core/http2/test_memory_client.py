"""The HTTP/2 client for tests of adapters: HTTP/1.1 in, HTTP/2 on the way."""

from __future__ import annotations

import asyncio

import h11
import pytest

from granian_core import (
    BaseInterface,
    HTTP2Settings,
    HTTPStream,
    RemoteProtocolError,
    ServerConfig,
)
from granian_core.settings import EngineChoice
from granian_core.testing import MemoryServer


class App(BaseInterface):
    """Echo, with trailers; or a response that is cut."""

    async def handle_http(self, stream: HTTPStream) -> None:
        body = await stream.read_all()
        stream.start(200, [(b"x-version", stream.http_version.encode())])
        stream.write(b"seen ")
        if stream.path == "/cut":
            stream.abort()
            return
        stream.write(body)
        stream.finish([(b"x-size", b"%d" % len(body))])


@pytest.fixture
def config(engine: EngineChoice) -> ServerConfig:
    return ServerConfig(http2=HTTP2Settings(engine=engine))


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_request_is_the_same_over_both_versions(version: str, config: ServerConfig) -> None:
    async def main() -> None:
        async with MemoryServer(App(), config, http_version=version) as server:
            client = server.connect()
            for body in (b"", b"hello", b"x" * 200_000):
                response = await client.request("POST", "/", body=body)
                assert response.status == 200
                assert response.header(b"x-version") == version.encode()
                assert response.body == b"seen " + body
                assert response.trailers == [(b"x-size", b"%d" % len(body))]

    asyncio.run(main())


def test_chunked_body_arrives_as_data(config: ServerConfig) -> None:
    async def main() -> None:
        async with MemoryServer(App(), config, http_version="2") as server:
            client = server.connect()
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.send(b"3\r\nabc\r\n0\r\n\r\n")
            assert (await client.receive_response()).body == b"seen abc"

    asyncio.run(main())


def test_cut_response_is_an_error(config: ServerConfig) -> None:
    async def main() -> None:
        async with MemoryServer(App(), config, http_version="2") as server:
            with pytest.raises(RemoteProtocolError, match="stream reset"):
                await server.connect().request("GET", "/cut")

    asyncio.run(main())


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_request_that_is_cut_by_an_error_holds_nothing(version: str, config: ServerConfig) -> None:
    """A test that fails in the middle of a request fails at once."""

    async def main() -> None:
        async with MemoryServer(App(), config, http_version=version) as server:
            server.connect().send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
            raise LookupError

    async def bounded() -> None:
        with pytest.raises(LookupError):
            await asyncio.wait_for(main(), 10)

    asyncio.run(bounded())


@pytest.mark.parametrize("data", [b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"])
def test_what_can_not_be_translated_raises(data: bytes, config: ServerConfig) -> None:
    async def main() -> None:
        async with MemoryServer(App(), config, http_version="2") as server:
            with pytest.raises(h11.RemoteProtocolError):
                server.connect().send(data)

    asyncio.run(main())


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n"])
def test_response_to_nothing_is_an_error(data: bytes, config: ServerConfig) -> None:
    async def main() -> None:
        async with MemoryServer(App(), config, http_version="2") as server:
            client = server.connect()
            client.send(data)
            with pytest.raises(RuntimeError, match="no request was sent"):
                await client.receive_response()

    asyncio.run(main())

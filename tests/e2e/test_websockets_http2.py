"""WebSockets by extended CONNECT (RFC 8441) through the real command, with the h2 library."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import pytest

from granian_core.testing.certs import CertificateFiles
from tests.e2e.serving import IO_TIMEOUT, ServerProcess, serving
from tests.e2e.websocket_http2 import Connection, connect

RAW = "tests.e2e.apps.websocket_raw"
FRAMEWORKS = "tests.e2e.apps.websocket_frameworks"
both = pytest.mark.parametrize("interface", ["asgi", "rsgi"])


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 4 * IO_TIMEOUT))


def to(server: ServerProcess) -> Any:
    return connect(server.host, server.port, server.context() if server.tls else None)


@pytest.fixture(params=["cleartext", "tls"])
def tls(request: pytest.FixtureRequest, certificate: CertificateFiles) -> CertificateFiles | None:
    return certificate if request.param == "tls" else None


@both
@pytest.mark.parametrize("deflate", [False, True])
def test_h2_client(interface: str, deflate: bool, tls: CertificateFiles | None) -> None:
    async def scenario() -> None:
        async with to(server) as connection:
            first, second = [await connection.open(deflate=deflate) for _ in range(2)]
            assert first.status == second.status == 200
            assert (b"sec-websocket-extensions" in first.fields) is deflate
            for message in ("", "hello", "€" * 50_000, b"", b"\0\xff" * 100_000):
                for client in (first, second):
                    await client.send(message)
                    assert await client.receive() == message
            await first.ping(b"here?")
            assert await first.receive() == b"here?"
            await first.close(4001, "bye")
            assert (await first.receive())[0] == 4001
            await first.wait_end()
            await first.end()
            await second.send("still open")
            assert await second.receive() == "still open"

    with serving(f"{RAW}:{interface}", interface=interface, tls=tls) as server:
        run(scenario())
        server.log.wait_for("disconnected")
        assert "Traceback" not in server.log.text


def test_application_closes_denies_and_fails() -> None:
    async def scenario() -> None:
        async with to(server) as connection:
            offer = (b"sec-websocket-protocol", b"a, b")
            client = await connection.open(more=[offer])
            assert client.fields[b"sec-websocket-protocol"] == b"a"
            await client.send("close")
            assert tuple(await client.receive()) == (4000, "as told")
            client = await connection.open()
            await client.send("raise")
            assert (await client.receive())[0] == 1011
            denied = await connection.open("/deny")
            await denied.wait_end()
            assert (denied.status, denied.body) == (401, b"denied")
            evil = await connection.open(more=[(b"origin", b"https://evil.example")])
            assert evil.status == 403

    options = ("--access-log", "--ws-origins", "https://good.example")
    with serving(f"{RAW}:asgi", *options) as server:
        run(scenario())
        server.log.wait_for("ValueError: as told")
        server.log.wait_for(r'"CONNECT /ws HTTP/2(\.0)?" 200')
        server.log.wait_for(r'"CONNECT /deny HTTP/2(\.0)?" 401')


@both
def test_a_stop_closes_with_1012_and_waits_for_the_answer(interface: str) -> None:
    async def scenario() -> None:
        async with to(server) as connection:
            client = await connection.open()
            await client.send("here")
            assert await client.receive() == "here"
            server.process.send_signal(signal.SIGTERM)
            assert (await client.receive())[0] == 1012
            await client.close(1012)
            await client.wait_end()
            await client.end()

    with serving(f"{RAW}:{interface}", interface=interface) as server:
        run(scenario())
        assert server.wait() == 0
        server.log.wait_for("disconnected")
        assert "Traceback" not in server.log.text


@pytest.mark.parametrize(
    ("interface", "options"), [("wsgi", ()), ("asgi", ("--no-ws",)), ("rsgi", ("--no-ws",))]
)
def test_without_websockets_nothing_is_announced(interface: str, options: tuple[str, ...]) -> None:
    async def scenario() -> None:
        async with to(server) as connection:
            await connection.flush()
            await connection.read()
            assert isinstance(connection, Connection)
            assert not connection.announced

    with serving(f"{RAW}:{interface}", *options, interface=interface) as server:
        run(scenario())


@pytest.mark.parametrize(
    ("framework", "interface"),
    [
        ("starlette", "asgi"),
        ("fastapi", "asgi"),
        ("litestar", "asgi"),
        ("quart", "asgi"),
        ("channels", "asgi"),
        ("emmett55", "rsgi"),
    ],
)
def test_frameworks(framework: str, interface: str) -> None:
    pytest.importorskip(framework)

    async def scenario() -> None:
        async with to(server) as connection:
            client = await connection.open()
            for text in ("one", "two", "€" * 1000):
                await client.send(text)
                assert await client.receive() == text

    with serving(f"{FRAMEWORKS}:{framework}", "--factory", interface=interface) as server:
        run(scenario())

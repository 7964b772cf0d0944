"""WebSockets through the real command, with the clients that people use."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.core.websocket.wire import CLOSE, PING, PONG, frame, handshake, server_frames
from tests.e2e.serving import IO_TIMEOUT, ServerProcess, read_to_end, read_until, serving

websockets = pytest.importorskip("websockets")
aiohttp = pytest.importorskip("aiohttp")

RAW = "tests.e2e.apps.websocket_raw"
FRAMEWORKS = "tests.e2e.apps.websocket_frameworks"
both = pytest.mark.parametrize("interface", ["asgi", "rsgi"])


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 4 * IO_TIMEOUT))


def address(server: ServerProcess, path: str = "/ws") -> str:
    return f"ws://{server.host}:{server.port}{path}"


@both
@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize(
    ("loop", "engine"), [("asyncio", "fast"), ("uvloop", "fast"), ("asyncio", "reference")]
)
def test_websockets_client(interface: str, compression: str | None, loop: str, engine: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")

    async def scenario() -> None:
        async with websockets.connect(address(server), compression=compression) as client:
            for message in ("", "hello", "€" * 50_000, b"", b"\0\xff" * 100_000):
                await client.send(message)
                assert await client.recv() == message
            await client.send(iter(["frag", "men", "ts"]))
            assert await client.recv() == "fragments"
            await (await client.ping())
            await client.close(4001, "bye")
            assert (client.close_code, client.close_reason) == (4001, "")

    options = ("--loop", loop, "--ws-engine", engine)
    with serving(f"{RAW}:{interface}", *options, interface=interface) as server:
        run(scenario())
        server.log.wait_for("disconnected")


@both
def test_aiohttp_client(interface: str) -> None:
    async def scenario() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address(server), compress=15) as client,
        ):
            await client.send_str("hello" * 100)
            assert await client.receive_str() == "hello" * 100
            await client.send_bytes(b"\0" * 70_000)
            assert await client.receive_bytes() == b"\0" * 70_000
            await client.close()
            assert client.close_code == 1000

    with serving(f"{RAW}:{interface}", interface=interface) as server:
        run(scenario())


def test_application_closes_denies_and_fails() -> None:
    async def scenario() -> None:
        async with websockets.connect(address(server), subprotocols=["a", "b"]) as client:
            assert client.subprotocol == "a"
            assert client.response.headers["x-pid"].isdigit()
            await client.send("close")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await client.recv()
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "as told")
        async with websockets.connect(address(server)) as client:
            await client.send("raise")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd.code == 1011
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(address(server, "/deny"))
        assert refused.value.response.status_code == 401
        assert refused.value.response.body == b"denied"

    with serving(f"{RAW}:asgi", "--access-log") as server:
        run(scenario())
        server.log.wait_for("ValueError: as told")
        server.log.wait_for(r'"GET /ws HTTP/1.1" 101')
        server.log.wait_for(r'"GET /deny HTTP/1.1" 401')


@both
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_stop_closes_with_1012_and_waits_for_the_answer(interface: str, threads: str) -> None:
    async def scenario() -> None:
        async with websockets.connect(address(server)) as client:
            await client.send("here")
            assert await client.recv() == "here"
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd.code == 1012

    options = ("--runtime-threads", threads)
    with serving(f"{RAW}:{interface}", *options, interface=interface) as server:
        run(scenario())
        assert server.wait() == 0
        server.log.wait_for("disconnected")
        assert "Traceback" not in server.log.text


@pytest.mark.parametrize(
    ("interface", "options"), [("wsgi", ()), ("asgi", ("--no-ws",)), ("rsgi", ("--no-ws",))]
)
def test_without_websockets_a_handshake_is_a_plain_request(
    interface: str, options: tuple[str, ...]
) -> None:
    request = (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with serving(f"{RAW}:{interface}", *options, interface=interface) as server:
        answer = server.exchange(request)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"plain")


def test_options_act() -> None:
    async def scenario() -> None:
        async with websockets.connect(address(server), origin="https://good.example") as client:
            assert client.protocol.extensions == []
            await client.send(b"x" * 101)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd.code == 1009
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(address(server), origin="https://evil.example")
        assert refused.value.response.status_code == 403

    options = ("--no-ws-compression", "--ws-origins", "https://good.example")
    with serving(f"{RAW}:asgi", *options, "--ws-max-message-size", "100") as server:
        run(scenario())


def test_a_peer_is_pinged_until_it_answers_no_more() -> None:
    """By default no ping follows another, and no close follows a ping, within a deadline here."""
    ping = b"\x89\0"
    options = ("--ws-ping-interval", "0.2", "--ws-ping-timeout", "3")
    with serving(f"{RAW}:asgi", *options) as server, server.connect() as sock:
        sock.sendall(handshake())
        seen = read_until(sock, b"\r\n\r\n").partition(b"\r\n\r\n")[2]
        for _ in range(4):
            while len(seen) < len(ping):
                seen += sock.recv(100)
            assert seen == ping
            seen = b""
            sock.sendall(frame(PONG))
        assert server_frames(read_to_end(sock)) == [(PING, b""), (CLOSE, b"\x03\xf3")]


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
        async with websockets.connect(address(server)) as client:
            for text in ("one", "two", "€" * 1000):
                await client.send(text)
                assert await client.recv() == text

    with serving(f"{FRAMEWORKS}:{framework}", "--factory", interface=interface) as server:
        run(scenario())


def test_over_a_unix_socket(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with websockets.unix_connect(str(server.uds)) as client:
            await client.send("hello")
            assert await client.recv() == "hello"

    with serving(f"{RAW}:asgi", uds=tmp_path / "socket") as server:
        run(scenario())


def test_over_tls(tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)

    async def scenario() -> None:
        url = f"wss://{server.host}:{server.port}/ws"
        async with websockets.connect(url, ssl=context) as client:
            for message in ("hello", b"\0" * 300_000):
                await client.send(message)
                assert await client.recv() == message

    files = ("--ssl-certificate", tmp_path / "cert.pem", "--ssl-keyfile", tmp_path / "key.pem")
    with serving(f"{RAW}:asgi", *map(str, files)) as server:
        run(scenario())

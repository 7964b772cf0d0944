"""Peers that break the rules of WebSockets, against the real command: answered, bounded, quiet."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Iterator

import pytest

from tests.core.websocket.test_handshake import REFUSED
from tests.core.websocket.test_session import FAULTS
from tests.core.websocket.wire import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    close,
    deflated,
    frame,
    handshake,
    server_frames,
)
from tests.e2e.serving import IO_TIMEOUT, ServerProcess, read_to_end, read_until, serving
from tests.e2e.websocket_http2 import connect

MOST_MESSAGE = 1_000_000
MOST_MEMORY = 24 * 1024 * 1024
"""Bytes by which all of this together may make the server grow."""

CASES = {
    **{name: case for name, case in FAULTS.items() if name != "fragments"},  # no option of its own
    "longest": (frame(BINARY, bytes(MOST_MESSAGE + 1)), 1009),
    "bomb": (frame(BINARY, deflated(bytes(100_000_000)), rsv=4), 1009),
    "no-deflate-data": (frame(BINARY, b"\xff" * 100, rsv=4), 1007),
}


@pytest.fixture(scope="module", params=["fast", "reference"])
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    options = ("--ws-engine", request.param, "--ws-max-message-size", str(MOST_MESSAGE))
    with serving("tests.e2e.apps.websocket_raw:asgi", *options) as server:
        before = server.peak_memory()
        yield server
        grown = server.peak_memory() - before
        server.stop()
    assert grown < MOST_MEMORY
    assert not re.search(r"Traceback|\[(WARNING|ERROR|CRITICAL)\]", server.log.text)


def opened(server: ServerProcess, *more: bytes) -> socket.socket:
    sock = server.connect()
    sock.sendall(handshake(*more))
    assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
    return sock


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_fault_has_its_code_over_http1(server: ServerProcess, case: tuple[bytes, int]) -> None:
    data, code = case
    more = (b"Sec-WebSocket-Extensions: permessage-deflate",) if code != 1002 else ()
    with opened(server, *more) as sock:
        sock.sendall(data)
        assert server_frames(read_to_end(sock)) == [(CLOSE, struct.pack("!H", code))]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_fault_has_its_code_over_http2(server: ServerProcess, case: tuple[bytes, int]) -> None:
    data, code = case

    async def main() -> None:
        async with connect(server.host, server.port) as connection:
            bystander = await connection.open()
            client = await connection.open(deflate=code != 1002)
            await client.send_raw(data)
            assert await client.receive() == (code, "")
            await client.wait_end()
            await bystander.send("still here")
            assert await bystander.receive() == "still here"

    asyncio.run(asyncio.wait_for(main(), 2 * IO_TIMEOUT))


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_handshake_is_answered(server: ServerProcess, case: tuple[bytes, int]) -> None:
    data, status = case
    answer = server.exchange(data.replace(b"Connection: Upgrade", b"Connection: Upgrade, close"))
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (b"\r\nsec-websocket-version: 13\r\n" in answer) is (status == 426)


def test_a_wrong_version_over_http2_is_426(server: ServerProcess) -> None:
    async def main() -> None:
        async with connect(server.host, server.port) as connection:
            client = await connection.open(version=b"8")
            assert client.status == 426
            assert client.fields[b"sec-websocket-version"] == b"13"

    asyncio.run(asyncio.wait_for(main(), 2 * IO_TIMEOUT))


def test_a_peer_that_ends_its_side_is_left(server: ServerProcess) -> None:
    async def main() -> None:
        async with connect(server.host, server.port) as connection:
            client = await connection.open()
            await client.end()
            await client.wait_end()
            assert client.reset in (None, 0)

    with opened(server) as sock:
        sock.shutdown(socket.SHUT_WR)
        assert read_to_end(sock) == b""
    asyncio.run(asyncio.wait_for(main(), 2 * IO_TIMEOUT))


def test_pings_without_end_are_answered_within_bounds(server: ServerProcess) -> None:
    flood = frame(PING, b"x" * 125) * 20_000

    async def main() -> None:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(handshake() + flood + close(1000))
        await reader.readuntil(b"\r\n\r\n")
        *pongs, last = server_frames(await reader.read())
        assert {opcode for opcode, _ in pongs} == {PONG}
        assert last == (CLOSE, b"\x03\xe8")
        writer.close()

    asyncio.run(asyncio.wait_for(main(), 4 * IO_TIMEOUT))


def test_a_reset_amid_messages_is_nobodys_fault(server: ServerProcess) -> None:
    for data in (frame(BINARY, bytes(500_000)) * 8, frame(BINARY, b"", length=b"\x7e\xff\xff")):
        with opened(server) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while sent < len(data):
                    sent += sock.send(data[sent:])
    with opened(server) as sock:  # it goes on
        sock.sendall(frame(BINARY, b"here"))
        assert server_frames(sock.recv(100)) == [(BINARY, b"here")]
        sock.sendall(close(1000))
        assert server_frames(read_to_end(sock)) == [(CLOSE, b"\x03\xe8")]

"""What belongs to the connection goes on while the application blocks its loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from granian_core import HTTP1Settings, HTTPStream, ServerConfig, TLSSettings, WebSocketStream
from granian_core.http2.contract import PREFACE
from granian_core.http2.frames import ACK, PING, ping_frame, settings_frame
from granian_core.runtime.server import RuntimeMode
from granian_core.settings import StaticSettings
from tests.core.loopback import PATIENCE, both_loops, get, run, until, wait
from tests.core.runtime.serving import FromFunctions, SocketHandler, Threads, serving


class Blocked:
    """An application that keeps its loop busy until `release` is set."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()

    async def __call__(self, stream: HTTPStream) -> None:
        self.entered.set()
        wait(self.release)
        stream.respond(200, [], b"late")

    async def beside(self, subject: Threads, scenario: Callable[[int], None]) -> bytes:
        """Run *scenario* on a thread while the application blocks; return its late answer."""
        port = subject.server.addresses[0][1]
        assert port is not None
        answers: list[bytes] = []

        def client() -> None:
            try:
                with connect(port) as blocking:
                    blocking.sendall(get("/block"))
                    wait(self.entered)
                    scenario(port)
                    self.release.set()
                    answers.append(receive_until(blocking, b"late"))
            finally:
                self.release.set()

        await asyncio.to_thread(client)
        return answers[0]


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait, on a thread, until *condition* holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@contextlib.contextmanager
def connect(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        yield sock


def receive_until(sock: socket.socket, end: bytes) -> bytes:
    """Return what comes up to *end*."""
    data = b""
    while end not in data:
        piece = sock.recv(65_536)
        assert piece, data
        data += piece
    return data


@both_loops
@pytest.mark.parametrize("threads", [1, 2])
def test_static_files_are_answered_meanwhile(loop_name: str, threads: int, tmp_path: Path) -> None:
    (tmp_path / "small.txt").write_text("small")
    (tmp_path / "large.bin").write_bytes(b"x" * 3_000_000 + b"end")
    config = ServerConfig(static=StaticSettings(mount=(tmp_path,), route=("/static",)))

    def files(port: int) -> None:
        with connect(port) as sock:
            for _ in range(3):
                sock.sendall(get("/static/small.txt"))
                assert receive_until(sock, b"small").startswith(b"HTTP/1.1 200")
            sock.sendall(get("/static/large.bin"))
            assert len(receive_until(sock, b"xend")) > 3_000_000
            sock.sendall(get("/static/none"))
            assert receive_until(sock, b"Not found").startswith(b"HTTP/1.1 404")

    async def main() -> None:
        application = Blocked()
        async with serving(application, config, loop_name=loop_name, threads=threads) as subject:
            assert (await application.beside(subject, files)).startswith(b"HTTP/1.1 200")

    run(loop_name, main)


@pytest.mark.parametrize("mode", ["st", "mt"])
def test_permits_bound_what_an_application_that_hangs_is_handed(mode: RuntimeMode) -> None:
    """The I/O threads go on accepting until then; who comes later waits, and is not refused."""
    limit, late = 4, list[bytes]()

    async def main() -> None:
        application = Blocked()
        async with serving(application, ServerConfig(backpressure=limit), mode=mode) as subject:

            def crowd(port: int) -> None:
                streams = subject.server.contexts[0].streams  # the worker's
                for _ in range(4 * limit):
                    sock = stack.enter_context(connect(port))
                    sock.sendall(get("/"))
                    late_ones.append(sock)
                wait_for(lambda: len(streams) >= limit)
                wait_for(lambda: not any(one.accepting for one in subject.accepting))
                # Two loops may take the last permit in the same instant.
                assert len(streams) <= limit + 1

            late_ones: list[socket.socket] = []
            with contextlib.ExitStack() as stack:
                await application.beside(subject, crowd)
                for sock in late_ones:
                    late.append(await asyncio.to_thread(receive_until, sock, b"late"))

    run("asyncio", main)
    assert len(late) == 4 * limit
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in late)


@both_loops
def test_http2_pings_are_answered_meanwhile(loop_name: str) -> None:
    def pings(port: int) -> None:
        with connect(port) as sock:
            sock.sendall(PREFACE + settings_frame([]))
            for number in range(5):
                payload = b"%08d" % number
                sock.sendall(ping_frame(payload, ack=False))
                head = bytes([0, 0, 8, PING, ACK, 0, 0, 0, 0])
                receive_until(sock, head + payload)

    async def main() -> None:
        application = Blocked()
        async with serving(application, loop_name=loop_name) as subject:
            await application.beside(subject, pings)

    run(loop_name, main)


def test_refusals_and_deadlines_come_meanwhile() -> None:
    config = ServerConfig(http1=HTTP1Settings(header_read_timeout=200))

    def refused(port: int) -> None:
        with connect(port) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nbad line\r\n\r\n")
            assert receive_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 400")
        with connect(port) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHos")
            assert receive_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 408")

    async def main() -> None:
        application = Blocked()
        async with serving(application, config) as subject:
            await application.beside(subject, refused)

    run("asyncio", main)


def test_tls_handshakes_succeed_meanwhile(tmp_path: Path) -> None:
    pytest.importorskip("trustme", reason="needs granian-core[testing]")
    from granian_core.testing.certs import issue_certificate

    files = issue_certificate(tmp_path)
    tls = TLSSettings(certificate=(files.certificate,), keyfile=(files.key,))
    trust = ssl.create_default_context(cafile=str(files.authority))

    def wrapped(port: int) -> ssl.SSLSocket:
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        return trust.wrap_socket(sock, server_hostname="localhost")

    async def main() -> None:
        application = Blocked()
        async with serving(application, ServerConfig(tls=tls)) as subject:
            port = subject.server.addresses[0][1]
            assert port is not None

            def client() -> None:
                try:
                    with wrapped(port) as blocking:
                        blocking.sendall(get("/"))
                        wait(application.entered)
                        for _ in range(6):  # both loops have some of them
                            with wrapped(port) as other:
                                assert other.version() == "TLSv1.3"
                        application.release.set()
                        receive_until(blocking, b"late")
                finally:
                    application.release.set()

            await asyncio.to_thread(client)
            await until(lambda: subject.server.tls_handshakes == (7, 0))
            subject.server.reload_tls()
            for _ in range(4):  # both loops have taken the files read anew
                await asyncio.to_thread(lambda: wrapped(port).close())
            await until(lambda: subject.server.tls_handshakes == (11, 0))

    run("asyncio", main)


def test_websocket_pings_are_answered_meanwhile() -> None:
    masked_ping = bytes([0x89, 0x82, 0, 0, 0, 0]) + b"hi"
    handshake = get(
        "/ws",
        "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    )
    application = Blocked()

    async def accept(stream: WebSocketStream) -> None:
        stream.accept()
        await application(_Silent())  # type: ignore[arg-type]

    class _Silent:
        """Takes an answer, and gives it to nobody."""

        def respond(self, *_: object) -> None:
            return

    async def main() -> None:
        async with serving(FromFunctions(application, _websocket(accept))) as subject:
            port = subject.server.addresses[0][1]
            assert port is not None

            def client() -> None:
                try:
                    with connect(port) as sock:
                        sock.sendall(handshake)
                        receive_until(sock, b"\r\n\r\n")
                        wait(application.entered)
                        sock.sendall(masked_ping)
                        receive_until(sock, b"\x8a\x02hi")
                finally:
                    application.release.set()

            await asyncio.to_thread(client)

    run("asyncio", main)


def _websocket(handler: Callable[[WebSocketStream], Awaitable[None]]) -> SocketHandler:
    return handler

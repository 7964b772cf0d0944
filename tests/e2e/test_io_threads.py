"""``--runtime-threads`` with the real command, real frameworks and real clients."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from granian_core.http2.contract import PREFACE
from granian_core.http2.frames import ACK, PING, ping_frame, settings_frame
from granian_core.testing.certs import CertificateFiles
from tests.e2e.load import Load
from tests.e2e.serving import IO_TIMEOUT, ServerProcess, read_until, serving

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

APPLICATIONS = {
    "starlette": ("asgi", "tests.e2e.apps.asgi_starlette:app", "mt"),
    "emmett55": ("rsgi", "tests.e2e.apps.rsgi_emmett:app", "st"),
    "flask": ("wsgi", "tests.e2e.apps.wsgi_flask:app", "st"),
}


@pytest.fixture(scope="module", params=list(APPLICATIONS))
def server(
    request: pytest.FixtureRequest, certificate: CertificateFiles
) -> Iterator[ServerProcess]:
    """A framework, over TLS, with two I/O threads."""
    pytest.importorskip(request.param)
    interface, target, mode = APPLICATIONS[request.param]
    options = ("--runtime-threads", "2", "--runtime-mode", mode)
    with serving(target, *options, interface=interface, tls=certificate) as running:
        yield running


def thread_names(pid: int) -> list[str]:
    tasks = Path(f"/proc/{pid}/task")
    return [(task / "comm").read_text().strip() for task in tasks.iterdir()]


@needs_proc
def test_threads_are_named_in_ps(server: ServerProcess) -> None:
    (worker,) = server.worker_pids()
    names = thread_names(worker)
    assert [name for name in sorted(names) if name.startswith("granian-io")] == [
        "granian-io-0",
        "granian-io-1",
    ]


@pytest.mark.parametrize("http2", [False, True])
def test_frameworks_answer(server: ServerProcess, http2: bool) -> None:
    body = bytes(range(256)) * 2000

    async def main() -> None:
        limits = httpx.Limits(max_connections=8)
        async with httpx.AsyncClient(
            base_url=server.url,
            verify=server.context(),
            http1=not http2,
            http2=http2,
            limits=limits,
            timeout=IO_TIMEOUT,
        ) as client:
            answers = await asyncio.gather(*(client.get("/") for _ in range(40)))
            assert {answer.status_code for answer in answers} == {200}
            echoes = await asyncio.gather(
                *(client.post("/echo", content=body[: 30_000 * n]) for n in range(1, 12))
            )
            for number, echo in enumerate(echoes, 1):
                assert echo.status_code == 200
                assert body[: 30_000 * number] in echo.content or echo.json()

    asyncio.run(main())


@pytest.mark.parametrize("interface", ["asgi", "rsgi"])
@pytest.mark.parametrize("mode", ["mt", "st"])
def test_a_handler_that_computes_stops_no_connection(
    interface: str, mode: str, tmp_path: Path
) -> None:
    """Static files and HTTP/2 PINGs are answered all the while."""
    spinning, files = tmp_path / "spinning", tmp_path / "files"
    spinning.touch()
    files.mkdir()
    (files / "small.txt").write_text("small")
    options = ("--runtime-threads", "2", "--runtime-mode", mode, "--static-path-mount", str(files))
    env = {"SPINNING": str(spinning)}
    target = f"tests.e2e.apps.spinning:{interface}"
    with (
        serving(target, *options, interface=interface, env=env) as server,
        server.connect() as computing,
        server.connect() as other,
        server.connect() as pinging,
    ):
        computing.sendall(b"GET /spin HTTP/1.1\r\nHost: x\r\n\r\n")
        server.log.wait_for("spinning")
        pinging.sendall(PREFACE + settings_frame([]))
        for number in range(5):
            other.sendall(b"GET /static/small.txt HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_until(other, b"small").startswith(b"HTTP/1.1 200")
            payload = b"%08d" % number
            pinging.sendall(ping_frame(payload, ack=False))
            read_until(pinging, bytes([0, 0, 8, PING, ACK, 0, 0, 0, 0]) + payload)
        spinning.unlink()
        assert read_until(computing, b"answered").startswith(b"HTTP/1.1 200")


@needs_proc
def test_the_dump_lists_the_connections_of_all_threads() -> None:
    options = ("--runtime-threads", "3", "--runtime-mode", "mt")
    with serving("tests.e2e.apps.lifecycle:app", *options) as server:
        server.log.wait_for("Serving asgi")
        with server.connect() as slow, server.connect() as one, server.connect() as two:
            for sock in (one, two):
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                read_until(sock, b"hello")
            slow.sendall(b"GET /slow?0.7 HTTP/1.1\r\nHost: x\r\n\r\n")
            server.log.wait_for("slow begins")
            server.process.send_signal(signal.SIGUSR1)
            server.log.wait_for("(?s)3 connections, 1 requests.*'GET' '/slow'")
            assert read_until(slow, b"slow done")


@pytest.mark.parametrize("mode", ["mt", "st"])
def test_reloads_and_a_stop_under_load_lose_nothing(
    mode: str, certificate: CertificateFiles
) -> None:
    async def main(server: ServerProcess) -> Load:
        load = Load(server.host, server.port, reuse=10, tls=trust, may_be_refused=True)
        async with load:
            for number in range(1, 4):
                await load.wait_answered(50)
                server.process.send_signal(signal.SIGHUP)
                while server.log.text.count("Stopped old worker") < number:
                    await asyncio.sleep(0.02)
            await load.wait_answered(50)
            server.process.send_signal(signal.SIGTERM)
            await load.wait_refused()
        return load

    trust: ssl.SSLContext | None = None
    options = ("--runtime-threads", "2", "--runtime-mode", mode, "--respawn-interval", "0")
    tls = certificate if mode == "mt" else None
    with serving("tests.e2e.apps.lifecycle:app", *options, tls=tls) as server:
        server.log.wait_for("Serving asgi")
        trust = server.context() if tls is not None else None
        load = asyncio.run(asyncio.wait_for(main(server), 4 * IO_TIMEOUT))
        assert server.wait() == 0, server.log.text
    assert load.result.faults == []
    assert len(load.result.pids) == 4


def test_websockets(certificate: CertificateFiles) -> None:
    websockets = pytest.importorskip("websockets")

    async def main(server: ServerProcess) -> None:
        url = f"wss://localhost:{server.port}/ws"

        async def talk(number: int) -> None:
            async with websockets.connect(url, ssl=server.context()) as client:
                for message in ("", f"hello {number}", "€" * 50_000, b"\0\xff" * 100_000):
                    await client.send(message)
                    assert await client.recv() == message
                await (await client.ping())
                await client.close(4001, "bye")
                assert client.close_code == 4001

        await asyncio.gather(*(talk(number) for number in range(6)))

    for interface in ("asgi", "rsgi"):
        target = f"tests.e2e.apps.websocket_raw:{interface}"
        options = ("--runtime-threads", "2")
        with serving(target, *options, interface=interface, tls=certificate) as server:
            asyncio.run(asyncio.wait_for(main(server), 4 * IO_TIMEOUT))
            server.log.wait_for("disconnected")


def test_more_threads_than_cpus_are_worth_a_warning() -> None:
    count = (os.cpu_count() or 1) + 1
    options = ("--runtime-threads", str(count))
    with serving("tests.e2e.apps.lifecycle:app", *options) as server:
        server.log.wait_for(rf"\[WARNING\] More runtime threads \({count}\) than CPUs")
        assert server.exchange(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

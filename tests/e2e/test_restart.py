"""Stopping and reloading under load: nothing accepted is lost, and everybody leaves in time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.e2e.load import Load
from tests.e2e.serving import IO_TIMEOUT, ServerProcess, read_to_end, read_until, serving

APP = "tests.e2e.apps.lifecycle:app"
WRK = shutil.which("wrk")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")


@contextlib.contextmanager
def wrk(server: ServerProcess, seconds: int = 30) -> Iterator[None]:
    """Load the server with wrk, while the block runs; its own verdict does not count."""
    assert WRK is not None
    process = subprocess.Popen(
        [WRK, "-t1", "-c16", f"-d{seconds}", f"{server.url}/"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def wait_logged(server: ServerProcess, text: str, times: int) -> None:
    """Wait until *text* was logged so often, without stopping the loop and so the load."""
    deadline = time.monotonic() + 2 * IO_TIMEOUT
    while server.log.text.count(text) < times:
        assert time.monotonic() < deadline, server.log.text
        await asyncio.sleep(0.02)


def get(server: ServerProcess, path: str) -> bytes:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    return server.exchange(request.encode())


def body(response: bytes) -> str:
    return response.partition(b"\r\n\r\n")[2].decode()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_gone(pids: list[int], timeout: float = IO_TIMEOUT) -> None:
    deadline = time.monotonic() + timeout
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < deadline, f"still alive: {left}"
        time.sleep(0.02)


@pytest.mark.skipif(WRK is None, reason="wrk is not installed (Debian package wrk)")
@pytest.mark.parametrize("path", ["/", "/slow?0.02"])
def test_sigterm_under_load_loses_nothing(path: str) -> None:
    async def main(server: ServerProcess) -> Load:
        load = Load(server.host, server.port, path=path, reuse=10, may_be_refused=True)
        async with load:
            await load.wait_answered(500)
            server.process.send_signal(signal.SIGTERM)
            await load.wait_refused()
        return load

    with serving(APP, "--workers", "2") as server:
        server.log.wait_for("Serving asgi")
        with wrk(server):
            load = asyncio.run(main(server))
            began = time.monotonic()
            code = server.wait(timeout=25)
            seconds = time.monotonic() - began
    assert load.result.faults == []
    assert load.result.answered >= 500
    assert code == 0, server.log.text
    assert seconds < 25


@pytest.mark.skipif(WRK is None, reason="wrk is not installed (Debian package wrk)")
def test_twenty_reloads_and_a_stop_lose_nothing() -> None:
    async def main(server: ServerProcess) -> Load:
        load = Load(server.host, server.port)
        async with load:
            for number in range(1, 21):
                await load.wait_answered(100)
                server.process.send_signal(signal.SIGHUP)
                await wait_logged(server, "Stopped old worker-", 2 * number)
            await load.wait_answered(100)
            load.may_be_refused = True
            server.process.send_signal(signal.SIGTERM)
            await load.wait_refused()
        return load

    with serving(APP, "--workers", "2", "--respawn-interval", "0") as server:
        server.log.wait_for("Serving asgi")
        with wrk(server, 120):
            load = asyncio.run(main(server))
            assert server.wait() == 0
    result = load.result
    assert result.faults == []
    assert result.retried <= result.answered / 1000, (result.retried, result.answered)
    assert len(result.pids) > 20


def test_idle_connections_do_not_hold_a_stop() -> None:
    with serving(APP) as server, contextlib.ExitStack() as stack:
        server.log.wait_for("Serving asgi")
        for _ in range(500):
            sock = stack.enter_context(server.connect())
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            read_until(sock, b"hello")
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 5  # without a drain timeout; 1 s on an idle machine


def test_a_request_in_flight_is_answered_whole() -> None:
    with serving(APP) as server, server.connect() as sock:
        sock.sendall(b"GET /slow?1.5 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.log.wait_for("slow begins")
        server.process.send_signal(signal.SIGTERM)
        server.log.wait_for("Stopping worker-1")
        answer = read_to_end(sock)
        assert b"connection: close" in answer
        assert answer.endswith(b"slow done")
        assert server.wait() == 0


def test_new_connections_are_refused_while_the_last_requests_are_answered() -> None:
    with serving(APP) as server, server.connect() as sock:
        sock.sendall(b"GET /slow?3 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.log.wait_for("slow begins")
        server.process.send_signal(signal.SIGTERM)
        server.log.wait_for("Stopping worker-1")
        deadline = time.monotonic() + 2.5
        with pytest.raises(ConnectionRefusedError):
            while time.monotonic() < deadline:
                server.connect().close()
        assert read_to_end(sock).endswith(b"slow done")


def test_the_drain_is_bounded() -> None:
    with serving(APP, "--workers-graceful-timeout", "1") as server, server.connect() as sock:
        sock.sendall(b"GET /slow?3600 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.log.wait_for("slow begins")
        assert server.stop(timeout=15) == 0
        assert b"slow done" not in read_to_end(sock)


def test_a_blocked_loop_is_left_by_force() -> None:
    with serving(APP, "--workers-graceful-timeout", "0") as server, server.connect() as sock:
        sock.sendall(b"GET /block?3600 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.log.wait_for("block begins")
        assert server.stop(timeout=20) == 0
        assert "leaving without the application's consent" in server.log.text


def test_kill_timeout_comes_first() -> None:
    with serving(APP, "--workers-kill-timeout", "1") as server, server.connect() as sock:
        sock.sendall(b"GET /block?3600 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.log.wait_for("block begins")
        assert server.stop(timeout=10) == 0
        assert "Killing worker-1" in server.log.text


def test_second_interrupt_stops_at_once() -> None:
    with serving(APP) as server, server.connect() as sock:
        sock.sendall(b"GET /slow?3600 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.log.wait_for("slow begins")
        server.process.send_signal(signal.SIGINT)
        server.log.wait_for("Shutting down granian")
        assert server.stop(signal.SIGINT, timeout=10) == 0
        assert "Stopping at once" in server.log.text


def test_interrupt_of_the_whole_group_is_graceful() -> None:
    with serving(APP, "--workers", "2") as server:
        server.log.wait_for("Serving asgi")
        os.killpg(server.pid, signal.SIGINT)
        assert server.wait() == 0
        assert "Granian shutdown completed, see ya!" in server.log.text


def test_terminate_of_the_whole_group_is_graceful() -> None:
    """As systemd does by default: supervisor and workers get the signal together."""
    with serving(APP, "--workers", "2") as server:
        server.log.wait_for("Serving asgi")
        os.killpg(server.pid, signal.SIGTERM)
        assert server.wait() == 0
        assert "Unexpected exit" not in server.log.text


def test_a_lost_worker_stops_the_server() -> None:
    with serving(APP, "--workers", "2") as server:
        server.log.wait_for("Serving asgi")
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        assert server.wait() == 1
        assert "Unexpected exit from worker-1" in server.log.text


def test_a_lost_worker_is_replaced() -> None:
    with serving(APP, "--respawn-failed-workers") as server:
        server.log.wait_for("Serving asgi")
        (before,) = server.worker_pids()
        began = time.monotonic()
        os.kill(before, signal.SIGKILL)
        server.log.wait_for("(?s)Unexpected exit from worker-1.*Started worker-1")
        assert body(get(server, "/")) == "hello"
        assert time.monotonic() - began < 10
        assert before not in server.worker_pids()  # no zombie either
        assert len(server.worker_pids()) == 1


def test_workers_leave_when_the_supervisor_dies() -> None:
    with serving(APP, "--workers", "2") as server:
        server.log.wait_for("Serving asgi")
        pids = server.worker_pids()
        assert len(pids) == 2
        server.process.kill()
        server.process.wait()
        wait_gone(pids)


def test_workers_can_be_added_and_removed() -> None:
    with serving(APP) as server:
        server.log.wait_for("Serving asgi")
        server.process.send_signal(signal.SIGTTIN)
        server.log.wait_for("Started worker-2")
        assert len(server.worker_pids()) == 2
        server.process.send_signal(signal.SIGTTOU)
        server.log.wait_for("Stopped worker-2")
        server.process.send_signal(signal.SIGTTOU)
        server.log.wait_for("Not removing the last worker")
        assert body(get(server, "/")) == "hello"


def test_max_requests_replaces_the_worker() -> None:
    options = ("--workers-max-requests", "20", "--workers-max-requests-jitter", "0")
    with serving(APP, *options, "--respawn-interval", "0") as server:
        server.log.wait_for("Serving asgi")
        (before,) = server.worker_pids()
        with server.client() as client:
            for _ in range(20):
                client.get("/")
        server.log.wait_for("worker-1 has served its number of requests")
        server.log.wait_for("Stopped old worker-1")
        assert server.worker_pids() != [before]


def test_memory_limit_replaces_the_worker() -> None:
    options = ("--workers-max-rss", "150", "--rss-sample-interval", "1", "--rss-samples", "2")
    with serving(APP, *options) as server:
        server.log.wait_for("Serving asgi")
        (before,) = server.worker_pids()
        get(server, "/leak?200")
        server.log.wait_for("worker-1 is over its memory limit")
        server.log.wait_for("Stopped old worker-1")
        assert before not in server.worker_pids()


def test_dump_shows_stacks_tasks_and_connections() -> None:
    with serving(APP) as server, server.connect() as sock:
        sock.sendall(b"GET /slow?0.7 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.log.wait_for("slow begins")
        server.process.send_signal(signal.SIGUSR1)
        server.log.wait_for("Stacks of worker-1")
        server.log.wait_for("Tasks of worker-1")
        server.log.wait_for("(?s)1 connections, 1 requests.*'GET' '/slow'")
        assert read_until(sock, b"slow done")  # undisturbed


def test_watchdog_dumps_and_replaces_a_blocked_worker() -> None:
    options = ("--workers", "2", "--workers-watchdog-timeout", "2", "--workers-kill-timeout", "2")
    with serving(APP, *options) as server, server.connect() as sock:
        server.log.wait_for("Serving asgi")
        sock.sendall(b"GET /block?60 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.log.wait_for("block begins")
        server.log.wait_for("its event loop is blocked")
        server.log.wait_for("in block")  # the stack
        server.log.wait_for("Started worker-[12]\n(?s:.)*Stopped old worker")
        for _ in range(20):
            assert body(get(server, "/")) == "hello"


def test_slow_boot_under_reload_serves_on() -> None:
    async def main(server: ServerProcess) -> Load:
        load = Load(server.host, server.port)
        async with load:
            await load.wait_answered(50)
            server.process.send_signal(signal.SIGHUP)
            await wait_logged(server, "Stopped old worker-", 2)
            await load.wait_answered(50)
        return load

    options = ("--workers", "2", "--respawn-interval", "0")
    with serving(APP, *options, env={"LIFECYCLE_BOOT_TIME": "2"}) as server:
        server.log.wait_for("Serving asgi")
        assert asyncio.run(main(server)).result.faults == []


def test_endless_responses_end_before_the_deadline() -> None:
    options = ("--workers-graceful-timeout", "3")
    with serving(APP, *options) as server, contextlib.ExitStack() as stack:
        events = stack.enter_context(server.connect())
        events.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        poll = stack.enter_context(server.connect())
        poll.sendall(b"GET /poll HTTP/1.1\r\nHost: x\r\n\r\n")
        server.log.wait_for("events waits")
        server.log.wait_for("poll waits")
        for _ in range(100):
            idle = stack.enter_context(server.connect())
            idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            read_until(idle, b"hello")
        assert server.stop(timeout=10) == 0
        text = server.log.text
        assert text.index("events saw the disconnect") < text.index("lifespan shutdown")
        assert text.index("poll saw the disconnect") < text.index("lifespan shutdown")


def test_accept_queue_is_emptied_at_the_end() -> None:
    """A client that connected before the stop is answered, though nobody had accepted it yet."""
    with serving(APP) as server, contextlib.ExitStack() as stack:
        blocker = stack.enter_context(server.connect())
        blocker.sendall(b"GET /block?1 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.log.wait_for("block begins")
        waiting: list[socket.socket] = []
        for _ in range(20):
            sock = stack.enter_context(server.connect())
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            waiting.append(sock)
        server.process.send_signal(signal.SIGTERM)
        assert read_to_end(blocker).endswith(b"block done")
        for sock in waiting:
            assert read_to_end(sock).endswith(b"hello")
        assert server.wait() == 0

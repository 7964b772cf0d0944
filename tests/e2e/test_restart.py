"""Stopping and reloading under load: nothing accepted is lost, and everybody leaves in time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from granian_cli.machine import CRASH_WINDOW
from tests.e2e.load import Load
from tests.e2e.serving import (
    IO_TIMEOUT,
    ROOT,
    STOP_TIMEOUT,
    TIMEOUT_FACTOR,
    ServerProcess,
    launch,
    need_files,
    read_to_end,
    read_until,
    serving,
)

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


async def wait_logged(server: ServerProcess, text: str, times: int, seconds: float = 30.0) -> None:
    """Wait until *text* was logged so often, without stopping the loop and so the load."""
    deadline = time.monotonic() + seconds * TIMEOUT_FACTOR
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


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_sigterm_in_a_storm_of_connections_resets_none(loop: str) -> None:
    """Connection per request: some are being made at any moment of the stop."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")

    async def main(server: ServerProcess) -> Load:
        load = Load(server.host, server.port, connections=64, reuse=1, may_be_refused=True)
        async with load:
            await load.wait_answered(300)
            server.process.send_signal(signal.SIGTERM)
            await load.wait_refused()
        return load

    for _ in range(5):
        with serving(APP, "--workers", "2", "--loop", loop) as server:
            server.log.wait_for("Serving asgi")
            load = asyncio.run(main(server))
            assert server.wait() == 0
        assert load.result.faults == []
        assert load.result.refused == 64


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
    need_files(1200)
    # A time is what is promised. Nothing in it depends on the machine but its own load, so
    # that one undisturbed stop shows it.
    assert any(seconds_to_stop_with_idle_connections(500) < 1 for _ in range(3))


def seconds_to_stop_with_idle_connections(count: int) -> float:
    with serving(APP) as server, contextlib.ExitStack() as stack:
        server.log.wait_for("Serving asgi")
        idle = [stack.enter_context(server.connect()) for _ in range(count)]
        for sock in idle:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            read_until(sock, b"hello")
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(STOP_TIMEOUT) == 0
        seconds = time.monotonic() - began
        for sock in idle:
            assert sock.recv(1) == b""  # closed, and not reset
        return seconds


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_in_flight_is_answered_whole(workers: str) -> None:
    with serving(APP, "--workers", workers) as server, server.connect() as sock:
        sock.sendall(b"GET /slow?3 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.log.wait_for("slow begins")
        server.process.send_signal(signal.SIGTERM)
        server.log.wait_for("Stopping worker-1")
        answer = read_to_end(sock)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer
        assert answer.endswith(b"\r\n\r\nslow done")
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
        seconds = []
        for number in range(3):
            (before,) = server.worker_pids()
            began = time.monotonic()
            os.kill(before, signal.SIGKILL)
            assert body(get(server, "/")) == "hello"  # waits in the queue for the successor
            seconds.append(time.monotonic() - began)
            assert server.worker_pids() != [before]
            assert len(server.worker_pids()) == 1
            assert server.zombies() == []
            if min(seconds) < 2 or number == 2:
                break
            time.sleep(CRASH_WINDOW)  # the next one is no crash loop
        assert min(seconds) < 2
    assert not server.group_exists()


def test_a_lost_worker_costs_the_others_nothing() -> None:
    async def main(server: ServerProcess) -> Load:
        load = Load(server.host, server.port, path="/slow?0.01")
        async with load:
            await load.wait_answered(50)
            os.kill(server.worker_pids()[0], signal.SIGKILL)
            await wait_logged(server, "Started worker-", 3)
            await load.wait_answered(50)
        return load

    with serving(APP, "--workers", "2", "--respawn-failed-workers") as server:
        server.log.wait_for("Serving asgi")
        result = asyncio.run(main(server)).result
        # What the killed worker had accepted is lost; nobody was refused or left waiting.
        assert len(result.faults) + result.retried <= 16
        assert result.refused == 0
        assert [fault for fault in result.faults if "in time" in fault] == []
        assert len(server.worker_pids()) == 2
        assert server.zombies() == []


def test_workers_that_are_lost_again_and_again_are_respawned_with_a_delay() -> None:
    with serving(APP, "--respawn-failed-workers") as server:
        server.log.wait_for("Serving asgi")
        for delay in ("Respawning worker-1\n", "in 1 s", "in 2 s"):
            (pid,) = server.worker_pids()
            os.kill(pid, signal.SIGKILL)
            server.log.wait_for(delay)
            assert body(get(server, "/")) == "hello"


GIVING_UP = """
from granian_cli import machine
from granian_cli.main import entrypoint

machine.UNREADY_LIMIT = 2.0
entrypoint()
"""


def test_a_crash_loop_ends_the_server(tmp_path: Path) -> None:
    script, broken = tmp_path / "giving_up.py", tmp_path / "broken"
    script.write_text(GIVING_UP, encoding="utf-8")
    server = launch(
        APP,
        "--respawn-failed-workers",
        env={"LIFECYCLE_BROKEN": str(broken), "PYTHONPATH": str(ROOT)},
        command=(sys.executable, str(script)),
    )
    try:
        server.log.wait_for("Serving asgi")
        broken.write_text("exit", encoding="utf-8")
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        server.log.wait_for("Respawning worker-1 in 1 s")
        assert server.wait() == 1
        assert "Worker crash loop detected, exiting" in server.log.text
        assert not server.group_exists()
    finally:
        server.kill()


def test_startup_has_its_own_budget() -> None:
    environ = {"LIFECYCLE_BOOT_TIME": "3600"}
    server = launch(APP, "--workers-startup-timeout", "1", env=environ)
    try:
        assert server.wait() == 1
        (line,) = [line for line in server.log.text.splitlines() if line.startswith("Error")]
        assert line == "Error: worker-1 was not ready in time"
        assert not server.group_exists()
    finally:
        server.kill()


def test_workers_leave_when_the_supervisor_dies() -> None:
    with serving(APP, "--workers", "2") as server, server.connect() as sock:
        server.log.wait_for("Serving asgi")
        pids = server.worker_pids()
        assert len(pids) == 2
        sock.sendall(b"GET /slow?1 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.log.wait_for("slow begins")
        server.process.kill()
        server.process.wait()
        assert read_to_end(sock).endswith(b"slow done")
        wait_gone(pids)
        with pytest.raises(ConnectionRefusedError):
            server.connect()


def test_reserved_signal_does_nothing() -> None:
    with serving(APP) as server:
        server.log.wait_for("Serving asgi")
        pids = server.worker_pids()
        server.process.send_signal(signal.SIGUSR2)
        assert body(get(server, "/")) == "hello"
        assert server.worker_pids() == pids


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
    """The other worker serves all the while: a client that probes sees nothing of it."""

    async def main(server: ServerProcess, blocked: int) -> Load:
        # The loop of the blocked worker accepts nobody: all of these go to the other one,
        # and later to the successor.
        load = Load(server.host, server.port, reuse=5)
        async with load:
            await load.wait_answered(50)
            await wait_logged(server, "its event loop is blocked", 1)
            await wait_logged(server, "in block", 1)  # the stack
            await wait_logged(server, "Stopped old worker", 1)
            await load.wait_workers(2)
            await load.wait_answered(50)
        assert not alive(blocked)
        assert str(blocked) not in load.result.pids
        return load

    options = ("--workers", "2", "--workers-watchdog-timeout", "2", "--workers-kill-timeout", "2")
    with serving(APP, *options) as server, server.connect() as sock:
        server.log.wait_for("Serving asgi")
        sock.sendall(b"GET /block?60 HTTP/1.1\r\nHost: x\r\n\r\n")
        blocked = int(server.log.wait_for(r"block begins in (\d+)")[1])
        result = asyncio.run(main(server, blocked)).result
        assert result.faults == []
        assert result.retried == 0
        assert len(result.pids) == 2
        assert len(server.worker_pids()) == 2


def test_slow_boot_under_reload_serves_on() -> None:
    async def main(server: ServerProcess) -> Load:
        load = Load(server.host, server.port)
        async with load:
            await load.wait_workers(2)
            server.process.send_signal(signal.SIGHUP)
            await wait_logged(server, "Stopped old worker-", 2, seconds=90)
            await load.wait_workers(4)
            await load.wait_answered(50)
        return load

    options = ("--workers", "2", "--respawn-interval", "0")
    with serving(APP, *options, env={"LIFECYCLE_BOOT_TIME": "10"}) as server:
        server.log.wait_for("Serving asgi")
        result = asyncio.run(main(server)).result
    assert result.faults == []
    assert result.retried <= result.answered / 1000, (result.retried, result.answered)
    assert len(result.pids) == 4


@pytest.mark.parametrize("fault", ["import", "lifespan", "exit", "hang"])
def test_a_second_boot_that_fails_leaves_the_service_up(fault: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"

    async def main(server: ServerProcess) -> Load:
        load = Load(server.host, server.port)
        async with load:
            await load.wait_answered(50)
            broken.write_text(fault, encoding="utf-8")
            server.process.send_signal(signal.SIGHUP)
            await wait_logged(server, "failed to start (the old one keeps serving)", 1)
            await load.wait_answered(50)
            assert len(load.result.pids) <= 2  # nobody new has served
            broken.unlink()
            server.process.send_signal(signal.SIGHUP)
            await wait_logged(server, "Stopped old worker-", 2)
            await load.wait_answered(50)
        return load

    options = ("--workers", "2", "--respawn-interval", "0", "--workers-startup-timeout", "2")
    with serving(APP, *options, env={"LIFECYCLE_BROKEN": str(broken)}) as server:
        server.log.wait_for("Serving asgi")
        result = asyncio.run(main(server)).result
    assert result.faults == []
    assert result.retried <= result.answered / 1000, (result.retried, result.answered)


def test_reload_on_save_under_load(tmp_path: Path) -> None:
    """New code serves, broken code does not, and no request is lost."""
    pytest.importorskip("watchfiles")
    module = tmp_path / "saved.py"

    def save(text: str) -> None:
        module.write_text(
            f"from tests.e2e.apps.lifecycle import answer, lifespan\n"
            f"async def app(scope, receive, send):\n"
            f"    if scope['type'] == 'lifespan':\n"
            f"        return await lifespan(receive, send)\n"
            f"    await answer(send, {text})\n",
            encoding="utf-8",
        )

    async def main(server: ServerProcess) -> Load:
        load = Load(server.host, server.port)
        async with load:
            for number in range(1, 4):
                await load.wait_answered(50)
                save(f"'version {number}'")
                await wait_logged(server, "Stopped old worker-", 2 * number)
                assert await asyncio.to_thread(lambda: body(get(server, "/"))) == (
                    f"version {number}"
                )
            save("('broken'")
            await wait_logged(server, "failed to start (the old one keeps serving)", 1)
            await load.wait_answered(50)
            assert await asyncio.to_thread(lambda: body(get(server, "/"))) == "version 3"
            save("'mended'")
            await wait_logged(server, "Stopped old worker-", 8)
            assert await asyncio.to_thread(lambda: body(get(server, "/"))) == "mended"
        return load

    save("'version 0'")
    paths = ("--reload-paths", str(tmp_path), "--working-dir", str(tmp_path))
    environ = {"PYTHONDONTWRITEBYTECODE": "1"}
    with serving("saved:app", "--workers", "2", "--reload", *paths, env=environ) as server:
        server.log.wait_for("Serving asgi")
        result = asyncio.run(main(server)).result
        text = server.log.text
    assert "SyntaxError" in text
    assert f'File "{module}", line 5' in text
    assert result.faults == []
    assert result.retried <= result.answered / 1000, (result.retried, result.answered)


def test_endless_responses_are_told_at_once_and_the_others_at_the_deadline() -> None:
    options = ("--workers-graceful-timeout", "3")
    with serving(APP, *options) as server, contextlib.ExitStack() as stack:
        events, poll, slow = (stack.enter_context(server.connect()) for _ in range(3))
        events.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        poll.sendall(b"GET /poll HTTP/1.1\r\nHost: x\r\n\r\n")
        slow.sendall(b"GET /slow?2 HTTP/1.1\r\nHost: x\r\n\r\n")
        for name in ("events waits", "poll waits", "slow begins"):
            server.log.wait_for(name)
        for _ in range(100):
            idle = stack.enter_context(server.connect())
            idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            read_until(idle, b"hello")
        server.process.send_signal(signal.SIGTERM)
        # The event stream ends for its client, and whole, while others are still being answered.
        assert read_to_end(events).endswith(b"data: hello\n\n\r\n0\r\n\r\n")
        assert "slow ends" not in server.log.text
        assert read_to_end(slow).endswith(b"slow done")
        assert server.wait(timeout=10) == 0
        text = server.log.text
        order = ("events saw", "slow ends", "poll saw", "lifespan shutdown")
        places = [text.index(name) for name in order]
        assert places == sorted(places)


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

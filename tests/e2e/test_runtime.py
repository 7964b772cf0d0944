"""What shapes concurrency, at the command: permits, threads and their names, descriptors, loops."""

from __future__ import annotations

import contextlib
import re
import select
import signal
import socket
import sys
import time
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from tests.e2e.serving import (
    IO_TIMEOUT,
    ROOT,
    ServerProcess,
    launch,
    need_files,
    read_until,
    serving,
)

LIFECYCLE = "tests.e2e.apps.lifecycle:app"
ECHO = "tests.e2e.apps.soak:app"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def wait_table(server: ServerProcess, connections: int, requests: int) -> None:
    """Wait until the worker's dump shows so many connections and requests in progress."""
    deadline = time.monotonic() + IO_TIMEOUT
    wanted = f"{connections} connections, {requests} requests"
    while True:
        before = server.log.text.count(" connections, ")
        server.process.send_signal(signal.SIGUSR1)
        server.log.wait_for(rf"(?s)(?: connections, .*){{{before + 1}}}")
        if re.findall(r"\d+ connections, \d+ requests", server.log.text)[-1] == wanted:
            return
        assert time.monotonic() < deadline, f"{wanted}\n{server.log.text}"
        time.sleep(0.05)


def begin_upload(server: ServerProcess) -> socket.socket:
    """Return a connection with a request that lasts until its body comes."""
    sock = server.connect()
    sock.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
    return sock


def test_idle_clients_hold_no_permit_and_a_new_one_waits_its_turn() -> None:
    """`--backpressure 8`: 100 idle clients, 8 long requests; one of them ends."""
    need_files(1024)
    with serving(ECHO, "--backpressure", "8") as server, contextlib.ExitStack() as stack:
        server.log.wait_for("Serving asgi")
        idle = [stack.enter_context(server.connect()) for _ in range(100)]
        for sock in idle:
            sock.sendall(GET)
        for sock in idle:
            read_until(sock, b"hello")
        uploads = [stack.enter_context(begin_upload(server)) for _ in range(8)]
        wait_table(server, 108, 8)
        newcomer = stack.enter_context(server.connect())  # by the kernel, for the time being
        newcomer.sendall(GET)
        idle[0].sendall(GET)
        wait_table(server, 108, 8)
        assert select.select([newcomer, *idle], [], [], 0)[0] == []  # not answered, not refused
        uploads[0].sendall(b"abcd")
        read_until(uploads[0], b"abcd")
        read_until(newcomer, b"hello")
        read_until(idle[0], b"hello")
        for sock in uploads[1:]:
            sock.sendall(b"abcd")
            read_until(sock, b"abcd")


def test_streams_of_one_connection_share_the_permits() -> None:
    """`--backpressure 8` over HTTP/2: more streams wait, and are answered in the end."""
    with serving(ECHO, "--backpressure", "8") as server, server.connect() as sock:
        server.log.wait_for("Serving asgi")
        config = h2.config.H2Configuration(client_side=True)
        client = h2.connection.H2Connection(config)
        client.initiate_connection()
        streams = range(1, 41, 2)
        for stream in streams:
            head = {":method": "POST", ":scheme": "http", ":authority": "x", ":path": "/echo"}
            client.send_headers(stream, list(head.items()))
        sock.sendall(client.data_to_send())
        wait_table(server, 1, 8)
        for stream in streams:
            client.send_data(stream, b"abcd", end_stream=True)
        sock.sendall(client.data_to_send())
        answered: set[int] = set()
        while len(answered) < len(streams):
            data = sock.recv(65536)
            assert data, "closed before every stream was answered"
            for event in client.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    answered.add(event.stream_id)
            sock.sendall(client.data_to_send())


@LINUX
def test_pool_threads_are_named_for_the_system() -> None:
    """Those of `--blocking-threads`, as `ps -T` shows them."""
    app = "tests.e2e.apps.wsgi_raw:together"
    options = ("--blocking-threads", "3")
    with serving(app, *options, interface="wsgi") as server, contextlib.ExitStack() as stack:
        server.log.wait_for("Serving wsgi")
        for _ in range(3):
            sock = stack.enter_context(server.connect())
            sock.sendall(b"GET /3 HTTP/1.1\r\nHost: x\r\n\r\n")
        read_until(sock, b"together")
        (worker,) = server.worker_pids()
        names = [path.read_text() for path in Path(f"/proc/{worker}/task").glob("*/comm")]
        assert {"granian-pool-1\n", "granian-pool-2\n", "granian-pool-3\n"} <= set(names)


@LINUX
def test_workers_raise_their_limit_of_open_files() -> None:
    command = ("sh", "-c", 'ulimit -Sn 200; exec "$@"', "sh", sys.executable, "-m", "granian")
    server = launch(LIFECYCLE, command=command)
    try:
        server.wait_ready()
        server.log.wait_for("Serving asgi")
        pids = [server.pid, *server.worker_pids()]
        main, worker = (Path(f"/proc/{pid}/limits").read_text(encoding="ascii") for pid in pids)
        pattern = re.compile(r"Max open files +(\d+) +(\d+)")
        soft, hard = pattern.search(main).groups()  # type: ignore[union-attr]
        assert soft == "200"  # what the supervisor starts has what it was given
        assert pattern.search(worker).groups() == (hard, hard)  # type: ignore[union-attr]
        assert server.stop() == 0
    finally:
        server.kill()


@pytest.mark.parametrize("loop", ["rloop", "winloop"])
def test_loops_that_few_have(loop: str) -> None:
    """The words of `--loop` that no extra of ours brings by default."""
    pytest.importorskip(loop)
    with serving(LIFECYCLE, "--loop", loop) as server:
        server.log.wait_for(f"with 1 worker on {loop} ")
        with server.connect() as sock:
            sock.sendall(GET)
            read_until(sock, b"hello")


OWN_LOOP = """
import asyncio
from granian import Granian, loops

class Mine(asyncio.SelectorEventLoop):
    pass

@loops.register("mine", packages=["json"])
def build(json):
    print("built with", json.__name__, flush=True)
    loop = Mine()
    asyncio.set_event_loop(loop)
    return loop

if __name__ == "__main__":
    Granian("tests.e2e.apps.lifecycle:app", port=0, interface="asgi", loop="mine").serve()
"""


def test_loop_of_a_program_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(OWN_LOOP, encoding="utf-8")
    command = (sys.executable, str(script))
    server = launch(LIFECYCLE, command=command, env={"PYTHONPATH": str(ROOT)})
    try:
        server.wait_ready()
        server.log.wait_for("(?s)built with json.*with 1 worker on __m")
        assert server.stop() == 0
    finally:
        server.kill()

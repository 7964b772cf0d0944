"""Options do something: each is given to a real command, and what changes is looked at.

`--host`, files, names and signals are in test_command.py, stopping and replacing in
test_restart.py; here is what else there is. The table in docs/options.md has to say the same
as the command, and every option that it calls done must be named by some test.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from granian_cli.config import option_specs
from scripts import write_options
from tests.core.websocket.wire import TEXT, frame, handshake, server_frames
from tests.e2e.load import Load
from tests.e2e.serving import (
    IO_TIMEOUT,
    ROOT,
    ServerProcess,
    launch,
    read_to_end,
    read_until,
    serving,
)

APP = "tests.e2e.apps.lifecycle:app"
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


def request(path: str = "/") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


# -- the table ---------------------------------------------------------------------------------


def test_the_table_says_what_the_command_says() -> None:
    page = write_options.PAGE.read_text(encoding="utf-8")
    assert page == write_options.updated(page), "run python scripts/write_options.py"


def test_every_option_of_granian_is_in_the_table() -> None:
    named = {row.flag for row in write_options.rows()}
    assert named >= set(write_options.GRANIAN)


def test_an_option_is_done_exactly_when_the_command_has_it() -> None:
    done = {row.flag for row in write_options.rows() if row.status == "done"}
    assert done == {spec.flag for spec in option_specs()}


@pytest.mark.parametrize("flag", [row.flag for row in write_options.rows() if row.status == "done"])
def test_a_done_option_is_named_by_a_test(flag: str) -> None:
    word = re.compile(rf"(?<![\w-])--(?:no-)?{flag.removeprefix('--')}(?![\w-])")
    tests = (ROOT / "tests").rglob("test_*.py")
    assert any(word.search(path.read_text(encoding="utf-8")) for path in tests)


def test_every_setting_is_read_somewhere() -> None:
    """Parsed and ignored is what no option may be."""
    sources = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "packages").glob("*/src/**/*.py")
    )
    unread = [
        spec.flag
        for spec in option_specs()
        if not re.search(rf"\.{spec.field}\b(?!\s*=[^=])", sources)
    ]
    assert unread == []


# -- HTTP/1 and limits ---------------------------------------------------------------------------


def test_header_read_timeout() -> None:
    with serving(APP, "--http1-header-read-timeout", "300") as server, server.connect() as sock:
        sock.sendall(HEAD)
        assert read_to_end(sock).startswith(b"HTTP/1.1 408 ")


def test_no_keep_alive() -> None:
    with serving(APP, "--no-http1-keep-alive") as server, server.connect() as sock:
        sock.sendall(request())
        assert b"\r\nconnection: close\r\n" in read_to_end(sock)


def test_keep_alive_timeout() -> None:
    options = ("--http1-keep-alive-timeout", "0.3")
    with serving(APP, *options) as server, server.connect() as sock:
        sock.sendall(request())
        answer = read_to_end(sock)  # ends, though nobody asked for it
        assert answer.endswith(b"hello")
        assert b"connection: close" not in answer


@pytest.mark.parametrize(
    ("options", "head", "status"),
    [
        (("--http1-buffer-size", "8192"), b"X-Long: " + b"a" * 8192 + b"\r\n", b"431"),
        (("--http1-max-fields", "10"), b"".join(b"X-%d: a\r\n" % i for i in range(10)), b"431"),
        (("--max-body-size", "10"), b"Content-Length: 11\r\n", b"413"),
    ],
    ids=["--http1-buffer-size", "--http1-max-fields", "--max-body-size"],
)
@pytest.mark.parametrize("limited", [True, False])
def test_limit_of_a_head(
    options: tuple[str, str], head: bytes, status: bytes, limited: bool
) -> None:
    with serving(APP, *(options if limited else ())) as server, server.connect() as sock:
        sock.sendall(HEAD + head + b"Connection: close\r\n\r\n" + b"a" * 11)
        expected = status if limited else b"200"
        assert read_to_end(sock).startswith(b"HTTP/1.1 %b " % expected)


@pytest.mark.parametrize(("limit", "status"), [("256", b"414"), ("8190", b"200")])
def test_request_line_limit(limit: str, status: bytes) -> None:
    line = b"GET /?%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % (b"a" * 300)
    with serving(APP, "--request-line-limit", limit) as server:
        assert server.exchange(line).startswith(b"HTTP/1.1 %b " % status)


def test_body_idle_timeout() -> None:
    with serving(APP, "--body-idle-timeout", "0.3") as server, server.connect() as sock:
        sock.sendall(b"POST /poll HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        assert read_to_end(sock).startswith(b"HTTP/1.1 408 ")


IMPATIENT = """
from granian_cli.main import entrypoint
from granian_core.settings import Limits

Limits.__init__.__kwdefaults__["body_min_rate_grace"] = 0.3
entrypoint()
"""


@pytest.mark.parametrize("rate", ["1000000", "0"])
def test_body_min_rate(rate: str, tmp_path: Path) -> None:
    """The waiting time has no option; the test shortens it."""
    script = tmp_path / "impatient.py"
    script.write_text(IMPATIENT, encoding="utf-8")
    command = (sys.executable, str(script))
    environ = {"PYTHONPATH": str(ROOT)}
    server = launch(APP, "--body-min-rate", rate, command=command, env=environ)
    try:
        server.wait_ready()
        with server.connect() as sock:
            sock.setblocking(False)
            sock.sendall(b"POST /poll HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
            answered = False
            for _ in range(30):  # a trickle, of which no piece is late
                with contextlib.suppress(OSError):
                    sock.send(b"a")
                if select.select([sock], [], [], 0.1)[0]:
                    answered = True
                    break
            if rate == "0":
                assert not answered
            else:
                assert sock.recv(20).startswith(b"HTTP/1.1 408 ")
        assert server.stop() == 0
    finally:
        server.kill()


def test_write_timeout() -> None:
    with serving(APP, "--write-timeout", "0.3") as server, server.connect() as sock:
        sock.sendall(request("/large?64"))  # MiB, more than the kernel takes on the way
        server.log.wait_for("large begins")
        wait_connections(server, 0)  # though nothing was read
        assert len(read_to_end(sock)) < 64 << 20


def wait_connections(server: ServerProcess, count: int) -> None:
    """Wait until the worker's dump shows so many connections."""
    deadline = time.monotonic() + IO_TIMEOUT
    while True:
        dumps = server.log.text.count(" connections, ")
        server.process.send_signal(signal.SIGUSR1)
        server.log.wait_for(rf"(?s)(?:\d+ connections, .*){{{dumps + 1}}}")
        if re.findall(r"(\d+) connections, ", server.log.text)[-1] == str(count):
            return
        assert time.monotonic() < deadline, server.log.text
        time.sleep(0.1)


def test_max_connections() -> None:
    with serving(APP, "--max-connections", "2") as server, contextlib.ExitStack() as stack:
        idle = []
        # The last one waits until another has been idle for long enough to make room.
        for _ in range(4):
            idle.append(stack.enter_context(server.connect()))
            idle[-1].sendall(request())
            read_until(idle[-1], b"hello")
        assert idle[0].recv(1) == b""  # the one that has been idle for longest
        for sock in idle[-2:]:
            sock.sendall(request())
            read_until(sock, b"hello")


def test_backpressure() -> None:
    with serving(APP, "--backpressure", "1") as server, contextlib.ExitStack() as stack:
        socks = [stack.enter_context(server.connect()) for _ in range(3)]
        for sock in socks:
            sock.sendall(request("/slow?0.2"))
        for sock in socks:
            read_until(sock, b"slow done")
        server.log.wait_for("(?s)(?:slow ends.*){3}")
        words = re.findall("slow (begins|ends)", server.log.text)
        assert words == ["begins", "ends"] * 3  # one at a time


def test_pipeline_flush() -> None:
    """Answers to requests that came together leave together."""
    with serving(APP, "--http1-pipeline-flush") as server, server.connect() as sock:
        sock.sendall(request() * 10)
        assert sock.recv(65536).count(b"hello") == 10


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_http1_engine(engine: str) -> None:
    with serving(APP, "--http1-engine", engine) as server, server.connect() as sock:
        sock.sendall(request("/engine"))
        assert read_until(sock, b"Engine").endswith(f"{engine.title()}Engine".encode())


def test_http_1_knows_no_other_version() -> None:
    with serving(APP, "--http", "1") as server:
        answer = server.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert re.match(rb"HTTP/1\.1 (?:400|505) ", answer)


# -- runtime -------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="counts on the accept queue of Linux")
@pytest.mark.parametrize(("backlog", "most"), [("128", 130), ("512", 514)])
def test_backlog(backlog: str, most: int) -> None:
    """While the loop is blocked, the kernel completes so many connections and no more."""
    system = int(Path("/proc/sys/net/core/somaxconn").read_text(encoding="ascii"))
    if system < int(backlog):
        pytest.skip(f"net.core.somaxconn is {system}")
    with serving(APP, "--backlog", backlog) as server, contextlib.ExitStack() as stack:
        blocker = stack.enter_context(server.connect())
        blocker.sendall(request("/block?1"))
        server.log.wait_for("block begins")
        waiting = []
        for _ in range(300):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex((server.host, server.port))
            waiting.append(sock)
        connected = select.select([], waiting, [], 0)[1]
        assert len(connected) in range(min(int(backlog), 300), min(most, 300) + 1)


def test_task_impl() -> None:
    with serving(APP, "--task-impl", "rust") as server, server.connect() as sock:
        sock.sendall(request())
        read_until(sock, b"hello")
        old = "task implementation 'rust' needs CPython 3.12; using plain tasks"
        if sys.version_info < (3, 12):
            server.log.wait_for(old)
        else:
            assert old not in server.log.text


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_blocking_threads_and_their_idle_timeout() -> None:
    options = ("--blocking-threads", "4", "--blocking-threads-idle-timeout", "5")
    app = "tests.e2e.apps.wsgi_raw:together"
    with serving(app, *options, interface="wsgi") as server, contextlib.ExitStack() as stack:
        server.log.wait_for("Serving wsgi")
        (worker,) = server.worker_pids()
        before = threads(worker)
        for _ in range(4):
            sock = stack.enter_context(server.connect())
            sock.sendall(request("/4"))
        assert b"together" in read_until(sock, b"together")
        assert threads(worker) >= before + 3
        deadline = time.monotonic() + 5 + IO_TIMEOUT
        while threads(worker) > before + 1:  # the first one stays
            assert time.monotonic() < deadline
            time.sleep(0.1)


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def test_many_blocking_threads_are_a_warning_and_the_default_is_none() -> None:
    app = "tests.e2e.apps.wsgi_raw:environ"
    with serving(app, "--blocking-threads", "2000", interface="wsgi") as server:
        server.log.wait_for(r"\[WARNING\] 2000 blocking threads on \d+ CPUs")
    with serving(app, interface="wsgi") as server:
        server.log.wait_for("Serving wsgi")
        assert "WARNING" not in server.log.text


def test_many_workers_are_a_warning() -> None:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert count is not None
    with serving(APP, "--workers", str(count + 1)) as server:
        server.log.wait_for(rf"\[WARNING\] More workers \({count + 1}\) than CPUs \({count}\)")


def test_interface_option_that_nobody_knows() -> None:
    server = launch(APP, "--interface-option", "colour=red")
    try:
        assert server.wait() == 1
        assert re.search(r"(?m)^Error: .*colour", server.log.text)
    finally:
        server.kill()


@pytest.mark.parametrize(("level", "shown"), [("info", True), ("WARNING", False)])
def test_log_level(level: str, shown: bool, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with serving(APP, "--log-level", level, uds=path) as server:
        server.exchange(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert ("[INFO]" in server.log.text) == shown


# -- processes ------------------------------------------------------------------------------------

SHORT_LIVED = """
from granian_cli.main import entrypoint
from granian_cli.supervisor import Supervisor

draw = Supervisor._draw_lifetime
Supervisor._draw_lifetime = lambda self: draw(self) / 60
entrypoint()
"""


def test_lifetime_with_jitter_under_load(tmp_path: Path) -> None:
    """A minute is the shortest lifetime; here it is a second."""

    async def main(server: ServerProcess) -> Load:
        load = Load(server.host, server.port)
        async with load:
            deadline = time.monotonic() + 4 * IO_TIMEOUT
            while server.log.text.count("Stopped old worker") < 4:
                assert time.monotonic() < deadline, server.log.text
                await load.wait_answered(50)
        return load

    script = tmp_path / "short_lived.py"
    script.write_text(SHORT_LIVED, encoding="utf-8")
    command = (sys.executable, str(script))
    options = ("--workers-lifetime", "60", "--workers-lifetime-jitter", "30s", "--workers", "2")
    server = launch(
        APP,
        *options,
        "--respawn-interval",
        "0.1",
        command=command,
        env={"PYTHONPATH": str(ROOT)},
    )
    try:
        server.wait_ready()
        server.log.wait_for("Serving asgi")
        result = asyncio.run(main(server)).result
        assert server.stop() == 0
        text = server.log.text
    finally:
        server.kill()
    for number in (1, 2):
        assert f"worker-{number} has reached its lifetime" in text
    assert result.faults == []
    assert one_at_a_time(text)


def test_max_requests_with_jitter_under_load() -> None:
    async def main(server: ServerProcess) -> Load:
        load = Load(server.host, server.port, reuse=5)
        async with load:
            deadline = time.monotonic() + 4 * IO_TIMEOUT
            while server.log.text.count("Stopped old worker") < 4:
                assert time.monotonic() < deadline, server.log.text
                await load.wait_answered(50)
        return load

    options = ("--workers-max-requests", "300", "--workers-max-requests-jitter", "300")
    with serving(APP, *options, "--workers", "2", "--respawn-interval", "0") as server:
        server.log.wait_for("Serving asgi")
        result = asyncio.run(main(server)).result
        text = server.log.text
    assert "has served its number of requests" in text
    assert result.faults == []
    assert one_at_a_time(text)


def one_at_a_time(text: str) -> bool:
    """Whether each replacement was over before the next one began."""
    steps = re.findall(r"(Respawning|Stopped old) worker-\d", text)
    return all(step != following for step, following in itertools.pairwise(steps))


def test_reload_ignores_what_it_is_told_to(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    for name in ("skipped", "big"):
        (tmp_path / name).mkdir()
    options = (
        *("--reload", "--reload-paths", str(tmp_path), "--reload-tick", "100"),
        *("--reload-ignore-dirs", "skipped", "--reload-ignore-patterns", r".*\.tmp$"),
        *("--reload-ignore-paths", str(tmp_path / "big")),
    )
    with serving(APP, *options) as server:
        server.log.wait_for("Serving asgi")
        touch(server, tmp_path / "first.txt")  # the watcher watches by now
        for name in ("skipped/x.py", "x.tmp", "big/x.py"):
            (tmp_path / name).write_text("x", encoding="utf-8")
        server.log.wait_for("Stopped old worker-1")
        touch(server, tmp_path / "last.txt")
        server.log.wait_for("(?s)Stopped old worker-1.*Stopped old worker-1")
        named = set(re.findall(r"(?:Added|Modified): (\S+)", server.log.text))
    assert {Path(name).name for name in named} == {"first.txt", "last.txt"}


def touch(server: ServerProcess, path: Path) -> None:
    """Change a file until the server has noticed."""
    deadline = time.monotonic() + IO_TIMEOUT
    while str(path) not in server.log.text:
        assert time.monotonic() < deadline, server.log.text
        path.write_text(f"{time.monotonic()}", encoding="utf-8")
        time.sleep(0.5)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_script(shell: str) -> None:
    environ = {**os.environ, "_GRANIAN_COMPLETE": f"{shell}_source"}
    done = subprocess.run(
        [sys.executable, "-m", "granian"], env=environ, cwd=ROOT, capture_output=True, check=True
    )
    assert f"_GRANIAN_COMPLETE={shell}_complete".encode() in done.stdout


@pytest.mark.parametrize(
    ("choice", "engine"),
    [("auto", "FastEngine"), ("fast", "FastEngine"), ("reference", "ReferenceEngine")],
)
def test_websocket_engine(choice: str, engine: str) -> None:
    """Both behave alike, so the application looks for the object."""
    with (
        serving("tests.e2e.apps.websocket_raw:asgi", "--ws-engine", choice) as server,
        server.connect() as sock,
    ):
        sock.sendall(handshake())
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        sock.sendall(frame(TEXT, b"engine"))
        assert server_frames(sock.recv(100)) == [(TEXT, engine.encode())]

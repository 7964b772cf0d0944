"""Workers that are threads: forced here with the GIL, and real on free-threaded Python."""

from __future__ import annotations

import asyncio
import glob
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.load import Load
from tests.e2e.serving import IO_TIMEOUT, ROOT, ServerProcess, launch, read_until, serving

APP = "tests.e2e.apps.lifecycle:app"
THREADS = {"GRANIAN_WORKERS_AS": "threads"}
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def body(server: ServerProcess, path: str = "/") -> str:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    return server.exchange(request.encode()).partition(b"\r\n\r\n")[2].decode()


def held(server: ServerProcess) -> tuple[int, int]:
    """Return how many threads and descriptors the process has."""
    process = Path(f"/proc/{server.pid}")
    return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))


def wait_held(server: ServerProcess, most: tuple[int, int]) -> None:
    """Wait until the process has no more threads and descriptors than that."""
    deadline = time.monotonic() + IO_TIMEOUT
    while any(now > limit for now, limit in zip(held(server), most, strict=True)):
        assert time.monotonic() < deadline, (held(server), most)
        time.sleep(0.05)


@LINUX
@pytest.mark.parametrize(
    ("loop", "io_threads"), [("asyncio", "1"), ("uvloop", "1"), ("asyncio", "2")]
)
def test_reloads_and_the_stop_under_load_lose_nothing_and_leave_nothing(
    loop: str, io_threads: str
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")

    async def main(server: ServerProcess) -> Load:
        load = Load(server.host, server.port, reuse=10, may_be_refused=True)
        async with load:
            for reloads in (1, 2):
                await load.wait_answered(100)
                server.process.send_signal(signal.SIGHUP)
                deadline = time.monotonic() + 2 * IO_TIMEOUT
                while server.log.text.count("Stopped old worker") < 2 * reloads:
                    assert time.monotonic() < deadline, server.log.text
                    await asyncio.sleep(0.02)
            server.process.send_signal(signal.SIGTERM)
            await load.wait_refused()
        return load

    options = ("--workers", "2", "--respawn-interval", "0", "--loop", loop)
    options += ("--runtime-threads", io_threads)
    with serving(APP, *options, env=THREADS) as server:
        server.log.wait_for(r"Serving asgi .* with 2 workers on \w+ \(TIDs: \d+, \d+\)")
        assert server.worker_pids() == []  # no process but one
        names = [task.read_text() for task in Path(f"/proc/{server.pid}/task").glob("*/comm")]
        if _has_setproctitle():
            assert {"worker-1\n", "worker-2\n"} <= set(names)
        assert body(server) == "hello"
        before = held(server)
        with server.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            read_until(sock, b"hello")
        server.process.send_signal(signal.SIGHUP)  # one that nothing else hides
        server.log.wait_for("(?s)Stopped old worker-1.*Stopped old worker-2")
        wait_held(server, before)
        server.log.wait_for("they keep the application that is loaded")
    with serving(APP, *options, env=THREADS) as server:
        server.log.wait_for("Serving asgi")
        load = asyncio.run(main(server))
        assert server.wait() == 0
        assert len(re.findall("lifespan shutdown", server.log.text)) == 6  # each has its own
    assert load.result.faults == []


def _has_setproctitle() -> bool:
    try:
        import setproctitle  # noqa: F401
    except ImportError:
        return False
    return True


def test_wsgi_is_told_that_there_is_one_process(tmp_path: Path) -> None:
    """And all the threads have imported the application once."""
    (tmp_path / "told.py").write_text(
        "print('imported', flush=True)\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    words = [environ['wsgi.multiprocess'], environ['wsgi.multithread']]\n"
        "    return [repr(words).encode()]\n",
        encoding="utf-8",
    )
    options = ("--workers", "3", "--working-dir", str(tmp_path))
    with serving("told:app", *options, interface="wsgi", env=THREADS) as server:
        server.log.wait_for("Serving wsgi")
        assert body(server) == "[False, True]"
        assert server.log.text.count("imported") == 1


def test_a_worker_that_hangs_is_replaced_and_left_behind() -> None:
    """The watchdog sees it, its successor serves; neither reload nor stop waits for it."""
    options = ("--workers-watchdog-timeout", "1", "--workers-graceful-timeout", "0")
    with serving(APP, *options, "--workers-kill-timeout", "1", env=THREADS) as server:
        server.log.wait_for("A thread can not be killed")
        server.log.wait_for("Serving asgi")
        with server.connect() as sock:
            sock.sendall(b"GET /block?3600 HTTP/1.1\r\nHost: x\r\n\r\n")
            server.log.wait_for("block begins")
            server.log.wait_for("(?s)in block.*does not answer: its event loop is blocked")
            server.log.wait_for("granian-worker-1 does not end: it is left behind")
            server.log.wait_for("Stopped old worker-1")
            assert body(server) == "hello"


@pytest.mark.parametrize("respawn", [False, True])
def test_a_lost_worker(respawn: bool, tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text(
        "import asyncio, sys\n"
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'http'\n"
        "    if scope['path'] == '/exit':\n"
        "        asyncio.get_running_loop().call_soon(sys.exit, 7)\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    await send({'type': 'http.response.body', 'body': b'hello'})\n",
        encoding="utf-8",
    )
    options = ("--working-dir", str(tmp_path), *(["--respawn-failed-workers"] * respawn))
    server = launch("leaves:app", *options, env=THREADS)
    try:
        server.wait_ready()
        server.log.wait_for("Serving asgi")
        with server.connect() as sock:
            sock.sendall(b"GET /exit HTTP/1.1\r\nHost: x\r\n\r\n")
            server.log.wait_for("Unexpected exit from worker-1")
        if respawn:
            server.log.wait_for("(?s)Unexpected exit.*Started worker-1")
            assert body(server) == "hello"
            assert server.stop() == 0
        else:
            assert server.wait() == 1
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("app", "options", "code", "words"),
    [
        ("tests.e2e.apps.nothing:app", (), 3, "nothing"),
        ("tests.e2e.apps.lifecycle:refuses", (), 5, "no database"),
        (APP, ("--reload",), 1, "--reload: threads share one application"),
    ],
)
def test_what_keeps_it_from_starting(
    app: str, options: Sequence[str], code: int, words: str
) -> None:
    server = launch(app, *options, "--workers", "2", env=THREADS)
    try:
        assert server.wait() == code
        assert words in server.log.text
    finally:
        server.kill()


def test_stop_while_the_application_loads(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "print('loading', flush=True)\nimport time\ntime.sleep(3600)\n", encoding="utf-8"
    )
    server = launch("slow:app", "--working-dir", str(tmp_path), env=THREADS)
    try:
        server.log.wait_for("loading")
        assert server.stop() == 0
        assert "Traceback" not in server.log.text
    finally:
        server.kill()


def test_memory_is_shared_and_requests_are_counted() -> None:
    options = ("--workers-max-rss", "1", "--rss-sample-interval", "1")
    more = ("--workers-max-requests", "2", "--workers-max-requests-jitter", "0")
    with serving(APP, *options, *more, "--respawn-interval", "0", env=THREADS) as server:
        server.log.wait_for("Workers are not replaced for their memory")
        server.log.wait_for("Serving asgi")
        for _ in range(2):
            assert body(server) == "hello"
        server.log.wait_for("(?s)has served its number of requests.*Stopped old worker-1")
        assert "over its memory limit" not in server.log.text


# -- a Python without the GIL -------------------------------------------------------------------


def free_threaded_python() -> str | None:
    """Return an interpreter without the GIL, or None."""
    root = os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))
    found = [shutil.which(f"python3.{minor}t") for minor in (14, 13)]
    found += sorted(glob.glob(f"{root}/versions/3.1[3-9].*t/bin/python"))
    if sysconfig_free_threaded(sys.executable):
        found.insert(0, sys.executable)
    return next((path for path in found if path and sysconfig_free_threaded(path)), None)


def sysconfig_free_threaded(python: str) -> bool:
    script = "import sysconfig; print(sysconfig.get_config_var('Py_GIL_DISABLED') or 0)"
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == "1"


def test_without_the_gil() -> None:
    """Workers are threads unasked; a module that brings the GIL back is refused."""
    python = free_threaded_python()
    if python is None:
        pytest.skip("no free-threaded Python (python3.13t, python3.14t) is installed")
    # Pure Python is all that the server needs; what is compiled for ours is not found by theirs.
    sources = [str(path) for path in (ROOT / "packages").glob("*/src")]
    paths = os.pathsep.join([*sources, *site.getsitepackages()])
    command = (python, "-m", "granian")
    options = ("--workers", "2", "--loop", "asyncio")
    environ = {"PYTHONPATH": paths}

    async def main(server: ServerProcess) -> Load:
        load = Load(server.host, server.port, reuse=10)
        async with load:
            await load.wait_answered(500)
        return load

    server = launch(APP, *options, env=environ, command=command)
    try:
        server.wait_ready()
        server.log.wait_for(r"Serving asgi .* \(TIDs: \d+, \d+\)")
        assert asyncio.run(main(server)).result.faults == []
        assert server.stop() == 0
    finally:
        server.kill()
    server = launch(APP, *options, env={**environ, "PYTHON_GIL": "1"}, command=command)
    try:
        assert server.wait() == 1
        assert "Error: the GIL is enabled" in server.log.text
    finally:
        server.kill()

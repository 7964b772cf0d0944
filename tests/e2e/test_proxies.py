"""Reloads and rolling restarts behind nginx and haproxy: the proxy's clients notice nothing.

The configurations are those that docs/deployment.md recommends. Each proxy is a process of
the test, with a directory of its own and ports that nobody else uses; a proxy that the
system may be running is left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.load import Load, Result
from tests.e2e.serving import IO_TIMEOUT, ROOT, ServerProcess, launch, serving

APP = "tests.e2e.apps.lifecycle:app"
HOST = "127.0.0.1"
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
WRK = shutil.which("wrk")

NGINX = """\
daemon off;
worker_processes 1;
{user}
pid nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream granian {{
        {servers}
        keepalive 32;
    }}
    server {{
        listen {host}:{port};
        location / {{
            proxy_pass http://granian;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
        }}
    }}
}}
"""

HAPROXY = """\
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response
frontend front
    bind {host}:{port}
    default_backend granian
backend granian
    balance roundrobin
    http-request disable-l7-retry unless METH_GET
{servers}
"""

_ports: set[int] = set()


def free_port() -> int:
    """Return a port that is free, and below those that the kernel gives to clients.

    A server that restarts needs its port again; one of the ephemeral range could have become
    the source port of some connection meanwhile.
    """
    lowest = 32_768
    with contextlib.suppress(OSError):
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        lowest = int(text.split()[0])
    candidates = range(max(1024, lowest - 10_000), lowest)
    for port in random.sample(candidates, len(candidates)):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind((HOST, port))
            if port not in _ports:
                _ports.add(port)
                return port
    raise AssertionError("no free port")


def nginx(directory: Path, port: int, backends: list[int]) -> list[str]:
    """Write a configuration; return the command."""
    # Without max_fails=0 one refused connection takes a server out for ten seconds, and the
    # other one may be restarting by then.
    servers = "\n        ".join(f"server {HOST}:{backend} max_fails=0;" for backend in backends)
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    path = directory / "nginx.conf"
    path.write_text(
        NGINX.format(servers=servers, host=HOST, port=port, user=user), encoding="utf-8"
    )
    return ["-p", str(directory), "-c", str(path), "-e", "stderr"]


def haproxy(directory: Path, port: int, backends: list[int]) -> list[str]:
    """Write a configuration; return the command."""
    servers = "\n".join(f"    server s{backend} {HOST}:{backend}" for backend in backends)
    path = directory / "haproxy.cfg"
    path.write_text(HAPROXY.format(servers=servers, host=HOST, port=port), encoding="utf-8")
    return ["-db", "-f", str(path)]


@dataclass
class Proxy:
    """A kind of proxy: its executable, and what makes its configuration."""

    name: str
    arguments: Callable[[Path, int, list[int]], list[str]]

    @contextlib.contextmanager
    def running(self, directory: Path, backends: list[int]) -> Iterator[int]:
        """Run it in front of *backends* while the block runs; yield its port."""
        executable = shutil.which(self.name, path=SEARCH_PATH)
        assert executable is not None
        port = free_port()
        output = directory / "output.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [executable, *self.arguments(directory, port, backends)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_listening(port, process, output)
            yield port
            assert process.poll() is None, output.read_text(errors="replace")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_listening(port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + IO_TIMEOUT
    while True:
        try:
            socket.create_connection((HOST, port), IO_TIMEOUT).close()
        except OSError:
            text = output.read_text(errors="replace")
            assert process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.02)
        else:
            return


def installed(name: str, value: object = None) -> object:
    """Return a parameter; it is skipped, by its name, where the proxy is not installed."""
    return pytest.param(
        name if value is None else value,
        id=name,
        marks=pytest.mark.skipif(
            shutil.which(name, path=SEARCH_PATH) is None,
            reason=f"{name} is not installed (Debian package {name})",
        ),
    )


def proxies() -> list[object]:
    """Return the proxies as parameters."""
    return [
        installed(name, Proxy(name, arguments))
        for name, arguments in (("nginx", nginx), ("haproxy", haproxy))
    ]


pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes"),
    pytest.mark.skipif(WRK is None, reason="wrk is not installed (Debian package wrk)"),
    pytest.mark.parametrize("proxy", proxies()),
]


class Wrk:
    """wrk on a port, until the block ends.

    What it calls errors does not count (it takes a connection that is closed between two
    requests for one), but a status that is not 2xx does.
    """

    def __init__(self, port: int) -> None:
        assert WRK is not None
        self._process = subprocess.Popen(
            [WRK, "-t1", "-c8", "-d180", f"http://{HOST}:{port}/"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def finish(self) -> str:
        """Interrupt it; return its report."""
        self._process.send_signal(signal.SIGINT)
        report, _ = self._process.communicate(timeout=IO_TIMEOUT)
        return report.decode()

    def __enter__(self) -> Wrk:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.communicate()


def assert_unnoticed(result: Result, report: str) -> None:
    assert result.faults == []
    assert result.retried <= result.answered / 1000, (result.retried, result.answered)
    assert "requests in" in report
    assert "Non-2xx" not in report


def test_the_page_recommends_what_is_tested(proxy: Proxy, tmp_path: Path) -> None:
    proxy.arguments(tmp_path, 1, [2, 3])
    (path,) = tmp_path.iterdir()
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    words = (
        "max_fails",
        "keepalive",
        "proxy_http",
        "proxy_set",
        "timeout",
        "retr",
        "option",
        "http",
    )
    recommended = [
        line.strip()
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith(words) and not line.endswith("{")
    ]
    assert len(recommended) >= 4
    assert [line for line in recommended if line not in page] == []


def test_twenty_reloads(proxy: Proxy, tmp_path: Path) -> None:
    async def main(server: ServerProcess, port: int) -> Load:
        load = Load(HOST, port)
        async with load:
            for number in range(1, 21):
                await load.wait_answered(50)
                server.process.send_signal(signal.SIGHUP)
                await logged(server, "Stopped old worker-", 2 * number)
            await load.wait_answered(50)
        return load

    options = ("--workers", "2", "--respawn-interval", "0")
    with serving(APP, *options) as server, proxy.running(tmp_path, [server.port]) as port:
        server.log.wait_for("Serving asgi")
        with Wrk(port) as wrk:
            load = asyncio.run(main(server, port))
            report = wrk.finish()
    assert_unnoticed(load.result, report)
    assert len(load.result.pids) > 20


async def logged(server: ServerProcess, text: str, times: int = 1) -> None:
    """Wait until *text* was logged so often, without stopping the loop and so the load."""
    deadline = time.monotonic() + 2 * IO_TIMEOUT
    while server.log.text.count(text) < times:
        assert time.monotonic() < deadline, server.log.text
        await asyncio.sleep(0.02)


class Rolling:
    """Two servers on ports of their own, that are stopped and started in turn."""

    def __init__(self) -> None:
        self.ports = [free_port(), free_port()]
        self._servers = [self._start(0), self._start(1)]

    def _start(self, index: int) -> ServerProcess:
        return launch(APP, "--workers", "2", "--port", str(self.ports[index]))

    async def ready(self, index: int) -> None:
        await logged(self._servers[index], "Serving asgi")

    async def restart(self, index: int) -> None:
        """Stop a server as systemd does, start it anew, wait until it serves."""
        server = self._servers[index]
        assert await asyncio.to_thread(server.stop) == 0, server.log.text
        self._servers[index] = self._start(index)
        await self.ready(index)

    def kill(self) -> None:
        for server in self._servers:
            server.kill()


def test_five_rolling_restarts(proxy: Proxy, tmp_path: Path) -> None:
    async def main(servers: Rolling) -> tuple[Load, str]:
        await asyncio.gather(servers.ready(0), servers.ready(1))
        with proxy.running(tmp_path, servers.ports) as port, Wrk(port) as wrk:
            load = Load(HOST, port)
            async with load:
                for _ in range(5):
                    for index in (0, 1):
                        await load.wait_answered(50)
                        await servers.restart(index)
                await load.wait_answered(50)
            return load, await asyncio.to_thread(wrk.finish)

    servers = Rolling()
    try:
        load, report = asyncio.run(main(servers))
    finally:
        servers.kill()
    assert_unnoticed(load.result, report)
    assert len(load.result.pids) > 10

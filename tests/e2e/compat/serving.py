"""A server as programs start one: ``Granian(...).serve()`` in a spawned process.

Keywords are text, as most programs write them. The server has to accept within a deadline
and leave on SIGTERM within another; both are noted, and shown by the slowest of a run.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from granian_core.testing.certs import CertificateFiles
from tests.e2e.compat.start import serve
from tests.e2e.serving import IO_TIMEOUT, START_TIMEOUT, STOP_TIMEOUT

INTERFACES = ("asgi", "rsgi", "wsgi")
MODES = ("st", "mt")
THREADS = {"mt": 2}
"""I/O threads by mode, for there must be several to share connections; else one."""
APPS = "tests.e2e.compat.apps"

TIMES: dict[str, list[float]] = {"start": [], "stop": []}
"""Seconds that each server of this run took to accept, and to leave."""


def free_port() -> int:
    """Return a port that was free a moment ago, as programs' own tests do."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Serving:
    """A server that accepts."""

    interface: str
    port: int
    uds: Path | None
    tls: CertificateFiles | None
    process: Any

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}"

    def context(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=str(self.tls.authority)) if self.tls else None

    def client(self, **options: Any) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.uds)) if self.uds else None
        context = self.context()
        if context is not None:
            options["verify"] = context
        return httpx.Client(
            base_url=self.url, transport=transport, trust_env=False, timeout=IO_TIMEOUT, **options
        )

    def get(self, path: str) -> httpx.Response:
        with self.client() as client:
            return client.get(path)

    def stop(self) -> int:
        """Send SIGTERM; return the exit code."""
        began = time.monotonic()
        self.process.terminate()
        self.process.join(STOP_TIMEOUT)
        TIMES["stop"].append(time.monotonic() - began)
        assert not self.process.is_alive(), "the server does not leave"
        return int(self.process.exitcode)


@contextlib.contextmanager
def serving(
    interface: str,
    mode: str = "auto",
    *,
    target: str = "",
    uds: Path | None = None,
    tls: CertificateFiles | None = None,
    **keywords: Any,
) -> Iterator[Serving]:
    """Serve the application of *interface* while the block runs; it must leave with code 0."""
    port = 0 if uds else free_port()
    keywords |= {"interface": interface, "runtime_mode": mode, "log_level": "warning"}
    keywords.setdefault("runtime_threads", THREADS.get(mode, 1))
    keywords |= {"uds": uds} if uds else {"port": port}
    if tls:
        keywords |= {"ssl_cert": tls.certificate, "ssl_key": tls.key}
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(target or f"{APPS}:{interface}", keywords)
    )
    began = time.monotonic()
    process.start()
    try:
        wait_accepting(port, uds, process)
        TIMES["start"].append(time.monotonic() - began)
        server = Serving(interface, port, uds, tls, process)
        yield server
        if process.is_alive():
            assert server.stop() == 0
    finally:
        process.kill()
        process.join()
        process.close()


def wait_accepting(port: int, uds: Path | None, process: Any) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            if uds is None:
                socket.create_connection(("127.0.0.1", port), IO_TIMEOUT).close()
            else:
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(str(uds))
        except OSError:
            assert process.is_alive(), "the server has ended"
            assert time.monotonic() < deadline, "the server does not accept"
            time.sleep(0.02)
        else:
            return

"""Start the ``granian`` command as a real process, talk to it, stop it.

Every server listens on a port of its own choice, logs into memory, and leaves no
process behind whatever the test does: the process group is killed in the end.
Waits have a deadline, scaled by ``GRANIAN_TEST_TIMEOUT_FACTOR``.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import pytest

from granian_core.testing.certs import CertificateFiles

ROOT = Path(__file__).resolve().parents[2]
"""The repository: the working directory of the servers, so that targets are `tests.e2e.apps…`."""

TIMEOUT_FACTOR = float(os.environ.get("GRANIAN_TEST_TIMEOUT_FACTOR", "1"))
START_TIMEOUT = 30.0 * TIMEOUT_FACTOR
"""Seconds that a server may take until it accepts connections (frameworks import slowly)."""
STOP_TIMEOUT = 30.0 * TIMEOUT_FACTOR
"""Seconds that a server may take to leave after SIGTERM."""
IO_TIMEOUT = 15.0 * TIMEOUT_FACTOR
"""Seconds for one exchange or one log line."""

_LISTENING = re.compile(r"Listening at: https?://(?P<host>\[[^\]]+\]|[^:\s]+):(?P<port>\d+)")


class ServerFailed(AssertionError):
    """The server ended, or did not get ready; the text carries its log."""


class Log:
    """Output of a process, collected by a thread so that the pipe never fills."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._text = ""
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._collect, args=(process,), daemon=True)
        self._thread.start()

    def _collect(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            while data := os.read(stream.fileno(), 65536):
                with self._changed:
                    self._text += data.decode("utf-8", "replace")
                    self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        """Everything that was written so far."""
        with self._changed:
            return self._text

    @property
    def closed(self) -> bool:
        """Whether every process that could write has ended."""
        with self._changed:
            return self._closed

    def wait_for(
        self, pattern: str | re.Pattern[str], timeout: float = IO_TIMEOUT
    ) -> re.Match[str]:
        """Return the first match of *pattern*, waiting until it is written.

        Raises:
            ServerFailed: The output ended, or *timeout* seconds passed, without a match.
        """
        regex = re.compile(pattern)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or regex.search(self._text), timeout)
            match = regex.search(self._text)
            if match is None:
                why = "the server ended" if self._closed else f"{timeout} s passed"
                raise ServerFailed(f"{why} without {regex.pattern!r}; log:\n{self._text}")
            return match

    def join(self, timeout: float) -> None:
        """Wait until the output has ended."""
        self._thread.join(timeout)


class ServerProcess:
    """One running ``granian`` command.

    Attributes:
        process: The main process (the supervisor).
        log: What it and its workers write.
        host: Address it listens on, without brackets.
        port: Its port; 0 for a unix socket.
        uds: Path of its unix socket, or None.
        tls: What it serves TLS with, or None.
        http2: Whether its clients offer HTTP/2, and insist on it; needs `tls`.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        uds: Path | None,
        tls: CertificateFiles | None = None,
    ) -> None:
        self.process = process
        self.log = Log(process)
        self.uds = uds
        self.tls = tls
        self.host = ""
        self.port = 0
        self.http2 = False

    @property
    def pid(self) -> int:
        """Process id of the main process."""
        return self.process.pid

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://localhost" if self.uds else f"{self.scheme}://{host}:{self.port}"

    @property
    def scheme(self) -> str:
        """What applications are to be told."""
        return "https" if self.tls else "http"

    def context(self) -> ssl.SSLContext:
        """Return what a client needs to trust the server."""
        assert self.tls is not None
        return ssl.create_default_context(cafile=str(self.tls.authority))

    def connect(self, timeout: float = IO_TIMEOUT) -> socket.socket:
        """Return a new connection to the server, its TLS handshake done."""
        sock = self.connect_plain(timeout)
        if self.tls is None:
            return sock
        try:
            return self.context().wrap_socket(sock, server_hostname="localhost")
        except BaseException:
            sock.close()
            raise

    def connect_plain(self, timeout: float = IO_TIMEOUT) -> socket.socket:
        """Return a new connection to the server, without TLS."""
        if self.uds is None:
            return socket.create_connection((self.host, self.port), timeout)
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(timeout)
            sock.connect(str(self.uds))
        except BaseException:
            sock.close()
            raise
        return sock

    def client(self, **options: object) -> httpx.Client:
        """Return an httpx client that knows this server as its base URL."""
        transport = httpx.HTTPTransport(uds=str(self.uds)) if self.uds else None
        settings: dict[str, object] = {"trust_env": False, "timeout": IO_TIMEOUT, **options}
        if self.tls is not None:
            settings.setdefault("verify", self.context())
        if self.http2:
            settings |= {"http1": False, "http2": True}
        return httpx.Client(base_url=self.url, transport=transport, **settings)  # type: ignore[arg-type]

    def exchange(self, request: bytes, *, half_close: bool = False) -> bytes:
        """Send raw bytes on a new connection; return all that comes until the server closes."""
        with self.connect() as sock:
            sock.sendall(request)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            return read_to_end(sock)

    def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until connections are accepted.

        Raises:
            ServerFailed: The server ended first, or *timeout* seconds passed.
        """
        deadline = time.monotonic() + timeout
        if self.uds is None:
            match = self.log.wait_for(_LISTENING, timeout)
            self.host, self.port = match["host"].strip("[]"), int(match["port"])
        while True:
            try:
                self.connect_plain(timeout).close()
            except OSError as exc:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.log.join(1.0)
                    raise ServerFailed(f"not ready ({exc}); log:\n{self.log.text}") from exc
                time.sleep(0.02)
            else:
                return

    def zombies(self) -> list[int]:
        """Return the children that have ended and that nobody has waited for (Linux)."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in text.split() if _state(int(pid)) == "Z"]

    def group_exists(self) -> bool:
        """Whether any process of the server is left, its parent dead or alive."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def worker_pids(self) -> list[int]:
        """Return the process ids of the main process's children (Linux)."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in text.split() if _is_worker(int(pid))]

    def peak_memory(self) -> int:
        """Return the highest resident memory of any one process so far, in bytes (Linux)."""
        return max(_status_bytes(pid, "VmHWM") for pid in (self.pid, *self.worker_pids()))

    def stop(self, sig: int = signal.SIGTERM, timeout: float = STOP_TIMEOUT) -> int:
        """Ask the server to leave; return its exit code.

        Raises:
            ServerFailed: It is still there after *timeout* seconds.
        """
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.wait(timeout)

    def wait(self, timeout: float = STOP_TIMEOUT) -> int:
        """Wait until the server has ended by itself; return its exit code."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"still running after {timeout} s; log:\n{self.log.text}") from None
        self.log.join(2.0)
        return code

    def kill(self) -> None:
        """End whatever is left of the server's process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self.log.join(2.0)


def without_capabilities(*names: str) -> tuple[str, ...]:
    """Return a prefix for a command that takes capabilities from root (``net_bind_service``)."""
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is not installed")
    return (setpriv, "--bounding-set", ",".join(f"-{name}" for name in names))


def launch(
    app: str,
    *options: str,
    interface: str = "asgi",
    uds: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    tls: CertificateFiles | None = None,
    command: Sequence[str] = (sys.executable, "-m", "granian"),
) -> ServerProcess:
    """Start the command without waiting for anything; the caller must `ServerProcess.kill` it.

    Args:
        app: The target, ``module:attribute``.
        options: Further command line options, after ``--interface`` and the address.
        interface: Word for ``--interface``.
        uds: Listen on this unix socket instead of a TCP port of the kernel's choice.
        env: Environment variables added to ours (all ``GRANIAN_*`` of ours are removed).
        cwd: Working directory.
        tls: Serve TLS with this certificate.
        command: What to run; the default is ``python -m granian``.
    """
    address = ("--uds", str(uds)) if uds else ("--port", "0")
    if tls is not None:
        files = ("--ssl-certificate", str(tls.certificate), "--ssl-keyfile", str(tls.key))
        options = (*files, *options)
    arguments = (*command, "--interface", interface, *address, *options, app)
    environ = {name: text for name, text in os.environ.items() if not name.startswith("GRANIAN_")}
    environ |= {"PYTHONUNBUFFERED": "1", **(env or {})}
    process = subprocess.Popen(
        arguments,
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    return ServerProcess(process, uds, tls)


@contextlib.contextmanager
def serving(
    app: str,
    *options: str,
    interface: str = "asgi",
    uds: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    tls: CertificateFiles | None = None,
) -> Iterator[ServerProcess]:
    """Run the command with *app* until the block ends; arguments as for `launch`.

    A server that is still there at the end is stopped by SIGTERM and must leave with
    exit code 0; after an error in the block it is only killed.

    Raises:
        ServerFailed: The server did not get ready, did not leave, or left with an error.
    """
    server = launch(app, *options, interface=interface, uds=uds, env=env, cwd=cwd, tls=tls)
    try:
        server.wait_ready()
        yield server
        if server.process.poll() is None and (code := server.stop()) != 0:
            raise ServerFailed(f"exit code {code}; log:\n{server.log.text}")
    finally:
        server.kill()


def need_files(count: int) -> None:
    """Raise this process's limit of open files, which servers inherit; skip where it is fixed."""
    resource = pytest.importorskip("resource", reason="needs POSIX limits")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"needs {count} open files, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def read_to_end(sock: socket.socket) -> bytes:
    """Return everything that arrives until the peer closes."""
    parts = []
    while data := sock.recv(65536):
        parts.append(data)
    return b"".join(parts)


def read_until(sock: socket.socket, marker: bytes) -> bytes:
    """Return what arrives up to and with *marker*, and whatever came along with it.

    Raises:
        AssertionError: The peer closed first.
    """
    data = b""
    while marker not in data:
        piece = sock.recv(65536)
        assert piece, f"closed before {marker!r}: {data!r}"
        data += piece
    return data


def _is_worker(pid: int) -> bool:
    """Whether *pid* serves: multiprocessing's resource tracker is a child as well."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"resource_tracker" not in line


def _state(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[0]


def _status_bytes(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"no {field} in /proc/{pid}/status")

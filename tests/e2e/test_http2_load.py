"""HTTP/2 under attack and beside slow readers: everybody else is served.

``GRANIAN_TEST_FULL=1`` lets the slow reader take 100 MiB, as do twenty fast ones.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from socket import SO_RCVBUF, SOL_SOCKET, socket

import httpx
import pytest

from tests.conformance.http2 import wire
from tests.e2e.serving import IO_TIMEOUT, ServerProcess, serving
from tests.e2e.test_http2_options import INITIAL_WINDOW_SIZE, frames

APP = "tests.e2e.apps.http2_load:app"
FULL = os.environ.get("GRANIAN_TEST_FULL") == "1"
MIB = 1 << 20
H2LOAD = shutil.which("h2load")

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


# -- attackers -------------------------------------------------------------------


def rapid_reset(sock: socket) -> None:
    """Open streams and reset them until the server has had enough."""
    sock.sendall(wire.HELLO)
    for stream in range(1, 4000, 2):
        sock.sendall(wire.get(stream) + wire.rst(stream))


def continuation_flood(sock: socket) -> None:
    """Never end a field block."""
    sock.sendall(
        wire.HELLO + wire.frame(wire.HEADERS, wire.END_STREAM, 1, wire.literal(b"a", b"b"))
    )
    for number in range(2000):
        more = wire.literal(b"x-%d" % number, b"y" * 100)
        sock.sendall(wire.frame(wire.CONTINUATION, 0, 1, more))


def zero_window(sock: socket) -> None:
    """Ask for much, and take nothing of it."""
    sock.sendall(wire.PREFACE + wire.settings((INITIAL_WINDOW_SIZE, 0)))
    for stream in range(1, 100, 2):
        sock.sendall(wire.get(stream, path=b"/size/64"))
    sock.settimeout(1.0)  # longer than any moment in which the server has nothing to say
    with contextlib.suppress(TimeoutError):
        while sock.recv(65_536):
            pass


class Attacker(threading.Thread):
    """Attacks on one connection after another until it is told to stop.

    Attributes:
        rounds: Connections used so far.
        ended: How many of them the server has ended.
    """

    def __init__(self, server: ServerProcess, attack: Callable[[socket], None]) -> None:
        super().__init__(name=attack.__name__, daemon=True)
        self.rounds = 0
        self.ended = 0
        self.stopping = threading.Event()
        self.first = threading.Event()
        self._server = server
        self._attack = attack

    def run(self) -> None:
        """Attack."""
        while not self.stopping.is_set() and self.rounds < 500:
            with self._server.connect() as sock:
                try:
                    self._attack(sock)
                    kinds = [kind for kind, _, _, _ in frames(sock)]
                    self.ended += wire.GOAWAY in kinds
                except ConnectionError:
                    self.ended += 1
                except TimeoutError:
                    pass  # still open, which is what who reads nothing wants
            self.rounds += 1
            self.first.set()


@contextlib.contextmanager
def under_attack(server: ServerProcess) -> Iterator[list[Attacker]]:
    """Let three attackers go on until the block ends; each has made one round before."""
    attackers = [
        Attacker(server, attack) for attack in (rapid_reset, continuation_flood, zero_window)
    ]
    for attacker in attackers:
        attacker.start()
    try:
        for attacker in attackers:
            assert attacker.first.wait(IO_TIMEOUT), attacker.name
        yield attackers
    finally:
        for attacker in attackers:
            attacker.stopping.set()
        for attacker in attackers:
            attacker.join(2 * IO_TIMEOUT)


@needs_proc
def test_a_normal_client_is_served_while_three_attack() -> None:
    with serving(APP, interface="asginl") as server:
        before = server.peak_memory()
        with under_attack(server) as attackers:
            rounds = [attacker.rounds for attacker in attackers]
            for http2 in (True, False):
                with httpx.Client(
                    http1=not http2, http2=http2, timeout=IO_TIMEOUT, trust_env=False
                ) as client:
                    for number in range(150):
                        answer = client.get(f"{server.url}/{number}")
                        assert (answer.status_code, answer.text) == (200, "fine")
                        assert (answer.http_version == "HTTP/2") is http2
            # They went on all the while.
            assert [one.rounds for one in attackers[:2]] > rounds[:2]
            assert all(attacker.is_alive() for attacker in attackers)
        grown = server.peak_memory() - before
        assert "Traceback" not in server.log.text, server.log.text
        assert all(attacker.ended == attacker.rounds for attacker in attackers[:2])
    # 50 streams of 64 MiB each were asked for, again and again.
    assert grown < 48 * MIB


# -- slow readers ----------------------------------------------------------------


class SlowReader(threading.Thread):
    """Takes a download at 1 MB/s at most, and its last MiB when it is told to.

    Attributes:
        taken: Bytes so far.
        go: Lets it take the rest.
    """

    def __init__(self, server: ServerProcess, size: int) -> None:
        super().__init__(daemon=True)
        self.taken = 0
        self.started = threading.Event()
        self.go = threading.Event()
        self._server = server
        self._size = size

    def run(self) -> None:
        """Download."""
        with self._server.connect() as sock:
            sock.setsockopt(SOL_SOCKET, SO_RCVBUF, 65_536)
            path = b"/size/%d" % self._size
            sock.sendall(wire.HELLO + wire.get(path=path))
            begin = time.monotonic()
            owed = 0
            for kind, _, _, payload in frames(sock):
                if kind != wire.DATA:
                    continue
                self.taken += len(payload)
                if self.taken == self._size * MIB:
                    return
                if self.taken >= (self._size - 1) * MIB:
                    self.go.wait(20 * IO_TIMEOUT)
                self.started.set()
                time.sleep(max(0.0, begin + self.taken / 1e6 - time.monotonic()))
                owed += len(payload)
                if owed >= 16_384:  # as clients do: never for a few bytes
                    sock.sendall(wire.window(owed) + wire.window(owed, 1))
                    owed = 0


@needs_proc
@pytest.mark.skipif(H2LOAD is None, reason="h2load is not installed")
def test_a_slow_reader_holds_neither_memory_nor_the_fast_ones() -> None:
    size, fast = (100, 100) if FULL else (3, 8)
    with serving(APP, interface="asginl") as server:
        before = server.peak_memory()
        slow = SlowReader(server, size)
        slow.start()
        assert slow.started.wait(IO_TIMEOUT)
        command = [str(H2LOAD), "-n", "20", "-c", "20", "-m", "1", f"{server.url}/size/{fast}"]
        done = subprocess.run(command, capture_output=True, timeout=20 * IO_TIMEOUT, check=True)
        said = done.stdout.decode()
        assert "20 succeeded, 0 failed, 0 errored" in said, said
        assert slow.is_alive()
        assert slow.taken < size * MIB
        slow.go.set()
        slow.join(20 * IO_TIMEOUT)
        grown = server.peak_memory() - before
    assert slow.taken == size * MIB
    assert grown < 32 * MIB, f"grown by {grown / MIB:.1f} MiB"
    print(f"grown by {grown / MIB:.1f} MiB;", said)

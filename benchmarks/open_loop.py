"""An open-loop HTTP/1.1 client: requests are due at a fixed rate whatever the server does.

wrk sends the next request when the last was answered, so a server that pauses is asked less
(coordinated omission). Here each request has a due time, and its latency runs from then, also when
it had to wait for a free connection. The client spins on its own core: a timer's granularity would
be larger than what is measured.

``python -m benchmarks.open_loop --port N --rate R …`` prints one JSON object on one line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field

from benchmarks.cases import CASES, Case

_LENGTH = re.compile(rb"(?i)\r\ncontent-length:[ \t]*([0-9]+)")
_CLOSE = re.compile(rb"(?i)\r\nconnection:[ \t]*close[ \t]*\r\n")
_DRAIN_S = 2.0
"""How long answers may arrive after the last request was due."""


def request_bytes(case: Case, port: int) -> bytes:
    """Return the request that *case* sends."""
    fields = [("Host", f"127.0.0.1:{port}"), *case.headers]
    if case.body_octets:
        fields.append(("Content-Length", str(case.body_octets)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    head = f"{case.method} {case.path} HTTP/1.1\r\n{lines}\r\n"
    return head.encode("latin-1") + b"x" * case.body_octets


@dataclass
class Tally:
    """What has been counted so far."""

    latencies_s: list[float] = field(default_factory=list)
    bad_status: int = 0
    cut: int = 0
    """Connections that ended inside an exchange."""


class ClientConnection:
    """One connection with at most one request in flight."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._buffer = b""
        self._due = 0.0

    def send(self, request: bytes, due: float) -> None:
        """Send *request*, whose latency counts from *due* (monotonic seconds)."""
        self._due = due
        self._buffer = b""
        # A server that has just closed the connection is felt by the next receive().
        with contextlib.suppress(OSError):
            self.socket.sendall(request)

    def receive(self, tally: Tally) -> bool | None:
        """Take what has arrived.

        Returns:
            None while the answer is not whole, else whether the connection can be used again.
        """
        try:
            data = self.socket.recv(262_144)
        except OSError:
            data = b""
        if not data:
            tally.cut += 1
            return False
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._buffer[: end + 4]
        length = _LENGTH.search(head)
        if length is None:
            tally.cut += 1
            return False
        if len(self._buffer) < end + 4 + int(length[1]):
            return None
        tally.latencies_s.append(time.perf_counter() - self._due)
        if head[9:12] != b"200":
            tally.bad_status += 1
        return _CLOSE.search(head) is None


class OpenLoop:
    """The client's connections and its schedule."""

    def __init__(self, port: int, request: bytes, connections: int) -> None:
        self._port = port
        self._request = request
        self._poll = select.epoll()
        self._open: dict[int, ClientConnection] = {}
        self._idle: deque[ClientConnection] = deque()
        self.tally = Tally()
        for _ in range(connections):
            self._connect()

    def run(self, rate: float, seconds: float) -> int:
        """Send *rate* requests per second for *seconds*; return how many were due."""
        total = int(rate * seconds)
        interval = 1.0 / rate
        start = time.perf_counter()
        give_up = start + seconds + _DRAIN_S
        sent = 0
        while True:
            now = time.perf_counter()
            while sent < total and self._idle and start + sent * interval <= now:
                self._idle.popleft().send(self._request, start + sent * interval)
                sent += 1
            for descriptor, _ in self._poll.poll(0):
                self._receive(descriptor)
            if (sent == total and len(self._idle) == len(self._open)) or now > give_up:
                return total

    def close(self) -> None:
        """Close every connection."""
        for connection in self._open.values():
            connection.socket.close()
        self._poll.close()

    def _connect(self) -> None:
        connection = ClientConnection(self._port)
        descriptor = connection.socket.fileno()
        self._open[descriptor] = connection
        self._poll.register(descriptor, select.EPOLLIN)
        self._idle.append(connection)

    def _receive(self, descriptor: int) -> None:
        connection = self._open[descriptor]
        if connection in self._idle:
            # Nothing was asked: the server closes an idle connection.
            self._idle.remove(connection)
            self._replace(descriptor)
            return
        keep = connection.receive(self.tally)
        if keep:
            self._idle.append(connection)
        elif keep is not None:
            self._replace(descriptor)

    def _replace(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        self._open.pop(descriptor).socket.close()
        self._connect()


def percentile(ordered: list[float], percent: float) -> float:
    """Return the nearest-rank percentile of values in ascending order, 0.0 of none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100.0))]


def main() -> None:
    """Run one load and print its result."""
    parser = argparse.ArgumentParser(description="open-loop HTTP/1.1 client")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, required=True)
    arguments = parser.parse_args()
    request = request_bytes(CASES[arguments.case], arguments.port)
    client = OpenLoop(arguments.port, request, arguments.connections)
    started = time.perf_counter()
    due = client.run(arguments.rate, arguments.seconds)
    elapsed = time.perf_counter() - started
    client.close()
    tally = client.tally
    ordered = sorted(tally.latencies_s)
    result = {
        "requests": len(ordered),
        "seconds": elapsed,
        "p50_us": percentile(ordered, 50.0) * 1e6,
        "p99_us": percentile(ordered, 99.0) * 1e6,
        "failures": {
            "read": tally.cut,
            "status": tally.bad_status,
            "missing": due - len(ordered) - tally.cut,
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

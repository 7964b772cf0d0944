"""What the real command does on the wire of HTTP/2 as responses compete, end early, or drain."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from socket import socket

import pytest

from tests.conformance.http2 import wire
from tests.e2e.serving import ServerProcess, serving
from tests.e2e.test_http2_options import INITIAL_WINDOW_SIZE, frames

APP = "tests.e2e.apps.http2_load:app"
MIB = 1 << 20
LARGEST = 0x7FFFFFFF


@pytest.fixture(scope="module", params=["fast", "reference"])
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with serving(APP, "--http2-engine", request.param, interface="asginl") as running:
        yield running


def hello(stream_window: int) -> bytes:
    """Begin with a connection window for everything, and one of so many bytes per stream."""
    first = wire.settings((INITIAL_WINDOW_SIZE, stream_window))
    return wire.PREFACE + first + wire.window(16 * MIB)


def ends(sock: socket, count: int) -> list[int]:
    """Return the streams in the order in which *count* of them ended."""
    ended: list[int] = []
    for kind, flags, stream, _ in frames(sock):
        if kind in (wire.DATA, wire.HEADERS) and flags & wire.END_STREAM:
            ended.append(stream)
            if len(ended) == count:
                break
    return ended


def test_the_urgent_go_first(server: ServerProcess) -> None:
    """RFC 9218 section 10."""
    urgencies = {1: b"u=7", 3: b"u=0", 5: b"u=3", 7: b"u=1"}
    asked = [wire.get(n, (b"priority", u), path=b"/size/1") for n, u in urgencies.items()]
    # All of them are ready before any may go.
    opened = wire.settings((INITIAL_WINDOW_SIZE, 2 * MIB))

    with server.connect() as sock:
        sock.sendall(hello(0) + b"".join(asked))
        heads = [frame for frame in _until(sock, wire.HEADERS, 4) if frame[0] == wire.HEADERS]
        assert {stream for _, _, stream, _ in heads} == set(urgencies)
        sock.sendall(opened)
        assert ends(sock, 4) == [3, 7, 5, 1]


def test_a_body_that_nobody_wants_is_stopped(server: ServerProcess) -> None:
    """RFC 9113 section 8.1: RST_STREAM with NO_ERROR behind the whole response."""
    with server.connect() as sock:
        sock.sendall(hello(MIB) + wire.post(1))
        for kind, flags, stream, payload in frames(sock):
            if kind == wire.DATA:
                assert (payload, bool(flags & wire.END_STREAM)) == (b"fine", True)
            if kind == wire.RST_STREAM:
                assert (stream, int.from_bytes(payload, "big")) == (1, wire.NO_ERROR)
                break
        else:
            pytest.fail("the connection has ended")
        sock.sendall(wire.get(3))
        assert ends(sock, 1) == [3]


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("acknowledges", [True, False])
def test_a_stop_says_goaway_twice_and_ends_what_it_has_begun(
    engine: str, acknowledges: bool
) -> None:
    """RFC 9113 section 6.8; a peer that acknowledges nothing is not waited for."""
    leaving: list[int] = []
    taken = 0
    with (
        serving(APP, "--http2-engine", engine, interface="asginl") as server,
        server.connect() as sock,
    ):
        sock.sendall(hello(65_535) + wire.get(path=b"/size/1"))
        for kind, flags, _, payload in frames(sock):
            if kind == wire.DATA:
                if not taken:
                    server.process.send_signal(signal.SIGTERM)
                taken += len(payload)
                if flags & wire.END_STREAM:
                    break
            elif kind == wire.PING and not flags & wire.ACK and acknowledges:
                sock.sendall(wire.ping(payload, ack=True))
            elif kind == wire.GOAWAY:
                leaving.append(int.from_bytes(payload[:4], "big"))
                if len(leaving) == 2:
                    sock.sendall(wire.window(MIB, 1))
        assert server.wait() == 0

    assert leaving == [LARGEST, 1]
    assert taken == MIB


def _until(sock: socket, wanted: int, count: int) -> Iterator[tuple[int, int, int, bytes]]:
    for frame in frames(sock):
        yield frame
        count -= frame[0] == wanted
        if not count:
            return

"""The `--http2-*` options change what a client of the real command sees on the wire."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from socket import socket

import pytest

from tests.conformance.http2 import wire
from tests.e2e.serving import IO_TIMEOUT, serving

APP = "tests.e2e.apps.http2_echo:app"

MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 3, 4, 5, 6


def frames(sock: socket) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield ``(kind, flags, stream, payload)`` until the server closes."""
    data = b""
    while True:
        while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
            size = int.from_bytes(data[:3], "big")
            stream = int.from_bytes(data[5:9], "big") & 0x7FFFFFFF
            yield data[3], data[4], stream, data[9 : 9 + size]
            data = data[9 + size :]
        received = sock.recv(65_536)
        if not received:
            return
        data += received


def first_settings(*options: str) -> dict[int, int]:
    with serving(APP, *options) as server, server.connect() as sock:
        sock.sendall(wire.HELLO)
        for kind, flags, _, payload in frames(sock):
            if kind == wire.SETTINGS and not flags & wire.ACK:
                return dict(struct.iter_unpack(">HI", payload))
    raise AssertionError("no SETTINGS")


@pytest.mark.parametrize(
    ("option", "value", "setting", "announced"),
    [
        ("--http2-max-concurrent-streams", "17", MAX_CONCURRENT_STREAMS, 17),
        ("--http2-initial-stream-window-size", "70000", INITIAL_WINDOW_SIZE, 70_000),
        ("--http2-max-frame-size", "20000", MAX_FRAME_SIZE, 20_000),
        ("--http2-max-frame-size", "1024", MAX_FRAME_SIZE, 16_384),
        ("--http2-max-headers-size", "5000", MAX_HEADER_LIST_SIZE, 5000),
    ],
)
def test_settings_are_announced(option: str, value: str, setting: int, announced: int) -> None:
    assert first_settings(option, value)[setting] == announced


def test_the_connection_window_is_opened() -> None:
    with (
        serving(APP, "--http2-initial-connection-window-size", "100000") as server,
        server.connect() as sock,
    ):
        sock.sendall(wire.HELLO)
        for kind, _, stream, payload in frames(sock):
            if kind == wire.WINDOW_UPDATE and stream == 0:
                assert int.from_bytes(payload, "big") == 100_000 - 65_535
                return
    raise AssertionError("no WINDOW_UPDATE")


def test_an_unanswered_ping_ends_the_connection() -> None:
    with (
        serving(
            APP, "--http2-keep-alive-interval", "50", "--http2-keep-alive-timeout", "1"
        ) as server,
        server.connect() as sock,
    ):
        sock.settimeout(IO_TIMEOUT)
        sock.sendall(wire.HELLO)
        kinds = [kind for kind, flags, _, _ in frames(sock) if not flags & wire.ACK]
    assert wire.PING in kinds
    assert wire.GOAWAY in kinds[kinds.index(wire.PING) :]


def test_an_idle_connection_is_told_and_closed() -> None:
    with serving(APP, "--http2-idle-timeout", "0.2") as server, server.connect() as sock:
        sock.settimeout(IO_TIMEOUT)
        sock.sendall(wire.HELLO)
        kinds = [kind for kind, _, _, _ in frames(sock)]
    assert wire.GOAWAY in kinds


@pytest.mark.parametrize(("fields", "status"), [(8, b"200"), (9, b"431")])
def test_most_fields(fields: int, status: bytes) -> None:
    more = [(b"x-%d" % number, b"y") for number in range(fields)]
    with serving(APP, "--http2-max-fields", "8") as server, server.connect() as sock:
        sock.settimeout(IO_TIMEOUT)
        sock.sendall(wire.HELLO + wire.get(1, *more))
        assert answered_with(sock) == status


def answered_with(sock: socket) -> bytes:
    decoder = wire.Decoder()
    for kind, _, _, payload in frames(sock):
        if kind == wire.HEADERS:
            return dict(decoder.decode(payload, raw=True))[b":status"]
    raise AssertionError("no HEADERS")


@pytest.mark.parametrize("engine", ["auto", "reference", "fast"])
def test_the_engine_is_chosen(engine: str) -> None:
    with serving(APP, "--http2-engine", engine, "--http", "2") as server, server.connect() as sock:
        sock.settimeout(IO_TIMEOUT)
        sock.sendall(wire.HELLO + wire.get())
        assert answered_with(sock) == b"200"


def test_the_send_buffer_bounds_what_an_application_writes_ahead() -> None:
    """The application notes how far it came before it had to wait for a client without window."""
    reached = {size: written_ahead(size) for size in (16_384, 262_144)}
    assert reached[16_384] < reached[262_144]
    assert reached[16_384] <= 16_384 + 65_535 + 2 * 8192


def written_ahead(size: int) -> int:
    with (
        serving(APP, "--http2-max-send-buffer-size", str(size)) as server,
        server.connect() as sock,
    ):
        sock.settimeout(IO_TIMEOUT)
        # The stream's window opens only so far: the rest has to wait in the server.
        sock.sendall(
            wire.PREFACE + wire.settings((INITIAL_WINDOW_SIZE, 65_535)) + wire.get(path=b"/flood")
        )
        sock.sendall(wire.window(1_000_000))  # the connection's own is not what is looked at
        taken = 0
        for kind, _, stream, payload in frames(sock):
            if kind == wire.DATA and stream == 1:
                taken += len(payload)
                if taken == 65_535:
                    break
        sock.sendall(wire.get(3, path=b"/written"))
        for kind, _, stream, payload in frames(sock):
            if kind == wire.DATA and stream == 3 and payload:
                return int(payload)
    raise AssertionError("no answer")


@pytest.mark.parametrize(
    ("option", "measured"),
    [("--http2-adaptive-window", True), ("--no-http2-adaptive-window", False)],
)
def test_the_adaptive_window_measures_the_path(option: str, *, measured: bool) -> None:
    """A PING while a body arrives is how the path is measured; the growth is a unit test's."""
    with serving(APP, option) as server, server.connect() as sock:
        sock.settimeout(IO_TIMEOUT)
        upload = b"".join(wire.data(b"x" * 16_384) for _ in range(16))
        sock.sendall(wire.HELLO + wire.post(path=b"/sink") + upload + wire.data(end=True))
        kinds = []
        for kind, flags, stream, _ in frames(sock):
            kinds.append(kind)
            if stream == 1 and kind == wire.DATA and flags & wire.END_STREAM:
                break
    assert (wire.PING in kinds) is measured

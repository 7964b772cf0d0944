"""Files that can not be sent, or not to their end, over both HTTP versions."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from tests.conformance.http2 import wire
from tests.e2e.serving import ServerProcess, launch, serving, without_capabilities
from tests.e2e.static_cases import Case
from tests.e2e.test_http2_options import frames
from tests.e2e.test_static import http1, http2

APP = "tests.e2e.apps.files:rsgi"

versions = pytest.mark.parametrize("send", [http1, http2])


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_what_may_not_be_read_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "a.txt").write_bytes(b"secret")
    (tmp_path / "open.txt").write_bytes(b"open")
    (tmp_path / "secret.txt").chmod(0)
    (tmp_path / "closed").chmod(0)
    command = (
        *without_capabilities("dac_override", "dac_read_search"),
        sys.executable,
        "-m",
        "granian",
    )
    options = ("--static-path-mount", str(tmp_path))
    server = launch(APP, *options, interface="rsgi", command=command)
    try:
        server.wait_ready()
        for send in (http1, http2):
            assert send(server, Case("", "/static/open.txt", 200)).body == b"open"
            for name in ("secret.txt", "closed/a.txt", "closed/none", "closed/"):
                reply = send(server, Case("", f"/static/{name}", 404))
                assert (reply.status, reply.body) == (404, b"Not found"), name
        assert "Traceback" not in server.log.text, server.log.text
    finally:
        server.kill()
        (tmp_path / "closed").chmod(0o700)


@versions
def test_a_unix_socket_is_not_there(tmp_path: Path, send: object) -> None:
    assert callable(send)
    with (
        socket.socket(socket.AF_UNIX) as listener,
        serving(APP, "--static-path-mount", str(tmp_path), interface="rsgi") as server,
    ):
        # A path below 108 bytes, however deep the directory is.
        directory = os.open(tmp_path, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{directory}/socket")
        finally:
            os.close(directory)
        assert (tmp_path / "socket").is_socket()
        assert send(server, Case("", "/static/socket", 404)).status == 404


@versions
def test_thousands_of_ranges_are_ignored(tmp_path: Path, send: object) -> None:
    assert callable(send)
    (tmp_path / "a.bin").write_bytes(b"x" * 50_000)
    wanted = "bytes=" + ",".join(f"{at}-{at}" for at in range(0, 6000, 2))
    case = Case("", "/static/a.bin", 200, headers=(("range", wanted),))
    with serving(APP, "--static-path-mount", str(tmp_path), interface="rsgi") as server:
        reply = send(server, case)
    assert reply.status == 200
    assert reply.body == b"x" * 50_000


def download(server: ServerProcess, path: bytes, change: object) -> tuple[int, bool, bool]:
    """Download over HTTP/2; call *change* after the first window; return (size, ended, reset)."""
    assert callable(change)
    taken = 0
    with server.connect() as sock:
        sock.sendall(wire.HELLO + wire.get(path=path))
        for kind, flags, _, payload in frames(sock):
            if kind == wire.RST_STREAM:
                return taken, False, True
            if kind != wire.DATA:
                continue
            taken += len(payload)
            if flags & wire.END_STREAM:
                return taken, True, False
            if taken == 65_535:
                change()
                sock.sendall(wire.window(1 << 30) + wire.window(1 << 30, 1))
    return taken, False, False


def test_over_http2_a_file_that_shrinks_resets_its_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    with serving(APP, "--static-path-mount", str(tmp_path), interface="rsgi") as server:
        seen = download(server, b"/static/a.bin", lambda: os.truncate(path, 1 << 20))
        server.log.wait_for(r"Cannot send all of .*a\.bin")
    assert seen[0] < 64 << 20
    assert seen[1:] == (False, True)


@pytest.mark.parametrize("change", ["grow", "vanish"])
def test_over_http2_a_file_that_grows_or_vanishes_is_sent_as_it_was(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "a.bin"
    with path.open("wb") as file:
        file.truncate(8 << 20)

    def act() -> None:
        if change == "grow":
            with path.open("ab") as file:
                file.write(b"more")
        else:
            path.unlink()

    with serving(APP, "--static-path-mount", str(tmp_path), interface="rsgi") as server:
        assert download(server, b"/static/a.bin", act) == (8 << 20, True, False)

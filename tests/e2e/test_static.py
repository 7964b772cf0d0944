"""Static files and file responses through the real command."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import h2.config
import h2.connection
import h2.events
import pytest

from granian_core.testing.certs import CertificateFiles
from tests.e2e.serving import IO_TIMEOUT, ServerProcess, read_to_end, read_until, serving
from tests.e2e.static_cases import CANARY, CASES, LARGE, Case, make_tree

APPS = "tests.e2e.apps.files"
INTERFACES = ("asgi", "rsgi", "wsgi")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the tree has links and a FIFO")


class Reply(NamedTuple):
    """A response, whatever the HTTP version."""

    status: int
    headers: dict[str, str]
    body: bytes


def http1(server: ServerProcess, case: Case) -> Reply:
    """Send a case over HTTP/1.1."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=IO_TIMEOUT)
    try:
        connection.putrequest(case.method, case.target, skip_accept_encoding=True)
        for name, value in case.headers:
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, fields, response.read())
    finally:
        connection.close()


def http2(server: ServerProcess, case: Case) -> Reply:
    """Send a case over HTTP/2, with prior knowledge."""
    config = h2.config.H2Configuration(header_encoding="utf-8")
    connection = h2.connection.H2Connection(config)
    status, fields, body, ended = 0, {}, b"", False
    with server.connect() as sock:
        connection.initiate_connection()
        pseudo = [(":method", case.method), (":scheme", "http"), (":authority", "localhost")]
        head = [*pseudo, (":path", case.target), *case.headers]
        connection.send_headers(1, head, end_stream=True)
        while not ended:
            sock.sendall(connection.data_to_send())
            data = sock.recv(65536)
            assert data, f"closed in the middle of {case.name}"
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    fields = dict(event.headers)
                    status = int(fields.pop(":status"))
                elif isinstance(event, h2.events.TrailersReceived):
                    fields |= dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, h2.events.StreamEnded):
                    ended = True
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    pytest.fail(f"{case.name}: {event}")
    return Reply(status, fields, body)


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("static"))


@pytest.fixture(scope="module")
def servers(mount: Path) -> Iterator[dict[str, ServerProcess]]:
    options = (
        *("--static-path-route", "/static", "--static-path-mount", str(mount)),
        *("--static-path-route", "/assets/v1/", "--static-path-mount", str(mount)),
        *("--static-path-dir-to-file", "index.html"),
    )
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serving(f"{APPS}:{name}", *options, interface=name))
            for name in INTERFACES
        }


@pytest.mark.parametrize("send", [http1, http2])
@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_battery(
    servers: dict[str, ServerProcess], case: Case, interface: str, send: object
) -> None:
    assert callable(send)
    reply = send(servers[interface], case)

    assert reply.status == case.status
    if case.body is not None:
        assert reply.body == case.body
    assert CANARY not in reply.body
    assert {name: reply.headers.get(name) for name in case.expected} == case.expected


def test_several_ranges_are_parts_of_one_answer(servers: dict[str, ServerProcess]) -> None:
    case = Case("", "/static/large.bin", 206, headers=(("range", "bytes=0-9,1000-1009,-10"),))

    reply = http1(servers["asgi"], case)

    kind, _, boundary = reply.headers["content-type"].partition("; boundary=")
    assert (reply.status, kind) == (206, "multipart/byteranges")
    parts = reply.body.split(b"--" + boundary.encode())
    assert parts[0] == b""
    assert parts[-1] == b"--\r\n"
    contents = [part.partition(b"\r\n\r\n")[2][:-2] for part in parts[1:-1]]
    assert [content.strip(b"\r\n") for content in contents] == [
        LARGE[:10].strip(b"\r\n"),
        LARGE[1000:1010],
        LARGE[-10:],
    ]
    total = len(LARGE)
    assert b"Content-Range: bytes 1000-1009/%d\r\n" % total in parts[2]
    assert int(reply.headers["content-length"]) == len(reply.body)


def test_a_connection_goes_on_after_a_large_file(servers: dict[str, ServerProcess]) -> None:
    get = b"GET /static/large.bin HTTP/1.1\r\nHost: a\r\n"
    for interface in INTERFACES:
        wire = servers[interface].exchange(get + b"\r\n" + get + b"Connection: close\r\n\r\n")
        assert wire.count(LARGE) == 2
        assert len(wire) < 2 * len(LARGE) + 2000


def test_a_changed_file_is_noticed_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    case = Case("", "/static/a.txt", 200)
    with serving(f"{APPS}:asgi", "--static-path-mount", str(tmp_path)) as server:
        first = [http1(server, case) for _ in range(2)]
        (tmp_path / "a.txt").write_bytes(b"two!")
        changed = http1(server, case)
        (tmp_path / "a.txt").unlink()
        gone = http1(server, case)

    assert [reply.body for reply in first] == [b"one", b"one"]
    assert changed.body == b"two!"
    assert changed.headers["etag"] != first[0].headers["etag"]
    assert gone.status == 404


def test_links_and_hidden_names_may_be_allowed(mount: Path) -> None:
    options = (
        *("--static-path-mount", str(mount), "--static-path-route", "/"),
        *("--static-path-follow-symlinks", "--static-path-dotfiles"),
        *("--static-path-expires", "0"),
    )
    with serving(f"{APPS}:asgi", *options) as server:
        assert http1(server, Case("", "/escape.txt", 200)).body == CANARY
        assert http1(server, Case("", "/escape-directory/canary.txt", 200)).body == CANARY
        hidden = http1(server, Case("", "/.git/config", 200))
        assert hidden.body == b"secret"
        assert "cache-control" not in hidden.headers
        assert http1(server, Case("", "/../canary.txt", 404)).status == 404
        assert http1(server, Case("", "/null", 404)).status == 404
        assert http1(server, Case("", "/a.css", 200)).status == 200


def test_a_mount_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    command = ["-m", "granian", "--static-path-mount", str(tmp_path / "none"), f"{APPS}:asgi"]
    result = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        timeout=60,
        check=False,
        text=True,
    )

    assert result.returncode == 2
    assert "--static-path-mount" in result.stderr


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_a_file_of_1_gib_leaves_memory_flat(tmp_path: Path, interface: str) -> None:
    size = 1 << 30
    with (tmp_path / "huge.bin").open("wb") as file:
        file.truncate(size)
    with serving(
        f"{APPS}:{interface}", "--static-path-mount", str(tmp_path), interface=interface
    ) as server:
        before = server.peak_memory()
        with server.connect() as sock:
            sock.sendall(b"GET /static/huge.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            got = len(read_until(sock, b"\r\n\r\n").partition(b"\r\n\r\n")[2])
            buffer = bytearray(1 << 20)
            while count := sock.recv_into(buffer):
                got += count
        grown = server.peak_memory() - before

    assert got == size
    assert grown < 16 << 20


def test_a_file_that_shrinks_never_passes_for_whole(tmp_path: Path) -> None:
    path = tmp_path / "shrinking.bin"
    with path.open("wb") as file:
        file.truncate(256 << 20)
    with serving(f"{APPS}:asgi", "--static-path-mount", str(tmp_path)) as server:
        with server.connect() as sock:
            sock.sendall(b"GET /static/shrinking.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            read_until(sock, b"\r\n\r\n")
            os.truncate(path, 1 << 20)
            rest = read_to_end(sock)
        server.log.wait_for("Cannot send all of .*shrinking.bin")

    assert len(rest) < 256 << 20


def test_a_file_that_grows_or_vanishes_is_sent_as_it_was(tmp_path: Path) -> None:
    size = 64 << 20
    content = os.urandom(1 << 20) * 64
    with serving(f"{APPS}:asgi", "--static-path-mount", str(tmp_path)) as server:
        for change in ("grow", "vanish"):
            path = tmp_path / f"{change}.bin"
            path.write_bytes(content)
            with server.connect() as sock:
                sock.sendall(
                    b"GET /static/%b.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                    % change.encode()
                )
                head, _, start = read_until(sock, b"\r\n\r\n").partition(b"\r\n\r\n")
                if change == "grow":
                    with path.open("ab") as file:
                        file.write(b"more")
                else:
                    path.unlink()
                body = start + read_to_end(sock)
            assert b"content-length: %d\r\n" % size in head + b"\r\n"
            assert hashlib.sha256(body).digest() == hashlib.sha256(content).digest()


# -- the applications' own files -------------------------------------------------


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "large.bin"
    path.write_bytes(LARGE * 8)
    return path


def test_starlette_sends_a_file_by_its_path(large_file: Path) -> None:
    pytest.importorskip("starlette")
    with serving(
        f"{APPS}:starlette", env={"TEST_FILE": str(large_file)}, interface="asginl"
    ) as server:
        reply = http1(server, Case("", "/", 200))
        server.log.wait_for("sent by path")

    assert reply.body == LARGE * 8


def test_django_sends_a_file_by_the_wrapper(large_file: Path) -> None:
    pytest.importorskip("django")
    with serving(f"{APPS}:django", env={"TEST_FILE": str(large_file)}, interface="wsgi") as server:
        reply = http1(server, Case("", "/", 200))
        server.log.wait_for("returned FileWrapper")

    assert reply.body == LARGE * 8


@pytest.mark.parametrize("send", [http1, http2])
def test_zero_copy_send(large_file: Path, send: object) -> None:
    assert callable(send)
    with serving(f"{APPS}:asgi", env={"TEST_FILE": str(large_file)}) as server:
        reply = send(server, Case("", "/zerocopy", 200))

    assert reply.body == LARGE * 8
    assert reply.headers["content-length"] == str(len(LARGE) * 8)


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("interface", INTERFACES)
def test_early_hints_reach_curl(
    servers: dict[str, ServerProcess], interface: str, version: str
) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("needs curl")
    command = [curl, "-sS", "-i", version, f"{servers[interface].url}/hints"]
    result = subprocess.run(command, capture_output=True, timeout=IO_TIMEOUT, check=True)

    hint, _, rest = result.stdout.partition(b"\r\n\r\n")
    assert hint.split()[1] == b"103"
    assert b"link: </a.css>; rel=preload; as=style" in hint
    assert rest.split()[1] == b"299"
    assert rest.endswith(b"application")


def test_trailers_reach_a_client(servers: dict[str, ServerProcess]) -> None:
    wire = servers["asgi"].exchange(
        b"GET /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n"
    )

    assert wire.endswith(b"B\r\napplication\r\n0\r\ngrpc-status: 0\r\n\r\n")


def test_trailers_reach_a_client_of_http2(servers: dict[str, ServerProcess]) -> None:
    reply = http2(servers["asgi"], Case("", "/trailers", 299))

    assert (reply.status, reply.body) == (299, b"application")
    assert reply.headers["grpc-status"] == "0"


def test_over_tls_the_file_is_read(mount: Path, certificate: CertificateFiles) -> None:
    with (
        serving(f"{APPS}:asgi", "--static-path-mount", str(mount), tls=certificate) as server,
        server.client() as client,
    ):
        for _ in range(2):
            assert client.get("/static/large.bin").content == LARGE
        part = client.get("/static/large.bin", headers={"range": "bytes=5-300004"})
        assert (part.status_code, part.content) == (206, LARGE[5:300_005])


def test_static_files_are_in_the_access_log(mount: Path) -> None:
    options = ("--static-path-mount", str(mount), "--access-log", "--url-path-prefix", "/prefix")
    with serving(f"{APPS}:rsgi", *options, interface="rsgi") as server:
        for target in ("/static/a.css", "/static/a.css", "/static/none"):
            http1(server, Case("", target, 200))
        server.log.wait_for(r"GET /static/none HTTP/1.1. 404")

    assert len(re.findall(r"GET /static/a.css HTTP/1.1. 200", server.log.text)) == 2

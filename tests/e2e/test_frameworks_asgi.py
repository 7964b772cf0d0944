"""Real ASGI frameworks behind the real command, driven by real clients."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from granian_core.testing.certs import CertificateFiles
from tests.e2e.apps.asgi_parts import LARGE, MIB
from tests.e2e.serving import ServerProcess, launch, read_to_end, read_until, serving

FRAMEWORKS = ["starlette", "fastapi", "litestar", "falcon", "django"]

FLAT = 16 * MIB
"""How much the memory of a worker may grow while 50 MiB pass through it."""

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture(scope="module", params=FRAMEWORKS)
def server(request: pytest.FixtureRequest, tls: CertificateFiles | None) -> Iterator[ServerProcess]:
    """One server per framework, for all the tests that leave it as it was."""
    framework: str = request.param
    pytest.importorskip(framework)
    with serving(f"tests.e2e.apps.asgi_{framework}:app", tls=tls) as running:
        yield running


def pieces(size: int) -> Iterator[bytes]:
    piece = bytes(range(256)) * 256
    for _ in range(size // len(piece)):
        yield piece


def test_get(server: ServerProcess) -> None:
    with server.client() as client:
        response = client.get("/")

    assert (response.status_code, response.text) == (200, "hello")
    assert response.headers["content-type"].startswith("text/plain")
    assert response.headers["content-length"] == "5"
    assert response.headers["server"] == "granian"


def test_head_is_answered_without_content(server: ServerProcess) -> None:
    reply = server.exchange(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    assert reply.startswith(b"HTTP/1.1 ")
    assert reply.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("size", [0, 1, 100_000, 2 * MIB], ids="{} bytes".format)
def test_a_request_body_comes_back(server: ServerProcess, size: int) -> None:
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    headers = {"content-type": "application/x-thing"}

    with server.client() as client:
        response = client.post("/echo", content=content, headers=headers)

    assert response.status_code == 200
    assert response.content == content
    if size:
        assert response.headers["content-type"] == "application/x-thing"


def test_one_connection_serves_many_requests(server: ServerProcess) -> None:
    request = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n%b"

    with server.connect() as sock:
        for content in (b"one", b"two"):
            sock.sendall(request % content)
            assert read_until(sock, b"\r\n\r\n" + content).startswith(b"HTTP/1.1 200 OK\r\n")


def test_pipelined_requests_are_answered_in_order(server: ServerProcess) -> None:
    request = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n%b\r\n%b"

    reply = server.exchange(
        request % (b"", b"one")
        + request % (b"", b"two")
        + request % (b"Connection: close\r\n", b"end")
    )

    assert re.findall(rb"\r\n\r\n(...)", reply) == [b"one", b"two", b"end"]


def test_continue_is_sent_when_the_application_reads(server: ServerProcess) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"

    with server.connect() as sock:
        sock.sendall(head + b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
        assert read_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"yes")
        assert read_to_end(sock).endswith(b"\r\n\r\nyes")


def test_a_stream_is_chunked(server: ServerProcess) -> None:
    with server.client() as client:
        response = client.get("/stream")

    assert response.text == "".join(f"part {number} " for number in range(10))
    assert response.headers["transfer-encoding"] == "chunked"


def test_an_http_1_0_client_gets_a_stream_until_the_end(server: ServerProcess) -> None:
    reply = server.exchange(b"GET /stream HTTP/1.0\r\n\r\n")
    head, _, content = reply.partition(b"\r\n\r\n")

    assert b"chunked" not in head
    assert content.decode() == "".join(f"part {number} " for number in range(10))


def test_a_half_closed_client_gets_its_answer(server: ServerProcess) -> None:
    if server.tls is not None:
        pytest.skip("there is no half-close under TLS")
    """As from ``printf … | nc``: for a response of one piece nobody looks at the client."""
    reply = server.exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", half_close=True)

    assert reply.endswith(b"\r\n\r\nhello")


def test_cookies_go_both_ways(server: ServerProcess) -> None:
    with server.client() as client:
        first = client.get("/cookies")
        second = client.get("/cookies")

    assert first.text == "[]"
    assert len(first.headers.get_list("set-cookie")) == 2
    assert second.text == "[('a', '1'), ('b', '2')]"


def test_redirects_are_followed(server: ServerProcess) -> None:
    with server.client(follow_redirects=True) as client:
        response = client.get("/redirect")

    assert [step.status_code for step in response.history] == [302]
    assert (response.status_code, response.text) == (200, "hello")


def test_what_is_missing_is_a_404(server: ServerProcess) -> None:
    with server.client() as client:
        assert client.get("/no/such/path").status_code == 404


def test_an_error_is_a_500_that_tells_nothing(server: ServerProcess) -> None:
    with server.client() as client:
        response = client.get("/error")
        again = client.get("/")

    assert response.status_code == 500
    assert "on purpose" not in response.text
    assert "Traceback" not in response.text
    assert again.status_code == 200


def test_both_ends_are_known_to_the_application(server: ServerProcess) -> None:
    with server.client() as client:
        assert client.get("/scope").text == f"127.0.0.1 {server.scheme} ''"


@needs_proc
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upload_of_50_mib_needs_no_memory(server: ServerProcess, framing: str) -> None:
    headers = {"content-length": str(LARGE)} if framing == "length" else {}
    digest = hashlib.sha256()
    for piece in pieces(LARGE):
        digest.update(piece)

    with server.client(timeout=60) as client:
        client.post("/upload", content=pieces(4 * MIB))
        before = server.peak_memory()
        response = client.post("/upload", content=pieces(LARGE), headers=headers)

    assert response.text == f"{LARGE} {digest.hexdigest()}"
    assert server.peak_memory() - before < FLAT


@needs_proc
def test_a_download_of_50_mib_needs_no_memory(server: ServerProcess) -> None:
    with server.client(timeout=60) as client:
        client.get("/stream")
        before = server.peak_memory()
        with client.stream("GET", "/large") as response:
            size = sum(len(piece) for piece in response.iter_raw(65_536))

    assert size == LARGE
    assert server.peak_memory() - before < FLAT


def test_a_client_that_leaves_ends_its_stream(server: ServerProcess) -> None:
    with server.connect() as sock:
        sock.sendall(b"GET /forever HTTP/1.1\r\nHost: localhost\r\n\r\n")
        read_until(sock, b"tick\n")

    with server.client(timeout=30) as client:
        assert client.get("/gone").text == "gone"


@pytest.mark.parametrize("framework", ["starlette", "fastapi", "litestar", "falcon"])
def test_the_lifespan_runs_once_on_either_side(framework: str) -> None:
    pytest.importorskip(framework)

    with serving(f"tests.e2e.apps.asgi_{framework}:app") as server:
        server.log.wait_for("lifespan startup")  # who reads the pipe may be behind
        assert server.log.text.count("lifespan startup") == 1
        assert "lifespan shutdown" not in server.log.text
        assert server.stop() == 0

    assert server.log.text.count("lifespan startup") == 1
    assert server.log.text.count("lifespan shutdown") == 1
    assert "errored" not in server.log.text


def test_an_application_without_lifespan_is_served_with_a_warning() -> None:
    with serving("tests.e2e.apps.asgi_raw:no_lifespan") as server, server.client() as client:
        assert client.get("/").status_code == 200

    assert "[WARNING] ASGI lifespan errored, continuing without it" in server.log.text
    assert "AssertionError: only http here" in server.log.text


def test_asginl_asks_for_no_lifespan() -> None:
    app = "tests.e2e.apps.asgi_raw:no_lifespan"

    with serving(app, interface="asginl") as server, server.client() as client:
        assert client.get("/").status_code == 200

    assert "lifespan" not in server.log.text


def test_a_unix_socket_is_served(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"

    app = "tests.e2e.apps.asgi_raw:no_lifespan"

    with serving(app, interface="asginl", uds=path) as server, server.client() as client:
        assert client.get("/").text == f"({str(path)!r}, None) None"


def test_the_prefix_is_told_to_the_application() -> None:
    pytest.importorskip("starlette")

    app = "tests.e2e.apps.asgi_starlette:app"

    with serving(app, "--url-path-prefix", "/api") as server, server.client() as client:
        assert client.get("/api/scope").text == "127.0.0.1 http '/api'"


def test_the_access_log_has_a_line_per_request() -> None:
    app = "tests.e2e.apps.asgi_raw:no_lifespan"

    with serving(app, "--access-log", interface="asginl") as server:
        with server.client() as client:
            client.get("/caf%C3%A9?q=1")
        line = server.log.wait_for(r"(?m)^\[\d{4}-\S+ \S+ [+-]\d{4}\] (.*)$")[1]

    assert re.fullmatch(r'127\.0\.0\.1 - "GET /café HTTP/1\.1" 200 \d+\.\d{3}', line)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("target", "code", "line"),
    [
        ("refuses_to_start", 5, "no database here"),
        ("exits_at_start", 5, "exited during its lifespan startup (9)"),
        ("takes_too_little", 1, "the application must take (scope, receive, send)"),
    ],
)
def test_an_application_that_can_not_start_stops_the_server(
    target: str, code: int, line: str, workers: str
) -> None:
    server = launch(f"tests.e2e.apps.asgi_raw:{target}", "--workers", workers)
    try:
        assert server.wait() == code
    finally:
        server.kill()

    assert line in server.log.text
    assert "Traceback" not in server.log.text

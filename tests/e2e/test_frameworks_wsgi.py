"""Real WSGI frameworks behind the real command, driven by real clients."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from granian_core.testing.certs import CertificateFiles
from tests.e2e.apps.wsgi_parts import FILE_VARIABLE, LARGE, MIB
from tests.e2e.serving import ServerProcess, launch, read_to_end, read_until, serving

TARGETS = {
    "flask": "tests.e2e.apps.wsgi_flask:app",
    "flask-validated": "tests.e2e.apps.wsgi_flask:validated",
    "django": "tests.e2e.apps.wsgi_django:app",
    "falcon": "tests.e2e.apps.wsgi_falcon:app",
}

FLAT = 16 * MIB
"""How much the memory of a worker may grow while 50 MiB pass through it."""

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def pieces(size: int) -> Iterator[bytes]:
    piece = bytes(range(256)) * 256
    for _ in range(size // len(piece)):
        yield piece


def digest_of(size: int) -> str:
    state = hashlib.sha256()
    for piece in pieces(size):
        state.update(piece)
    return f"{size} {state.hexdigest()}"


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 MiB on disk, to send and to be sent."""
    path = tmp_path_factory.mktemp("wsgi") / "large.bin"
    with path.open("wb") as file:
        file.writelines(pieces(LARGE))
    return path


@pytest.fixture(scope="module", params=list(TARGETS))
def framework(request: pytest.FixtureRequest) -> str:
    """What the server serves, a key of `TARGETS`."""
    name: str = request.param
    pytest.importorskip(name.partition("-")[0])
    return name


@pytest.fixture(scope="module")
def server(
    framework: str, large_file: Path, tls: CertificateFiles | None
) -> Iterator[ServerProcess]:
    """One server per application, for all the tests that leave it as it was."""
    # Few threads, so that memory is compared with the same number of them.
    options = ("--blocking-threads", "2")
    env = {FILE_VARIABLE: str(large_file)}
    with serving(TARGETS[framework], *options, interface="wsgi", env=env, tls=tls) as running:
        yield running
        # What the validator has to say at the end of an object's life goes there.
        assert "AssertionError" not in running.log.text
        assert "garbage collected without being closed" not in running.log.text


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
    reply = server.exchange(b"GET /stream HTTP/1.0\r\nHost: localhost\r\n\r\n")
    head, _, content = reply.partition(b"\r\n\r\n")

    assert b"chunked" not in head
    assert content.decode() == "".join(f"part {number} " for number in range(10))


def test_a_half_closed_client_gets_its_answer(server: ServerProcess) -> None:
    if server.tls is not None:
        pytest.skip("there is no half-close under TLS")
    reply = server.exchange(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n", half_close=True)

    assert reply.endswith(b"part 9 \r\n0\r\n\r\n")


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


def test_paths_keep_their_characters(server: ServerProcess) -> None:
    with server.client() as client:
        assert client.get("/environ?x=%20").text == f"127.0.0.1 {server.scheme} '' '/environ'"
        assert client.get("/caf%C3%A9").status_code == 404


@needs_proc
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upload_of_50_mib_needs_no_memory(
    server: ServerProcess, framework: str, framing: str
) -> None:
    if (framework, framing) == ("django", "chunked"):
        pytest.skip("Django's WSGI handler reads no body without Content-Length")
    headers = {"content-length": str(LARGE)} if framing == "length" else {}

    with server.client(timeout=60) as client:
        client.post("/upload", content=pieces(4 * MIB))
        before = server.peak_memory()
        response = client.post("/upload", content=pieces(LARGE), headers=headers)

    assert response.text == digest_of(LARGE)
    assert server.peak_memory() - before < FLAT


@needs_proc
def test_a_form_with_a_file_of_50_mib_needs_no_memory(
    server: ServerProcess, large_file: Path
) -> None:
    with server.client(timeout=60) as client:
        client.post("/form", files={"file": ("small.bin", bytes(4 * MIB))})
        before = server.peak_memory()
        with large_file.open("rb") as file:
            response = client.post("/form", files={"file": ("large.bin", file)})

    assert response.text == digest_of(LARGE)
    assert server.peak_memory() - before < FLAT


@needs_proc
@pytest.mark.parametrize("path", ["/large", "/file"])
def test_a_download_of_50_mib_needs_no_memory(server: ServerProcess, path: str) -> None:
    state = hashlib.sha256()
    with server.client(timeout=60) as client:
        client.get("/stream")
        before = server.peak_memory()
        with client.stream("GET", path) as response:
            for piece in response.iter_raw(65_536):
                state.update(piece)

    if path == "/file":
        assert response.headers["content-length"] == str(LARGE)
        assert digest_of(LARGE) == f"{LARGE} {state.hexdigest()}"
    else:
        assert state.digest() == hashlib.sha256(bytes(LARGE)).digest()
    assert server.peak_memory() - before < FLAT


def test_a_client_that_leaves_ends_its_stream(server: ServerProcess) -> None:
    with server.connect() as sock:
        sock.sendall(b"GET /forever HTTP/1.1\r\nHost: localhost\r\n\r\n")
        read_until(sock, b"tick\n")

    with server.client(timeout=30) as client:
        assert client.get("/gone").text == "gone"


def test_a_client_that_leaves_within_its_upload_is_not_our_error(server: ServerProcess) -> None:
    before = server.log.text.count("Application callable raised")

    with server.connect() as sock:
        sock.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
    with server.client() as client:
        for _ in range(4):  # both threads have ended what they had
            assert client.get("/").text == "hello"

    assert server.log.text.count("Application callable raised") == before


# -- without a framework -----------------------------------------------------------


RAW = "tests.e2e.apps.wsgi_raw"


def test_the_environ_is_the_request_s_and_not_the_process_s() -> None:
    env = {"DATABASE_PASSWORD": "secret"}
    options = ("--url-path-prefix", "/mount", "--workers", "2")

    with serving(f"{RAW}:environ", *options, interface="wsgi", env=env) as server:
        headers = {"X_Real": "forged", "x-real": "yes"}
        with server.client() as client:
            response = client.get("/mount/caf%C3%A9?q=1", headers=headers)

    environ = json.loads(response.text)
    assert (response.status_code, response.reason_phrase) == (200, "Fine by me")
    assert "DATABASE_PASSWORD" not in environ
    assert environ["SCRIPT_NAME"] == "/mount"
    assert environ["PATH_INFO"] == "/caf\xc3\xa9"
    assert environ["HTTP_X_REAL"] == "yes"
    assert environ["SERVER_PORT"] == str(server.port)
    assert environ["SERVER_SOFTWARE"] == "Granian"
    assert environ["wsgi.multiprocess"] is True
    assert environ["wsgi.multithread"] is True


def test_one_thread_is_told_to_the_application() -> None:
    with (
        serving(
            f"{RAW}:factory", "--factory", "--blocking-threads", "1", interface="wsgi"
        ) as server,
        server.client() as client,
    ):
        environ = client.get("/").json()

    assert environ["wsgi.multithread"] is False
    assert environ["wsgi.multiprocess"] is False


def test_a_unix_socket_is_served(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"

    with serving(f"{RAW}:environ", interface="wsgi", uds=path) as server, server.client() as client:
        environ = client.get("/").json()

    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (str(path), "0")
    assert environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in environ


def test_calls_run_at_the_same_time() -> None:
    with (
        serving(f"{RAW}:together", interface="wsgi") as server,
        server.client() as client,
        concurrent.futures.ThreadPoolExecutor(8) as clients,
    ):
        texts = list(clients.map(lambda _: client.get("/8").text, range(8)))

    assert texts == ["together"] * 8


def test_an_error_within_the_body_cuts_it() -> None:
    with serving(f"{RAW}:cut", interface="wsgi") as server:
        reply = server.exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert b"part" in reply
    assert not reply.endswith(b"0\r\n\r\n")
    assert server.log.text.count("ValueError: in the middle") == 1


def test_an_application_can_not_stop_the_server() -> None:
    with serving(f"{RAW}:leave", interface="wsgi") as server, server.client() as client:
        replies = [client.get("/") for _ in range(2)]

    assert [reply.status_code for reply in replies] == [500, 500]
    assert server.log.text.count("SystemExit: 7") == 2


def test_the_access_log_has_a_line_per_request() -> None:
    with serving(f"{RAW}:environ", "--access-log", interface="wsgi") as server:
        with server.client() as client:
            client.get("/caf%C3%A9?q=1")
        line = server.log.wait_for(r"(?m)^\[\d{4}-\S+ \S+ [+-]\d{4}\] (.*)$")[1]

    assert re.fullmatch(r'127\.0\.0\.1 - "GET /café HTTP/1\.1" 200 \d+\.\d{3}', line)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_application_of_another_interface_is_named(workers: str) -> None:
    server = launch(f"{RAW}:not_wsgi", "--workers", workers, interface="wsgi")
    try:
        assert server.wait() == 1
    finally:
        server.kill()

    assert "looks like an ASGI application; use --interface asgi" in server.log.text
    assert "Traceback" not in server.log.text

"""RSGI applications, with and without a framework, behind the real command."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from granian_core.testing.certs import CertificateFiles
from tests.e2e.serving import ServerProcess, read_until, serving

RAW = "tests.e2e.apps.rsgi_raw:app"
EMMETT = "tests.e2e.apps.rsgi_emmett:app"

MIB = 1 << 20
UPLOAD_SIZE = 50 * MIB
UPLOAD_GROWTH = 12 * MIB
"""Resident memory that an upload may add; a body that is held whole adds four times that."""


@pytest.fixture(scope="module")
def raw(tls: CertificateFiles | None) -> Iterator[ServerProcess]:
    with serving(RAW, interface="rsgi", tls=tls) as server:
        yield server


@pytest.fixture(scope="module")
def emmett(tls: CertificateFiles | None) -> Iterator[ServerProcess]:
    pytest.importorskip("emmett55")
    with serving(EMMETT, interface="rsgi", tls=tls) as server:
        yield server


@pytest.fixture(params=["raw", "emmett"])
def either(request: pytest.FixtureRequest, tls: CertificateFiles | None) -> ServerProcess:
    server: ServerProcess = request.getfixturevalue(request.param)
    return server


# -- what both applications do ---------------------------------------------------


def test_a_body_is_echoed(either: ServerProcess) -> None:
    body = os.urandom(200_000)

    with either.client() as client:
        for _ in range(2):
            response = client.post("/echo", content=body)
            assert (response.status_code, response.content) == (200, body)


def test_a_chunked_body_is_echoed(either: ServerProcess) -> None:
    with either.client() as client:
        response = client.post("/echo", content=iter([b"one,", b"two,", b"three"]))

    assert response.content == b"one,two,three"


def test_a_stream_arrives_whole_and_the_connection_goes_on(either: ServerProcess) -> None:
    with either.client() as client:
        for _ in range(2):
            response = client.get("/lines")
            count = len(response.text.splitlines())
            assert response.headers["transfer-encoding"] == "chunked"
            assert response.text == "".join(f"line {index}\n" for index in range(count))
            assert count >= 100


def test_repeated_cookies_arrive_one_by_one(either: ServerProcess) -> None:
    with either.client() as client:
        path = "/cookies" if "line 999" in client.get("/lines").text else "/count"
        first = client.get(path)
        assert len(first.headers.get_list("set-cookie")) == 2
        second = client.get(path)

    assert second.text != first.text  # it got the cookies of the first


@pytest.mark.parametrize("page", ["/missing", "/missing%2Ftoo"])
def test_an_unknown_page_is_a_404(either: ServerProcess, page: str) -> None:
    with either.client() as client:
        assert client.get(page).status_code == 404


def test_an_exception_is_a_500_and_the_server_goes_on(either: ServerProcess) -> None:
    with either.client() as client:
        response = client.get("/boom")
        assert response.status_code == 500
        assert "KeyError" not in response.text
        either.log.wait_for("KeyError: 'boom'")
        assert client.get("/missing").status_code == 404


def test_an_upload_of_50_mib_does_not_grow_the_process(either: ServerProcess) -> None:
    piece = os.urandom(MIB)
    digest = hashlib.sha256()
    with either.client(timeout=60.0) as client:
        assert client.put("/upload", content=piece).status_code == 200  # what starting costs
        before = either.peak_memory()

        def pieces() -> Iterator[bytes]:
            for _ in range(UPLOAD_SIZE // MIB):
                digest.update(piece)
                yield piece

        response = client.put("/upload", content=pieces())

    assert response.text == digest.hexdigest()
    assert either.peak_memory() - before < UPLOAD_GROWTH


def test_a_client_that_leaves_ends_an_endless_response(either: ServerProcess) -> None:
    with either.connect() as sock:
        sock.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        read_until(sock, b"xxxx")

    either.log.wait_for("the endless response has ended")
    with either.client() as client:
        assert client.get("/missing").status_code == 404


# -- without a framework -----------------------------------------------------------


def test_the_scope_describes_the_request(raw: ServerProcess) -> None:
    with raw.connect() as sock:
        host, port = sock.getsockname()
        sock.sendall(
            b"pUT /scope?a=%20 HTTP/1.1\r\nHost: example.org\r\nX-A: 1\r\nx-b: 2\r\nx-a: 3\r\n"
            b"Connection: close\r\n\r\n"
        )
        facts = json.loads(read_until(sock, b"]]}").partition(b"\r\n\r\n")[2])

    assert facts == {
        "proto": "http",
        "rsgi_version": "1.6",
        "http_version": "1.1",
        "scheme": raw.scheme,
        "method": "pUT",
        "path": "/scope",
        "query_string": "a=%20",
        "server": f"127.0.0.1:{raw.port}",
        "client": f"{host}:{port}",
        "authority": None,
        "headers": [
            ["host", "example.org"],
            ["x-a", "1"],
            ["x-a", "3"],
            ["x-b", "2"],
            ["connection", "close"],
        ],
    }


def test_the_scope_of_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with serving(RAW, interface="rsgi", uds=path) as server, server.client() as client:
        facts = client.get("/scope").json()

    assert (facts["server"], facts["client"]) == (str(path), "")


def test_a_redirect_keeps_the_body(raw: ServerProcess) -> None:
    with raw.client(follow_redirects=True) as client:
        response = client.post("/old", content=b"body")

    assert [past.status_code for past in response.history] == [307]
    assert response.content == b"body"


def test_an_application_without_an_answer_is_a_500(raw: ServerProcess) -> None:
    with raw.client() as client:
        response = client.get("/nothing")

    assert (response.status_code, response.text) == (500, "Internal server error")


def test_an_exception_in_mid_stream_can_not_pass_for_an_end(raw: ServerProcess) -> None:
    with raw.client() as client, pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        client.get("/cut")


@pytest.mark.parametrize("half", [False, True], ids=["close", "half-close"])
def test_client_disconnect_is_felt_at_once(raw: ServerProcess, half: bool) -> None:
    if half and raw.tls is not None:
        pytest.skip("there is no half-close under TLS")
    with raw.connect() as sock:
        seen = raw.log.text.count("the client has left")
        sock.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        raw.log.wait_for(rf"(?s)(waiting for the client.*){{{seen + 1}}}")
        if half:
            sock.shutdown(socket.SHUT_WR)
            assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 204 ")
    raw.log.wait_for(rf"(?s)(the client has left.*){{{seen + 1}}}")


def test_files_are_sent_whole_and_in_ranges(raw: ServerProcess, tmp_path: Path) -> None:
    content = os.urandom(3 * MIB)
    path = tmp_path / "file.bin"
    path.write_bytes(content)

    with raw.client() as client:
        whole = client.get(f"/file?{path}")
        head = client.head(f"/file?{path}")
        part = client.get(f"/part?{path}")
        missing = client.get(f"/file?{path}.missing")

    assert whole.content == content
    assert head.headers["content-length"] == str(len(content))
    assert part.content == content[100:200_000]
    assert (missing.status_code, missing.text) == (404, "Not found")


def test_the_hooks_run_before_and_after_all_requests() -> None:
    with serving(RAW, interface="rsgi") as server:
        server.log.wait_for("application initialised")
        with server.client() as client:
            assert client.post("/echo", content=b"x").text == "x"
        assert "application deleted" not in server.log.text
        assert server.stop() == 0
        assert server.log.text.count("application deleted") == 1


# -- emmett55 ----------------------------------------------------------------------


def test_emmett_routes_parameters_and_queries(emmett: ServerProcess) -> None:
    with emmett.client() as client:
        assert client.get("/").text == f"GET {emmett.scheme} 127.0.0.1"
        assert client.get("/hello/bob").text == "Hello, bob!"
        assert client.get("/hello/bob", params={"greeting": "Hi"}).text == "Hi, bob!"


def test_emmett_parses_json_and_forms(emmett: ServerProcess) -> None:
    with emmett.client() as client:
        total = client.post("/json", json={"numbers": [1, 2, 3]})
        form = client.post(
            "/form", data={"title": "T"}, files={"document": ("a.txt", b"x" * 100_000)}
        )

    assert total.text == "{'sum': 6}"
    assert form.text == "T: a.txt, 100000 bytes"


def test_emmett_redirects_and_aborts(emmett: ServerProcess) -> None:
    with emmett.client(follow_redirects=True) as client:
        assert client.get("/old").text == "Hello, redirected!"
        teapot = client.get("/teapot")

    assert (teapot.status_code, teapot.text) == (418, "short and stout")


def test_emmett_sends_files_and_ranges(emmett: ServerProcess) -> None:
    content = (Path(__file__).parent / "apps" / "rsgi_emmett.py").read_bytes()

    with emmett.client() as client:
        whole = client.get("/file")
        part = client.get("/file", headers={"range": "bytes=10-19"})
        head = client.head("/file")

    assert whole.content == content
    assert (part.status_code, part.content) == (206, content[10:20])
    assert (head.status_code, head.content) == (200, b"")


def test_emmett_streams_events(emmett: ServerProcess) -> None:
    with emmett.client() as client:
        response = client.get("/events")

    assert response.headers["content-type"] == "text/event-stream"
    assert response.text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"

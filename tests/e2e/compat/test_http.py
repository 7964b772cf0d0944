"""HTTP, for each interface: the scope, bodies both ways, files, errors, and many at a time."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.compat.serving import Serving, serving

LIBRARY = "python-httpx"


def facts(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200
    return dict(response.json())


def test_what_the_application_is_told(server: Serving) -> None:
    response = server.get("/info?test=true&a=%20")
    told = facts(response)
    assert response.headers["server"] == "granian"
    assert response.headers["content-length"] == str(len(response.content))
    if server.interface == "wsgi":
        assert told["SERVER_PROTOCOL"] == "HTTP/1.1"
        assert told["wsgi.url_scheme"] == "http"
        assert (told["REQUEST_METHOD"], told["PATH_INFO"]) == ("GET", "/info")
        assert (told["SCRIPT_NAME"], told["QUERY_STRING"]) == ("", "test=true&a=%20")
        assert told["HTTP_HOST"] == f"localhost:{server.port}"
        assert (told["SERVER_NAME"], told["SERVER_PORT"]) == ("127.0.0.1", str(server.port))
        assert told["REMOTE_ADDR"] == "127.0.0.1"
        assert told["SERVER_SOFTWARE"] == "Granian"
        return
    assert (told["http_version"], told["scheme"], told["method"]) == ("1.1", "http", "GET")
    assert (told["path"], told["query_string"]) == ("/info", "test=true&a=%20")
    headers = dict(told["headers"])
    assert headers["host"] == f"localhost:{server.port}"
    assert headers["user-agent"].startswith(LIBRARY)
    if server.interface == "asgi":
        assert told["asgi"] == {"version": "3.0", "spec_version": "2.3"}
        assert (told["type"], told["raw_path"], told["root_path"]) == ("http", "/info", "")
        assert told["server"] == ["127.0.0.1", server.port]
        assert told["client"][0] == "127.0.0.1"
    else:
        assert (told["proto"], told["rsgi_version"]) == ("http", "1.6")
        assert told["server"] == f"127.0.0.1:{server.port}"
        assert re.fullmatch(r"127\.0\.0\.1:\d+", told["client"])
        assert told["authority"] is None


def test_startup_has_run(server: Serving) -> None:
    if server.interface == "wsgi":
        assert server.get("/info").json()["wsgi.run_once"] is False
    else:
        assert server.get("/info").json()["state"] == {"started": True}


def test_a_path_is_decoded(server: Serving) -> None:
    told = facts(server.get("/a%20b/%C3%A9"))
    path = told.get("path") or told["PATH_INFO"].encode("latin-1").decode()
    assert path == "/a b/é"


@pytest.mark.parametrize("size", [0, 4, 100_000, 1 << 20])
def test_a_body_comes_back(server: Serving, size: int) -> None:
    with server.client() as client:
        assert client.post("/echo", content=b"x" * size).content == b"x" * size


def test_a_chunked_body_comes_back(server: Serving) -> None:
    with server.client() as client:
        assert client.post("/echo", content=iter([b"one", b"two", b"three"])).text == "onetwothree"


def test_a_streamed_response(server: Serving) -> None:
    response = server.get("/stream")
    assert response.text == "test" * 3
    assert response.headers["transfer-encoding"] == "chunked"


def test_a_file(server: Serving) -> None:
    assert server.get("/file").text == "hello, file\n"


def test_head_has_no_body(server: Serving) -> None:
    with server.client() as client:
        response = client.head("/info")
        assert (response.status_code, response.content) == (200, b"")
        assert client.get("/stream").status_code == 200


@pytest.mark.parametrize("path", ["/error", "/wrong-order"])
def test_an_error_of_the_application(server: Serving, path: str) -> None:
    response = server.get(path)
    assert (response.status_code, response.text) == (500, "Internal server error")
    assert server.get("/info").status_code == 200


def test_many_at_a_time(server: Serving) -> None:
    with server.client() as client, ThreadPoolExecutor(16) as pool:
        bodies = list(pool.map(lambda _: client.get("/sleep").text, range(32)))
    assert bodies == ["slept"] * 32


def test_a_connection_is_kept(server: Serving) -> None:
    with server.client() as client:
        ports = {
            client.get("/info").extensions["network_stream"].get_extra_info("client_addr")
            for _ in range(5)
        }
    assert len(ports) == 1


def test_static_files(server: Serving) -> None:
    response = server.get("/static/style.css")
    assert (response.status_code, response.text) == (200, "body {}\n")
    assert response.headers["content-type"].startswith("text/css")
    assert response.headers["cache-control"] == "max-age=86400"
    assert server.get("/static/absent").status_code == 404
    assert server.get("/static/%2e%2e/apps.py").status_code == 404


def test_static_files_of_several_mounts() -> None:
    from tests.e2e.compat.apps import FILE

    keywords: dict[str, Any] = {
        "static_path_route": ["/one", "/two"],
        "static_path_mount": [FILE.parent, FILE.parent / "sub"],
        "static_path_dir_to_file": "index.html",
        "static_path_expires": 0,
        "url_path_prefix": "/prefix",
    }
    with serving("asgi", **keywords) as server:
        assert server.get("/one/hello.txt").text == "hello, file\n"
        response = server.get("/two/")
        assert response.text == "<p>index</p>\n"
        assert "cache-control" not in response.headers
        assert facts(server.get("/info"))["root_path"] == "/prefix"

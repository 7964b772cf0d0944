"""The environ holds what PEP 3333 and CGI say, and nothing that a client could forge."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from granian_core import InterfaceOptions
from granian_core.stream import Memo
from granian_wsgi import FileWrapper, Input
from granian_wsgi import environ as environ_module
from granian_wsgi.environ import constant_environ, path_info, request_environ, script_name
from tests.wsgi.support import BodyPieces, blocking, request


@pytest.fixture(autouse=True)
def fresh_keys() -> Iterator[None]:
    """Each test learns field names anew."""
    environ_module._forget_keys()
    yield
    environ_module._forget_keys()


def make(
    root_path: str = "", *, workers: int = 1, multithread: bool = True, **attributes: Any
) -> dict[str, Any]:
    constants = constant_environ(
        InterfaceOptions(root_path=root_path, workers=workers), multithread=multithread
    )
    return request_environ(
        request(**attributes), constants, Input(blocking(BodyPieces([b"the body"])))
    )


def test_minimal_request() -> None:
    environ = make()

    body = environ.pop("wsgi.input")
    assert body.read() == b"the body"
    assert environ == {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "40000",
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "Granian",
        "wsgi.errors": sys.stderr,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
        "wsgi.multiprocess": False,
        "wsgi.multithread": True,
        "wsgi.run_once": False,
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
    }
    assert type(environ) is dict


def test_process_environment_stays_private(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")

    environ = make()

    assert "DATABASE_PASSWORD" not in environ
    assert not set(environ) & set(os.environ)


def test_requests_share_no_state() -> None:
    constants = constant_environ(InterfaceOptions(), multithread=True)
    before = dict(constants)
    body = Input(blocking(BodyPieces([])))

    first = request_environ(request(headers=[(b"x-a", b"1")]), constants, body)
    first["custom"] = 1
    second = request_environ(request(), constants, body)

    assert constants == before
    assert "custom" not in second
    assert "HTTP_X_A" not in second


@pytest.mark.parametrize(
    ("version", "protocol"), [("1.0", "HTTP/1.0"), ("1.1", "HTTP/1.1"), ("2", "HTTP/2")]
)
def test_server_protocol(version: str, protocol: str) -> None:
    assert make(http_version=version)["SERVER_PROTOCOL"] == protocol


def test_flags_follow_the_configuration() -> None:
    environ = make(workers=2, multithread=False)

    assert environ["wsgi.multiprocess"] is True
    assert environ["wsgi.multithread"] is False


def test_request_line() -> None:
    environ = make(method="post", query_string=b"a=%20b&c=\xe9", scheme="https")

    assert environ["REQUEST_METHOD"] == "post"
    assert environ["QUERY_STRING"] == "a=%20b&c=\xe9"
    assert environ["wsgi.url_scheme"] == "https"


@pytest.mark.parametrize(
    ("path", "raw_path", "expected"),
    [
        pytest.param("/a b", b"/a%20b", "/a b", id="ascii"),
        pytest.param("/\u00fc", b"/%C3%BC", "/\xc3\xbc", id="utf-8-escaped"),
        pytest.param("/\u00fc", "/\u00fc".encode(), "/\xc3\xbc", id="utf-8-raw"),
        pytest.param("/\ufffd", b"/%FC", "/\xfc", id="not-utf-8"),
        pytest.param("/%41", b"/%2541", "/%41", id="decoded-once"),
        pytest.param("*", b"*", "*", id="asterisk"),
    ],
)
def test_path_info_carries_the_bytes_as_latin1(path: str, raw_path: bytes, expected: str) -> None:
    assert make(path=path, raw_path=raw_path)["PATH_INFO"] == expected


@pytest.mark.parametrize(
    ("root_path", "expected"),
    [
        ("", ""),
        ("/", ""),
        ("/app", "/app"),
        ("app", "/app"),
        ("/app/", "/app"),
        ("/a/b/", "/a/b"),
        ("/\u00fc", "/\xc3\xbc"),
    ],
)
def test_script_name(root_path: str, expected: str) -> None:
    assert script_name(root_path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/app/page", "/page"),
        ("/app/", "/"),
        ("/app", ""),
        ("/application", "/application"),
        ("/page", "/page"),
        ("/", "/"),
        ("/page/app", "/page/app"),
        ("/app/app/x", "/app/x"),
        ("*", "*"),
    ],
)
def test_prefix_is_cut_on_a_segment_border_only(path: str, expected: str) -> None:
    assert path_info(path, "/app") == expected
    environ = make("/app", path=path, raw_path=path.encode())
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", expected)


def test_prefix_beyond_ascii() -> None:
    environ = make("/\u00fc", path="/\u00fc/x", raw_path=b"/%C3%BC/x")

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/\xc3\xbc", "/x")


def http_fields(environ: dict[str, Any]) -> dict[str, str]:
    return {
        key: value
        for key, value in environ.items()
        if key.startswith("HTTP_") or key in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param(
            [(b"host", b"example.org:81"), (b"x-one-two", b"3")],
            {"HTTP_HOST": "example.org:81", "HTTP_X_ONE_TWO": "3"},
            id="names",
        ),
        pytest.param([(b"x-latin", b"caf\xe9")], {"HTTP_X_LATIN": "caf\xe9"}, id="latin-1"),
        pytest.param([(b"x-empty", b"")], {"HTTP_X_EMPTY": ""}, id="empty-value"),
        pytest.param(
            [(b"content-type", b"text/plain"), (b"content-length", b"3")],
            {"CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "3"},
            id="content-fields-without-prefix",
        ),
        pytest.param(
            [(b"accept", b"a"), (b"x-b", b"1"), (b"accept", b"b, c")],
            {"HTTP_ACCEPT": "a,b, c", "HTTP_X_B": "1"},
            id="repeats-joined",
        ),
        pytest.param(
            [(b"cookie", b"a=1"), (b"cookie", b"b=2; c=3")],
            {"HTTP_COOKIE": "a=1; b=2; c=3"},
            id="cookies-joined",
        ),
        pytest.param(
            [(b"content-type", b"text/html"), (b"content-type", b"text/plain")],
            {"CONTENT_TYPE": "text/html"},
            id="first-content-type",
        ),
        pytest.param(
            [(b"x_user", b"forged"), (b"content_length", b"9"), (b"_", b""), (b"x-user", b"me")],
            {"HTTP_X_USER": "me"},
            id="underscores-dropped",
        ),
    ],
)
def test_fields(headers: list[tuple[bytes, bytes]], expected: dict[str, str]) -> None:
    for _ in range(2):  # the second time the names are known
        assert http_fields(make(headers=headers)) == expected


def test_authority_of_the_target_replaces_host() -> None:
    environ = make(authority=b"target.example", headers=[(b"host", b"other.example")])

    assert environ["HTTP_HOST"] == "target.example"


def test_no_host_field_means_no_key() -> None:
    assert "HTTP_HOST" not in make(http_version="1.0")


def test_unix_socket() -> None:
    environ = make(client=None, server=("/run/app.sock", None))

    assert environ["SERVER_NAME"] == "/run/app.sock"
    assert environ["SERVER_PORT"] == "0"
    assert environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in environ


def test_unknown_server_address_still_gives_a_name_and_port() -> None:
    environ = make(server=None)

    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "0")


def test_cache_of_names_is_bounded_and_recovers() -> None:
    for number in range(3 * environ_module._MAX_KEYS):
        make(headers=[(b"x-junk-%d" % number, b"")])
        assert len(environ_module._KEYS) <= environ_module._MAX_KEYS

    assert b"user-agent" in environ_module._KEYS
    assert make(headers=[(b"x-junk-1", b"v")])["HTTP_X_JUNK_1"] == "v"


def test_errors_go_to_the_given_stream() -> None:
    errors = io.StringIO()

    environ = constant_environ(InterfaceOptions(), multithread=True, errors=errors)

    assert environ["wsgi.errors"] is errors


def test_errors_go_nowhere_when_standard_error_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)

    with constant_environ(InterfaceOptions(), multithread=True)["wsgi.errors"] as errors:
        assert errors.name == os.devnull
        errors.write("no one hears this")


def test_environ_of_a_repeated_request_is_its_own() -> None:
    memo = Memo()

    def repeated(path: str) -> dict[str, Any]:
        one = request(path=path, raw_path=path.encode(), headers=[(b"x-a", b"b")])
        one.memo = memo
        return request_environ(one, constants, Input(blocking(BodyPieces([]))))

    constants = constant_environ(InterfaceOptions(), multithread=True)
    first = repeated("/first")
    alike = make(path="/first", raw_path=b"/first", headers=[(b"x-a", b"b")])
    assert {**first, "wsgi.input": None} == {**alike, "wsgi.input": None}
    first.update({"HTTP_X_A": "spoilt", "app.session": "secret"})

    second = repeated("/second")
    assert second["PATH_INFO"] == "/second"
    assert second["HTTP_X_A"] == "b"
    assert "app.session" not in second
    assert second["wsgi.input"] is not first["wsgi.input"]

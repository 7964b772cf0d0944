"""The proxy wrapper around a WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from granian_wsgi import wrap_wsgi_with_proxy_headers
from granian_wsgi.call import note_for_log
from tests.wsgi.support import request


def ask(trusted: str = "127.0.0.1", peer: str = "127.0.0.1", **environ: str) -> dict[str, Any]:
    """Return the environ as the application gets it."""
    return ask_with({"trusted_hosts": trusted}, peer, **environ)


def ask_with(options: dict[str, Any], peer: str = "127.0.0.1", **environ: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen.update(environ)
        return [b"done"]

    given = {
        "REMOTE_ADDR": peer,
        "REMOTE_PORT": "50000",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SCRIPT_NAME": "",
        "HTTP_HOST": "internal:8000",
        "wsgi.url_scheme": "http",
        **environ,
    }
    wrapped = wrap_wsgi_with_proxy_headers(app, **options)
    assert wrapped(given, lambda *_: None) == [b"done"]
    assert wrapped.__wrapped__ is app  # type: ignore[attr-defined]
    return seen


FORWARDED = {
    "HTTP_X_FORWARDED_FOR": "6.6.6.6,192.0.2.1",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "example.org",
    "HTTP_X_FORWARDED_PREFIX": "/api",
    "HTTP_FORWARDED": "for=6.6.6.6",
}


def test_a_trusted_proxy_is_believed() -> None:
    environ = ask(**FORWARDED)
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("192.0.2.1", "https")
    assert "REMOTE_PORT" not in environ
    assert "HTTP_FORWARDED" not in environ
    assert environ["HTTP_X_FORWARDED_FOR"] == "6.6.6.6,192.0.2.1"
    assert (environ["HTTP_HOST"], environ["SCRIPT_NAME"]) == ("internal:8000", "")


def test_an_untrusted_peer_is_not() -> None:
    environ = ask(peer="203.0.113.9", HTTP_X_REAL_IP="6.6.6.6", **FORWARDED)
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("203.0.113.9", "http")
    assert environ["REMOTE_PORT"] == "50000"
    assert [key for key in environ if "FORWARDED" in key or "REAL" in key] == []


@pytest.mark.parametrize(("trusted", "client"), [("unix", "192.0.2.1"), ("127.0.0.1", "")])
def test_the_peer_of_a_unix_socket(trusted: str, client: str) -> None:
    environ = ask(trusted, "", HTTP_X_FORWARDED_FOR="192.0.2.1")
    assert environ["REMOTE_ADDR"] == client


@pytest.mark.parametrize("scheme", ["ws", "wss", "HTTPS", ""])
def test_only_schemes_of_wsgi_count(scheme: str) -> None:
    environ = ask(HTTP_X_FORWARDED_FOR="192.0.2.1", HTTP_X_FORWARDED_PROTO=scheme)
    assert environ["wsgi.url_scheme"] == "http"


def test_forwarded_of_rfc_7239() -> None:
    line = 'for="[2001:db8::1]:4711";proto=https;host="example.org:444"'
    environ = ask_with({"family": "forwarded", "host": True}, HTTP_FORWARDED=line)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("2001:db8::1", "4711")
    assert environ["HTTP_HOST"] == "example.org:444"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("example.org", "444")


def test_host_and_prefix_are_opted_in() -> None:
    environ = ask_with({"host": True, "prefix": True}, **FORWARDED)
    assert (environ["HTTP_HOST"], environ["SERVER_PORT"]) == ("example.org", "443")
    assert environ["SCRIPT_NAME"] == "/api"


def test_the_access_log_shows_the_client() -> None:
    stream = request(log_client=("127.0.0.1", 5), log_scheme="http")
    note_for_log(stream, {"REMOTE_ADDR": "192.0.2.1", "wsgi.url_scheme": "https"})
    assert (stream.log_client, stream.log_scheme) == (("192.0.2.1", None), "https")
    note_for_log(stream, {"REMOTE_ADDR": "", "wsgi.url_scheme": None})
    assert (stream.log_client, stream.log_scheme) == (None, "https")

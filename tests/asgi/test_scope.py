"""The scope of an HTTP request."""

from __future__ import annotations

import asyncio
import copy
import logging
from typing import Any

import pytest

from granian_asgi import Receive, Scope, Send, asgi
from granian_asgi.interface import ASGIInterface
from granian_core import HTTPStream, InterfaceOptions, ServerConfig, TLSInfo
from granian_core.testing import MemoryServer
from tests.asgi.support import respond, serve
from tests.wires import over_cleartext, over_cleartext_http1, over_http1

pytestmark = pytest.mark.usefixtures("wire")


class Recorder:
    """An application that keeps every scope it sees and answers 200."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await respond(send)


def scope_of(
    raw: bytes, options: InterfaceOptions | None = None, **connection: Any
) -> dict[str, Any]:
    """Send a raw request; return the scope that the application got."""
    app = Recorder()

    async def main() -> None:
        async with serve(app, options) as server:
            client = server.connect(**connection)
            client.send(raw)
            assert (await client.receive_response()).status == 200

    asyncio.run(main())
    (scope,) = app.scopes
    return dict(scope)


@over_cleartext_http1
def test_the_whole_scope_in_the_order_of_its_keys() -> None:
    scope = scope_of(
        b"GET /caf%C3%A9/a%2Fb?q=1&r=%20 HTTP/1.1\r\n"
        b"Host: example.org\r\nX-Twice: 1\r\nAccept: */*\r\nX-TWICE: 2\r\n\r\n",
        peername=("192.0.2.7", 4711),
        sockname=("192.0.2.1", 80),
    )

    assert list(scope.items()) == [
        ("asgi", {"version": "3.0", "spec_version": "2.3"}),
        (
            "extensions",
            {
                "http.response.pathsend": {},
                "http.response.zerocopysend": {},
                "http.response.trailers": {},
                "http.response.early_hint": {},
            },
        ),
        ("type", "http"),
        ("http_version", "1.1"),
        ("server", ("192.0.2.1", 80)),
        ("client", ("192.0.2.7", 4711)),
        ("scheme", "http"),
        ("path", "/café/a/b"),
        ("raw_path", b"/caf%C3%A9/a%2Fb"),
        ("query_string", b"q=1&r=%20"),
        (
            "headers",
            [
                (b"host", b"example.org"),
                (b"x-twice", b"1"),
                (b"accept", b"*/*"),
                (b"x-twice", b"2"),
            ],
        ),
        ("method", "GET"),
        ("root_path", ""),
        ("state", {}),
    ]


def test_the_method_keeps_its_case() -> None:
    assert scope_of(b"pUrge / HTTP/1.1\r\nHost: a\r\n\r\n")["method"] == "pUrge"


def test_a_path_that_is_not_utf8_has_its_bad_bytes_replaced() -> None:
    scope = scope_of(b"GET /%FFx HTTP/1.1\r\nHost: a\r\n\r\n")

    assert (scope["path"], scope["raw_path"]) == ("/\ufffdx", b"/%FFx")


def test_the_root_path_is_told_and_not_stripped() -> None:
    scope = scope_of(
        b"GET /api/items HTTP/1.1\r\nHost: a\r\n\r\n", InterfaceOptions(root_path="/api")
    )

    assert (scope["root_path"], scope["path"]) == ("/api", "/api/items")


@over_http1
def test_http_1_0_without_host_gets_an_empty_one_first() -> None:
    scope = scope_of(b"GET / HTTP/1.0\r\nAccept: */*\r\n\r\n")

    assert scope["http_version"] == "1.0"
    assert scope["headers"] == [(b"host", b""), (b"accept", b"*/*")]


@over_http1
def test_http_1_0_without_any_field_gets_a_host() -> None:
    assert scope_of(b"GET / HTTP/1.0\r\n\r\n")["headers"] == [(b"host", b"")]


@over_http1
def test_a_host_that_is_not_first_stays_where_it_is() -> None:
    scope = scope_of(b"GET / HTTP/1.1\r\nAccept: */*\r\nHost: a\r\n\r\n")

    assert scope["headers"] == [(b"accept", b"*/*"), (b"host", b"a")]


@over_http1
def test_an_absolute_target_decides_the_host() -> None:
    scope = scope_of(b"GET http://b.example:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n")

    assert scope["headers"] == [(b"host", b"b.example:81")]
    assert (scope["path"], scope["query_string"]) == ("/x", b"y")


def test_a_unix_socket_is_a_path_without_a_port_and_has_no_client() -> None:
    scope = scope_of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", peername="", sockname="/run/app.sock")

    assert scope["server"] == ("/run/app.sock", None)
    assert scope["client"] is None


def test_nothing_in_a_scope_is_shared_with_another_request() -> None:
    seen: list[dict[str, Any]] = []

    async def vandal(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(copy.deepcopy(dict(scope)))
        await respond(send)
        for part in (scope["asgi"], scope["extensions"], scope["state"]):
            part["x"] = "mine"
        scope["extensions"]["http.response.pathsend"]["x"] = "mine"
        scope["headers"].append((b"x", b"mine"))

    async def main() -> None:
        async with serve(vandal) as server:
            client = server.connect()
            for _ in range(2):
                await client.request()

    asyncio.run(main())
    assert seen[0] == seen[1]


def test_the_state_is_a_shallow_copy_per_request() -> None:
    shared = object()
    states: list[dict[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["pool"] = shared
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        states.append(dict(scope["state"]))
        scope["state"]["user"] = "only here"
        await respond(send)

    async def main() -> None:
        async with serve(app, factory=asgi) as server:
            client = server.connect()
            for _ in range(2):
                await client.request()

    asyncio.run(main())
    assert states == [{"pool": shared}, {"pool": shared}]


def test_asginl_speaks_no_lifespan() -> None:
    app = Recorder()

    async def main() -> None:
        async with serve(app) as server:
            await server.connect().request()

    asyncio.run(main())
    assert [(scope["type"], scope["state"]) for scope in app.scopes] == [("http", {})]


@over_cleartext
@pytest.mark.parametrize(
    ("client", "scheme", "line"),
    [
        (("203.0.113.9", 0), "https", "203.0.113.9 https"),
        (["203.0.113.9", 0], "https", "203.0.113.9 https"),
        (None, "http", " http"),
        (42, 42, "127.0.0.1 http"),
    ],
)
def test_the_access_log_shows_what_a_proxy_wrapper_wrote(
    client: object, scheme: object, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["client"], scope["scheme"] = client, scheme
        await respond(send)

    async def main() -> None:
        config = ServerConfig(access_log_format="%(addr)s %(scheme)s")
        async with serve(app, InterfaceOptions(access_log=True), config=config) as server:
            await server.connect().request()

    with caplog.at_level(logging.INFO, "granian.access"):
        asyncio.run(main())

    assert [r.getMessage() for r in caplog.records if r.name == "granian.access"] == [line]


def test_the_tls_extension_stands_in_the_scope_of_a_tls_request() -> None:
    """Nothing in it is shared with another request."""
    app = Recorder()
    info = TLSInfo(0x0304, 0x1301, "ours", ("leaf", "issuer"), "CN=client")
    expected = {
        "server_cert": "ours",
        "client_cert_chain": ["leaf", "issuer"],
        "client_cert_name": "CN=client",
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": 0x1301,
    }

    class Secured(ASGIInterface):
        def handle_http(self, stream: HTTPStream) -> Any:
            stream.tls = info
            return super().handle_http(stream)

    async def main() -> None:
        async with MemoryServer(Secured(app, InterfaceOptions(), lifespan=False)) as server:
            for _ in range(2):
                await server.connect().request("GET", "/")
                assert app.scopes[-1]["extensions"]["tls"] == expected
                app.scopes[-1]["extensions"]["tls"]["client_cert_chain"].clear()

    asyncio.run(main())

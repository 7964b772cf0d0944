"""The proxy wrapper around an ASGI application, in a real server."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from typing import Any

import pytest

from granian_asgi import Receive, Scope, Send, asginl, wrap_asgi_with_proxy_headers
from granian_core import InterfaceOptions, ServerConfig
from granian_core.testing import MemoryServer

FORWARDED = [
    (b"host", b"internal:8000"),
    (b"x-forwarded-for", b"6.6.6.6, 192.0.2.1"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"example.org"),
    (b"x-forwarded-prefix", b"/api"),
    (b"forwarded", b"for=6.6.6.6"),
    (b"accept", b"*/*"),
]


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what the scope says."""
    headers = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    keys = ("client", "server", "scheme", "root_path")
    body = json.dumps({"headers": headers, **{key: scope[key] for key in keys}}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def ask(
    app: Any,
    peer: tuple[str, int] | str = ("127.0.0.1", 50_000),
    headers: list[tuple[bytes, bytes]] = FORWARDED,
    config: ServerConfig | None = None,
) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        options = InterfaceOptions(access_log=config is not None)
        async with MemoryServer(asginl(app, options), config) as server:
            socket_name = "/run/s" if isinstance(peer, str) else ("127.0.0.1", 8000)
            client = server.connect(peername=peer, sockname=socket_name)
            return json.loads((await client.request("GET", "/", headers)).body)

    return asyncio.run(main())


def names(told: dict[str, Any]) -> list[str]:
    return [name for name, _ in told["headers"]]


def test_a_trusted_proxy_is_believed() -> None:
    told = ask(wrap_asgi_with_proxy_headers(tell))
    assert told["client"] == ["192.0.2.1", 0]
    assert told["scheme"] == "https"
    assert told["server"] == ["127.0.0.1", 8000]
    assert "x-forwarded-for" in names(told)
    assert "forwarded" not in names(told)


def test_an_untrusted_peer_is_not() -> None:
    told = ask(wrap_asgi_with_proxy_headers(tell), ("203.0.113.9", 5))
    assert (told["client"], told["scheme"]) == (["203.0.113.9", 5], "http")
    assert names(told) == ["host", "accept"]


@pytest.mark.parametrize(
    ("trusted", "believed"), [("unix", True), ("*", True), ("127.0.0.1", False)]
)
def test_the_peer_of_a_unix_socket(trusted: str, believed: bool) -> None:
    headers = [(b"host", b"x"), (b"x-forwarded-for", b"192.0.2.1")]
    told = ask(wrap_asgi_with_proxy_headers(tell, trusted), "", headers)
    assert told["client"] == (["192.0.2.1", 0] if believed else None)


def test_forwarded_of_rfc_7239() -> None:
    line = b'for=6.6.6.6, for="[2001:db8::1]:4711";proto=https;host=example.org'
    app = wrap_asgi_with_proxy_headers(tell, family="forwarded", host=True)
    headers = [(b"host", b"x"), (b"x-forwarded-for", b"6.6.6.6"), (b"forwarded", line)]
    told = ask(app, headers=headers)
    assert told["client"] == ["2001:db8::1", 4711]
    assert told["server"] == ["example.org", 443]
    assert told["headers"][0] == ["host", "example.org"]
    assert names(told).count("host") == 1
    assert "x-forwarded-for" not in names(told)


def test_host_and_prefix_are_opted_in() -> None:
    told = ask(wrap_asgi_with_proxy_headers(tell, host=True, prefix=True))
    assert told["headers"][0] == ["host", "example.org"]
    assert told["server"] == ["example.org", 443]
    assert told["root_path"] == "/api"


@pytest.mark.parametrize(
    ("proto", "scheme"), [("https", "wss"), ("http", "ws"), ("wss", "wss"), ("no", "ws")]
)
def test_scheme_of_a_websocket(proto: str, scheme: str) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["scheme"])

    headers = [(b"x-forwarded-for", b"1.2.3.4"), (b"x-forwarded-proto", proto.encode())]
    scope = {"type": "websocket", "scheme": "ws", "client": ("127.0.0.1", 1), "headers": headers}
    asyncio.run(wrap_asgi_with_proxy_headers(app)(scope, None, None))  # type: ignore[arg-type]
    assert seen == [scheme]


def test_lifespan_passes_through() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    wrapped = wrap_asgi_with_proxy_headers(app)
    scope = {"type": "lifespan"}
    asyncio.run(wrapped(scope, None, None))  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]
    assert wrapped.__wrapped__ is app  # type: ignore[attr-defined]


def test_applications_without_a_name() -> None:
    class Application:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await tell(scope, receive, send)

    assert ask(wrap_asgi_with_proxy_headers(Application()))["scheme"] == "https"
    assert ask(wrap_asgi_with_proxy_headers(functools.partial(tell)))["scheme"] == "https"


def test_the_access_log_shows_the_client(caplog: pytest.LogCaptureFixture) -> None:
    access = logging.getLogger("granian.access")
    access.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, "granian.access"):
            config = ServerConfig(access_log_format="%(addr)s %(scheme)s")
            ask(wrap_asgi_with_proxy_headers(tell), config=config)
    finally:
        access.removeHandler(caplog.handler)
    assert "192.0.2.1 https" in [record.getMessage() for record in caplog.records]

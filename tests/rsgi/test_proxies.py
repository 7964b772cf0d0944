"""The proxy wrapper around an RSGI application, in a real server."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from granian_core import ConfigurationError, InterfaceOptions, ServerConfig
from granian_core.testing import MemoryServer
from granian_rsgi import HTTPProtocol, HTTPScope, rsgi, wrap_rsgi_with_proxy_headers

FORWARDED = [
    (b"host", b"internal:8000"),
    (b"x-forwarded-for", b"6.6.6.6, 192.0.2.1"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"example.org"),
    (b"forwarded", b"for=6.6.6.6"),
]


async def tell(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    """Answer with what the scope says."""
    assert isinstance(scope, HTTPScope)
    body = json.dumps(
        {
            "client": scope.client,
            "scheme": scope.scheme,
            "authority": scope.authority,
            "headers": scope.headers.items(),
            "proto": scope.proto,
            "server": scope.server,
        }
    )
    protocol.response_str(200, [], body)


def ask(
    app: Any,
    peer: tuple[str, int] | str = ("127.0.0.1", 50_000),
    headers: list[tuple[bytes, bytes]] = FORWARDED,
    config: ServerConfig | None = None,
) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        options = InterfaceOptions(access_log=config is not None)
        async with MemoryServer(rsgi(app, options), config) as server:
            socket_name = "/run/s" if isinstance(peer, str) else ("127.0.0.1", 8000)
            client = server.connect(peername=peer, sockname=socket_name)
            return json.loads((await client.request("GET", "/", headers)).body)

    return asyncio.run(main())


def names(told: dict[str, Any]) -> list[str]:
    return [name for name, _ in told["headers"]]


def test_a_trusted_proxy_is_believed() -> None:
    told = ask(wrap_rsgi_with_proxy_headers(tell))
    assert (told["client"], told["scheme"]) == ("192.0.2.1:0", "https")
    assert (told["proto"], told["server"]) == ("http", "127.0.0.1:8000")
    assert names(told) == ["host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]


def test_an_untrusted_peer_is_not() -> None:
    told = ask(wrap_rsgi_with_proxy_headers(tell), ("203.0.113.9", 5))
    assert (told["client"], told["scheme"]) == ("203.0.113.9:5", "http")
    assert names(told) == ["host"]


def test_without_forwarding_fields_the_scope_is_the_servers() -> None:
    seen: list[object] = []

    async def app(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        seen.append(type(scope))
        await tell(scope, protocol)

    ask(wrap_rsgi_with_proxy_headers(app), headers=[(b"host", b"x")])
    assert seen == [HTTPScope]


@pytest.mark.parametrize(("trusted", "client"), [("unix", "[2001:db8::1]:0"), ("127.0.0.1", "")])
def test_the_peer_of_a_unix_socket(trusted: str, client: str) -> None:
    headers = [(b"host", b"x"), (b"x-forwarded-for", b"2001:db8::1")]
    assert ask(wrap_rsgi_with_proxy_headers(tell, trusted), "", headers)["client"] == client


def test_forwarded_of_rfc_7239() -> None:
    app = wrap_rsgi_with_proxy_headers(tell, family="forwarded", host=True)
    line = b"for=192.0.2.1;proto=wss;host=example.org"
    told = ask(app, headers=[(b"host", b"x"), (b"forwarded", line)])
    assert (told["client"], told["scheme"]) == ("192.0.2.1:0", "https")
    assert told["headers"][0] == ["host", "example.org"]
    assert names(told).count("host") == 1


def test_the_application_s_hooks_are_called() -> None:
    calls: list[str] = []

    class Application:
        def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
            calls.append("init")

        def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
            calls.append("del")

        async def __rsgi__(self, scope: HTTPScope, protocol: HTTPProtocol) -> None:
            calls.append("call")
            await tell(scope, protocol)

    ask(wrap_rsgi_with_proxy_headers(Application()))
    assert calls == ["init", "call", "del"]


def test_attributes_stay_read_only() -> None:
    async def app(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        with pytest.raises(AttributeError):
            scope.client = "6.6.6.6"  # type: ignore[misc]
        await tell(scope, protocol)

    assert ask(wrap_rsgi_with_proxy_headers(app))["client"] == "192.0.2.1:0"


def test_what_is_no_application_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="use an RSGI application"):
        wrap_rsgi_with_proxy_headers(5)


def test_the_access_log_shows_the_client(caplog: pytest.LogCaptureFixture) -> None:
    access = logging.getLogger("granian.access")
    access.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, "granian.access"):
            config = ServerConfig(access_log_format="%(addr)s %(scheme)s")
            ask(wrap_rsgi_with_proxy_headers(tell), config=config)
    finally:
        access.removeHandler(caplog.handler)
    assert "192.0.2.1 https" in [record.getMessage() for record in caplog.records]

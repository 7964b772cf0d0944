"""An RSGI application without a framework: every method of the protocol object."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable

from granian_rsgi import HTTPProtocol, HTTPScope, ProtocolClosed

TEXT = [("content-type", "text/plain; charset=utf-8")]

Handler = Callable[[HTTPScope, HTTPProtocol], Awaitable[None]]


async def show_scope(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    facts = {
        "proto": scope.proto,
        "rsgi_version": scope.rsgi_version,
        "http_version": scope.http_version,
        "scheme": scope.scheme,
        "method": scope.method,
        "path": scope.path,
        "query_string": scope.query_string,
        "server": scope.server,
        "client": scope.client,
        "authority": scope.authority,
        "headers": scope.headers.items(),
    }
    protocol.response_str(200, [("content-type", "application/json")], json.dumps(facts))


async def echo(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    protocol.response_bytes(200, TEXT, await protocol())


async def upload(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    digest = hashlib.sha256()
    async for chunk in protocol:
        digest.update(chunk)
    protocol.response_str(200, TEXT, digest.hexdigest())


async def cookies(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    fields = [("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2; Path=/"), *TEXT]
    protocol.response_str(200, fields, scope.headers.get("cookie", "none"))


async def old(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    protocol.response_empty(307, [("location", "/echo")])


async def boom(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    raise KeyError("boom")


async def nothing(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    pass


async def cut(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    await protocol.response_stream(200, TEXT).send_str("part")
    raise KeyError("in mid-stream")


async def lines(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    transport = protocol.response_stream(200, TEXT)
    for index in range(1000):
        await transport.send_str(f"line {index}\n")


async def endless(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    transport = protocol.response_stream(200, TEXT)
    try:
        while True:
            await transport.send_bytes(b"x" * 65_536)
            await asyncio.sleep(0)
    except ProtocolClosed:
        print("the endless response has ended", flush=True)


async def wait(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    print("waiting for the client to leave", flush=True)
    await protocol.client_disconnect()
    print("the client has left", flush=True)
    protocol.response_empty(204)


async def file(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    protocol.response_file(200, TEXT, scope.query_string)


async def part(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    protocol.response_file_range(206, TEXT, scope.query_string, 100, 200_000)


HANDLERS: dict[str, Handler] = {
    "/scope": show_scope,
    "/echo": echo,
    "/upload": upload,
    "/cookies": cookies,
    "/old": old,
    "/boom": boom,
    "/nothing": nothing,
    "/cut": cut,
    "/lines": lines,
    "/endless": endless,
    "/wait": wait,
    "/file": file,
    "/part": part,
}


class Application:
    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(asyncio.sleep(0))
        print("application initialised", flush=True)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(asyncio.sleep(0))
        print("application deleted", flush=True)

    async def __rsgi__(self, scope: HTTPScope, protocol: HTTPProtocol) -> None:
        handler = HANDLERS.get(scope.path)
        if handler is None:
            protocol.response_str(404, TEXT, "no such page")
        else:
            await handler(scope, protocol)


app = Application()

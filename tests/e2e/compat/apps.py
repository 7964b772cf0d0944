"""One application for each interface, with the same routes as far as the interface has them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "static" / "hello.txt"
TEXT = [("content-type", "text/plain; charset=utf-8")]


# -- ASGI ------------------------------------------------------------------------------


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await asgi_lifespan(scope, receive, send)
    elif scope["type"] == "websocket":
        await ASGI_WEBSOCKETS[scope["path"]](scope, receive, send)
    else:
        await ASGI[scope["path"]](scope, receive, send)


async def asgi_lifespan(scope: Any, receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        scope["state"]["started"] = True
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def asgi_answer(send: Any, body: bytes, status: int = 200) -> None:
    headers = [(name.encode(), value.encode()) for name, value in TEXT]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def asgi_info(scope: Any, receive: Any, send: Any) -> None:
    keys = ("type", "http_version", "scheme", "method", "path", "root_path", "state", "asgi")
    facts = {key: scope[key] for key in keys if key in scope}
    facts["query_string"] = scope["query_string"].decode()
    facts["raw_path"] = scope["raw_path"].decode()
    facts["client"], facts["server"] = scope["client"], scope["server"]
    facts["headers"] = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    await asgi_answer(send, json.dumps(facts).encode())


async def asgi_echo(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await asgi_answer(send, body)


async def asgi_stream(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(3):
        await send({"type": "http.response.body", "body": b"test", "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def asgi_file(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.pathsend", "path": str(FILE)})


async def asgi_sleep(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(0.2)
    await asgi_answer(send, b"slept")


async def asgi_error(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("app error")


async def asgi_wrong_order(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.body", "body": b"body"})


async def asgi_ws_echo(scope: Any, receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", "subprotocol": (scope["subprotocols"] or [None])[0]})
    while (message := await receive())["type"] == "websocket.receive":
        reply = {"type": "websocket.send"}
        reply |= {key: message[key] for key in ("text", "bytes") if message.get(key) is not None}
        await send(reply)


async def asgi_ws_info(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    facts = {key: scope[key] for key in ("type", "scheme", "path", "http_version")}
    await send({"type": "websocket.send", "text": json.dumps(facts)})
    await receive()


async def asgi_ws_reject(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.close"})


async def asgi_ws_push(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "one"})
    await send({"type": "websocket.send", "bytes": b"two"})
    await send({"type": "websocket.close"})


ASGI = {
    "/info": asgi_info,
    "/echo": asgi_echo,
    "/stream": asgi_stream,
    "/file": asgi_file,
    "/sleep": asgi_sleep,
    "/error": asgi_error,
    "/wrong-order": asgi_wrong_order,
    "/a b/é": asgi_info,
}
ASGI_WEBSOCKETS = {
    "/echo": asgi_ws_echo,
    "/info": asgi_ws_info,
    "/reject": asgi_ws_reject,
    "/push": asgi_ws_push,
}


# -- RSGI ------------------------------------------------------------------------------


class RSGI:
    """An object with the three methods."""

    started = False

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.started = loop.run_until_complete(asyncio.sleep(0, True))

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        print("rsgi del", loop.is_running(), flush=True)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        routes = RSGI_WEBSOCKETS if scope.proto == "ws" else RSGI_HTTP
        await routes[scope.path](scope, protocol)


async def rsgi_info(scope: Any, protocol: Any) -> None:
    names = "rsgi_version http_version scheme method path query_string client server authority"
    facts = {name: getattr(scope, name) for name in ["proto", *names.split()]}
    facts["headers"] = scope.headers.items()
    facts["state"] = {"started": rsgi.started}
    protocol.response_str(200, TEXT, json.dumps(facts))


async def rsgi_echo(scope: Any, protocol: Any) -> None:
    protocol.response_bytes(200, TEXT, await protocol())


async def rsgi_stream(scope: Any, protocol: Any) -> None:
    transport = protocol.response_stream(200, TEXT)
    for _ in range(3):
        await transport.send_str("test")


async def rsgi_file(scope: Any, protocol: Any) -> None:
    protocol.response_file(200, TEXT, str(FILE))


async def rsgi_sleep(scope: Any, protocol: Any) -> None:
    await asyncio.sleep(0.2)
    protocol.response_str(200, TEXT, "slept")


async def rsgi_error(scope: Any, protocol: Any) -> None:
    raise RuntimeError("app error")


async def rsgi_nothing(scope: Any, protocol: Any) -> None:
    """Answer nothing at all."""


async def rsgi_ws_echo(scope: Any, protocol: Any) -> None:
    transport = await protocol.accept()
    while (message := await transport.receive()).kind:
        if message.kind == 1:
            await transport.send_bytes(message.data)
        else:
            await transport.send_str(message.data)


async def rsgi_ws_info(scope: Any, protocol: Any) -> None:
    transport = await protocol.accept()
    facts = {key: getattr(scope, key) for key in ("proto", "scheme", "path", "method")}
    await transport.send_str(json.dumps(facts))
    await transport.receive()


async def rsgi_ws_reject(scope: Any, protocol: Any) -> None:
    protocol.close(403)


async def rsgi_ws_push(scope: Any, protocol: Any) -> None:
    transport = await protocol.accept()
    await transport.send_str("one")
    await transport.send_bytes(b"two")
    protocol.close()


RSGI_HTTP = {
    "/info": rsgi_info,
    "/echo": rsgi_echo,
    "/stream": rsgi_stream,
    "/file": rsgi_file,
    "/sleep": rsgi_sleep,
    "/error": rsgi_error,
    "/wrong-order": rsgi_nothing,
    "/a b/é": rsgi_info,
}
RSGI_WEBSOCKETS = {
    "/echo": rsgi_ws_echo,
    "/info": rsgi_ws_info,
    "/reject": rsgi_ws_reject,
    "/push": rsgi_ws_push,
}
rsgi = RSGI()


# -- WSGI ------------------------------------------------------------------------------


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"].encode("latin-1").decode()
    return WSGI[path](environ, start_response)


def wsgi_info(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    facts = {key: value for key, value in environ.items() if isinstance(value, (str, bool))}
    start_response("200 OK", TEXT)
    return [json.dumps(facts).encode()]


def wsgi_echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return [environ["wsgi.input"].read()]


def wsgi_stream(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return iter([b"test"] * 3)


def wsgi_file(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return FILE.open("rb")


def wsgi_sleep(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    asyncio.run(asyncio.sleep(0.2))
    start_response("200 OK", TEXT)
    return [b"slept"]


def wsgi_error(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    raise RuntimeError("app error")


def wsgi_unstarted(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return [b"never started"]


WSGI = {
    "/info": wsgi_info,
    "/echo": wsgi_echo,
    "/stream": wsgi_stream,
    "/file": wsgi_file,
    "/sleep": wsgi_sleep,
    "/error": wsgi_error,
    "/wrong-order": wsgi_unstarted,
    "/a b/é": wsgi_info,
}

"""The same WebSocket for each interface: echoes, and obeys a few words."""

from __future__ import annotations

import gc
import os


def engine_names():
    """Return the names of the WebSocket engines that are at work."""
    found = {type(each) for each in gc.get_objects() if type(each).__name__.endswith("Engine")}
    return [each.__name__ for each in found if each.__module__.startswith("granian_core.websocket")]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"plain"})
        return
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] == "/deny":
        start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x", b"y")]}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": b"denied"})
        return
    await send(
        {
            "type": "websocket.accept",
            "subprotocol": next(iter(scope["subprotocols"]), None),
            "headers": [(b"x-pid", str(os.getpid()).encode())],
        }
    )
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            print("disconnected", message["code"], message["reason"], flush=True)
            return
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4000, "reason": "as told"})
        elif message.get("text") == "raise":
            raise ValueError("as told")
        elif message.get("text") == "engine":
            await send({"type": "websocket.send", "text": " ".join(engine_names())})
        elif "text" in message:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def rsgi(scope, protocol):
    if scope.proto == "http":
        protocol.response_str(200, [], "plain")
        return
    if scope.path == "/deny":
        protocol.close(401)
        return
    transport = await protocol.accept()
    while True:
        message = await transport.receive()
        if message.kind == 0:
            print("disconnected", flush=True)
            return
        if message.kind == 2 and message.data == "close":
            protocol.close()
            return
        if message.kind == 2 and message.data == "raise":
            raise ValueError("as told")
        if message.kind == 2:
            await transport.send_str(message.data)
        else:
            await transport.send_bytes(message.data)


def wsgi(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"plain"]

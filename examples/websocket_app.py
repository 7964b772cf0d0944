"""WebSockets without a framework, for both interfaces that have them.

``granian --interface asginl --working-dir examples websocket_app:asgi``, or
``granian --interface rsgi --working-dir examples websocket_app:rsgi``. Each sends back what
it gets.
"""

from __future__ import annotations

from typing import Any

from granian_rsgi import HTTPProtocol, Scope, WebsocketMessageType, WebsocketProtocol


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve ASGI."""
    if scope["type"] != "websocket":
        await send({"type": "http.response.start", "status": 426, "headers": []})
        await send({"type": "http.response.body", "body": b"WebSockets only\n"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


async def rsgi(scope: Scope, protocol: HTTPProtocol | WebsocketProtocol) -> None:
    """Serve RSGI."""
    if isinstance(protocol, HTTPProtocol):
        protocol.response_str(426, [], "WebSockets only\n")
        return
    transport = await protocol.accept()
    while (message := await transport.receive()).kind != WebsocketMessageType.close:
        if message.kind == WebsocketMessageType.bytes:
            await transport.send_bytes(message.data)
        else:
            await transport.send_str(message.data)

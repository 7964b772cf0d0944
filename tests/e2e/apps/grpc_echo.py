"""A service of gRPC written by hand on ASGI: a unary call, answered with trailers.

See https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md for the framing.
"""

from __future__ import annotations

from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Echo the message of /test.Echo/Say in capitals; any other method is not there."""
    assert "http.response.trailers" in scope["extensions"]
    content, more = b"", True
    while more:
        message = await receive()
        content += message["body"]
        more = message["more_body"]
    head = [(b"content-type", b"application/grpc")]
    await send({"type": "http.response.start", "status": 200, "headers": head, "trailers": True})
    if scope["path"] == "/test.Echo/Say":
        answer = content[5:].upper()
        body = b"\0" + len(answer).to_bytes(4, "big") + answer
        trailers = [(b"grpc-status", b"0"), (b"x-size", b"%d" % len(answer))]
    else:
        body = b""
        trailers = [(b"grpc-status", b"12"), (b"grpc-message", b"no such method")]
    await send({"type": "http.response.body", "body": body})
    await send({"type": "http.response.trailers", "headers": trailers})

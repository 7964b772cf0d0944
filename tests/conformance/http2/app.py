"""The application of the HTTP/2 battery: says what it saw."""

from __future__ import annotations

import contextlib
from typing import Any

from granian_core import (
    BaseInterface,
    ClientDisconnected,
    HTTPStream,
    WebSocketClosed,
    WebSocketStream,
)

BIG = b"x" * 100_000


class BatteryApp(BaseInterface):
    """Answers by path, and records every request that reaches it."""

    def __init__(self, *, websockets: bool = False) -> None:
        self.websockets = websockets
        self.seen: list[dict[str, Any]] = []

    async def handle_http(self, stream: HTTPStream) -> None:
        record: dict[str, Any] = {
            "method": stream.method,
            "path": stream.path,
            "raw_path": stream.raw_path,
            "query": stream.query_string,
            "authority": stream.authority,
            "headers": stream.headers,
        }
        assert stream.http_version == "2"
        self.seen.append(record)
        if stream.path == "/hold":
            await stream.wait_disconnect()
            return
        try:
            record["body"] = await stream.read_all()
        except ClientDisconnected:
            record["disconnected"] = True
            raise
        record["trailers"] = stream.trailers
        body = {"/big": BIG, "/empty": b""}.get(stream.path, b"0123456789")
        stream.respond(200, [(b"content-type", b"text/plain")], body)

    async def handle_websocket(self, stream: WebSocketStream) -> None:
        self.seen.append(
            {
                "method": stream.method,
                "path": stream.path,
                "query": stream.query_string,
                "authority": stream.authority,
                "scheme": stream.scheme,
            }
        )
        if stream.path == "/deny":
            stream.reject(404, [], b"no")
            return
        stream.accept()
        stream.close()
        with contextlib.suppress(WebSocketClosed):
            await stream.receive()

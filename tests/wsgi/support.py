"""Doubles for the tests of one module at a time; everything else runs on the real core."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

from granian_core import BlockingStream, ClientDisconnected, HTTPStream


def request(**attributes: Any) -> HTTPStream:
    """Return the attributes of a request: ``GET / HTTP/1.1`` unless told otherwise."""
    values: dict[str, Any] = {
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "authority": None,
        "headers": [],
        "client": ("192.0.2.1", 40_000),
        "server": ("127.0.0.1", 8000),
        "memo": None,
    }
    values.update(attributes)
    return cast(HTTPStream, SimpleNamespace(**values))


class BodyPieces:
    """A `BlockingStream` that has a body in given pieces, and nothing else.

    A read returns at most one piece, as the real one returns what has arrived.
    """

    def __init__(self, pieces: Iterable[bytes], *, complete: bool = True) -> None:
        self.pieces = [piece for piece in pieces if piece]
        self.complete = complete

    def read(self, size: int = -1) -> bytes:
        assert size != 0, "a read of nothing can not tell the end from a pause"
        if not self.pieces:
            if self.complete:
                return b""
            raise ClientDisconnected
        piece = self.pieces.pop(0)
        if 0 < size < len(piece):
            self.pieces.insert(0, piece[size:])
            piece = piece[:size]
        return piece


class RecordingStream:
    """A `BlockingStream` that writes down what is done with it, in order."""

    def __init__(self, method: str = "GET") -> None:
        self.stream = request(method=method)
        self.calls: list[tuple[object, ...]] = []

    def respond(
        self,
        status: int,
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        *,
        reason: bytes | None = None,
    ) -> None:
        self.calls.append(("respond", status, reason, list(headers), body))

    def start(
        self,
        status: int,
        headers: Iterable[tuple[bytes, bytes]] = (),
        *,
        reason: bytes | None = None,
    ) -> None:
        self.calls.append(("start", status, reason, list(headers)))

    def write(self, data: bytes) -> None:
        self.calls.append(("write", data))

    def finish(self, trailers: object = None) -> None:
        self.calls.append(("finish",))

    def send_file(self, file: BinaryIO, count: int | None = None) -> None:
        self.calls.append(("send_file", file.tell(), count))


def blocking(double: BodyPieces | RecordingStream) -> BlockingStream:
    """Pass a double for the real thing."""
    return cast(BlockingStream, double)

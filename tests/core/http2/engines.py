"""Drive an HTTP/2 engine by hand: a handler that records, answers by path, and reads the output."""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeAlias

from hpack import Decoder

from granian_core.http2.budget import Budget
from granian_core.http2.contract import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, HTTP2Engine
from granian_core.http2.fast import FastEngine
from granian_core.http2.fields import Request
from granian_core.http2.frames import CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS
from granian_core.http2.reference import ReferenceEngine
from granian_core.settings import HTTP2Settings, Limits
from granian_core.stream import Fields

EngineFactory: TypeAlias = Callable[..., HTTP2Engine]
Call: TypeAlias = tuple[object, ...]

ENGINES: dict[str, EngineFactory] = {"fast": FastEngine, "reference": ReferenceEngine}

BODY = b"x" * 40_000
"""What ``/big`` is answered with: more than a frame, less than a window."""


LINKS = [(b"link", b"<%d>" % number + b"\xff" * 600) for number in range(40)]
"""What ``/hints`` is answered with before: a field block that takes two frames."""


class Recorder:
    """Records an engine's calls and answers requests as their paths say.

    ``/`` at the end of the request, ``/now`` at its head, ``/big`` as windows allow, ``/hints``
    with an informational head and trailers, ``/reset`` by RST_STREAM; others never. Bodies are
    credited, but not those of ``/full``.

    Args:
        factory: The engine's class.
        settings: Its settings.
        limits: Its limits.
    """

    def __init__(self, factory: EngineFactory, settings: HTTP2Settings, limits: Limits) -> None:
        self.calls: list[Call] = []
        self.output: list[bytes] = []
        self.paths: dict[int, bytes] = {}
        self.left: dict[int, int] = {}
        self.failed = False
        self.budget = Budget()
        self.engine = factory(
            self, self.output.append, settings, limits, self.budget, extended_connect=True
        )

    def _note(self, *call: object) -> None:
        assert not self.failed, f"{call} after an error"
        self.calls.append(call)

    def on_request(self, stream_id: int, request: Request) -> None:
        self._note(
            "request", stream_id, request.method, request.scheme, request.authority,
            request.path, request.protocol, list(request.headers), request.content_length,
            request.has_body, request.expects_continue, request.priority, request.size,
            request.status,
        )  # fmt: skip
        request.headers.append((b"written-by", b"the application"))
        engine = self.engine
        if request.status:
            engine.send_headers(stream_id, [(b":status", b"%d" % request.status)], True)
            if request.has_body:
                engine.send_reset(stream_id, 0)
            return
        self.paths[stream_id] = request.path
        if request.path == b"/reset":
            self._close(stream_id)
            engine.send_reset(stream_id, 8)
        elif request.path == b"/now" or not request.has_body:
            self._answer(stream_id)

    def _answer(self, stream_id: int) -> None:
        path = self.paths[stream_id]
        engine = self.engine
        if path in (b"/", b"/now"):
            if min(engine.window(stream_id), engine.max_frame) >= 5:
                engine.send_response(stream_id, [(b":status", b"200"), (b"a", b"b")], b"hello")
            else:
                engine.send_headers(stream_id, [(b":status", b"503")], True)
            self._close(stream_id)
        elif path == b"/hints":
            engine.send_headers(stream_id, [(b":status", b"103"), *LINKS], False)
            engine.send_headers(stream_id, [(b":status", b"200")], False)
            engine.send_headers(stream_id, [(b"checksum", b"0")], True)
            self._close(stream_id)
        elif path == b"/big":
            engine.send_headers(stream_id, [(b":status", b"200")], False)
            self.left[stream_id] = len(BODY)
            self._send(stream_id)

    def _send(self, stream_id: int) -> None:
        engine = self.engine
        while stream_id in self.left:
            left = self.left[stream_id]
            size = min(engine.window(stream_id), engine.max_frame, left)
            if size <= 0:
                return
            self.left[stream_id] = left - size
            engine.send_data(stream_id, BODY[:size], left == size)
            if left == size:
                self._close(stream_id)

    def _close(self, stream_id: int) -> None:
        self.paths.pop(stream_id, None)
        self.left.pop(stream_id, None)

    def on_data(self, stream_id: int, data: bytes, flow_size: int) -> None:
        assert type(data) is bytes
        self._note("data", stream_id, data, flow_size)
        if self.paths.get(stream_id) != b"/full":
            self.engine.credit(0, flow_size)
            self.engine.credit(stream_id, flow_size)
        if data == b"stop" and stream_id in self.paths:
            self._close(stream_id)
            self.engine.send_reset(stream_id, 0)

    def on_end(self, stream_id: int, trailers: Fields | None) -> None:
        assert trailers != []
        self._note("end", stream_id, trailers)
        if stream_id in self.paths and stream_id not in self.left:
            self._answer(stream_id)

    def on_reset(self, stream_id: int, code: int, remote: bool) -> None:
        self._note("reset", stream_id, code, remote)
        self._close(stream_id)

    def on_window(self, stream_id: int) -> None:
        self._note("window", stream_id)
        for waiting in list(self.left) if not stream_id else [stream_id]:
            self._send(waiting)

    def on_priority(self, stream_id: int, value: bytes) -> None:
        self._note("priority", stream_id, value)

    def on_ping_ack(self, data: bytes) -> None:
        self._note("ping-ack", data)

    def on_goaway(self, code: int) -> None:
        self._note("goaway", code)

    def on_error(self, code: int, reason: str) -> None:
        assert reason
        # A block can be both invalid and too large; who notices what first is free.
        self._note("error", ENHANCE_YOUR_CALM if code == COMPRESSION_ERROR else code)
        self.failed = True


def drive(
    factory: EngineFactory,
    pieces: Iterable[bytes],
    settings: HTTP2Settings | None = None,
    limits: Limits | None = None,
) -> list[Call]:
    """Feed *pieces* to a fresh engine; return its calls, its output and how it ended."""
    recorder = Recorder(factory, settings or HTTP2Settings(), limits or Limits())
    engine = recorder.engine
    engine.start()
    for piece in pieces:
        engine.receive_data(piece)
    assert engine.closed == recorder.failed
    end: Call = ("end", engine.closed, engine.started, engine.highest_id, recorder.budget.frames)
    if not engine.closed:
        end += (engine.head_pending, engine.connection_window(), engine.max_frame)
        end += tuple(engine.window(stream_id) for stream_id in recorder.paths)
    return [*recorder.calls, *meaning(b"".join(recorder.output)), end]


@lru_cache(maxsize=8)
def meaning(output: bytes) -> list[Call]:
    """Return the frames in *output*, field blocks decoded."""
    decoder = Decoder(max_header_list_size=1 << 20)
    frames: list[Call] = []
    block = b""
    at = ended = 0
    while at < len(output):
        high, low, kind, flags, stream_id = struct.unpack_from(">HBBBI", output, at)
        payload = output[at + 9 : at + 9 + (high << 8 | low)]
        at += 9 + (high << 8 | low)
        if kind in (HEADERS, CONTINUATION):
            if kind == HEADERS:
                block, ended = b"", flags & END_STREAM
            block += payload
            if flags & END_HEADERS:
                fields = [(bytes(n), bytes(v)) for n, v in decoder.decode(block, raw=True)]
                frames.append((HEADERS, ended, stream_id, fields))
            continue
        if kind == GOAWAY and payload[7] == COMPRESSION_ERROR:
            payload = payload[:7] + bytes((ENHANCE_YOUR_CALM,))
        content: object = len(payload) if kind == DATA else payload
        frames.append((kind, flags, stream_id, content))
    assert at == len(output), "a frame is cut"
    return frames


def bytewise(wire: bytes) -> list[bytes]:
    """Return *wire* byte by byte."""
    return [wire[n : n + 1] for n in range(len(wire))]


def random_cuts(wire: bytes, rng: random.Random) -> list[bytes]:
    """Return *wire* in a few pieces."""
    places = sorted(rng.randint(0, len(wire)) for _ in range(rng.randint(0, 6)))
    return [wire[a:b] for a, b in itertools.pairwise([0, *places, len(wire)])]

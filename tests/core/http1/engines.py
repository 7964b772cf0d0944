"""Drive an engine by hand: a handler that records its calls, and a way to feed it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from granian_core.http1.contract import CLOSED, HTTP1Engine, HTTP1Handler
from granian_core.http1.fast import FastEngine
from granian_core.http1.reference import ReferenceEngine
from granian_core.settings import HTTP1Settings, Limits
from granian_core.stream import Fields

EngineFactory: TypeAlias = Callable[[HTTP1Handler, HTTP1Settings, Limits], HTTP1Engine]
Call: TypeAlias = tuple[object, ...]

ENGINES: dict[str, EngineFactory] = {"fast": FastEngine, "reference": ReferenceEngine}


class Recorder:
    """Record an engine's calls, and answer each request on the spot.

    Args:
        factory: The engine's class.
        settings: Its settings.
        limits: Its limits.
        answer: Whether a complete request is answered from within the call that completes
            it; otherwise `drive` answers when the engine has returned.
    """

    def __init__(
        self,
        factory: EngineFactory,
        settings: HTTP1Settings | None = None,
        limits: Limits | None = None,
        *,
        answer: bool = True,
    ) -> None:
        self.calls: list[Call] = []
        self.answer = answer
        self.complete = False
        self.keep_alive = False
        self.failed = False
        self.engine = factory(self, settings or HTTP1Settings(), limits or Limits())

    def on_request(
        self,
        method: str,
        target: bytes,
        minor: int,
        headers: Fields,
        keep_alive: bool,
        content_length: int,
        expects_continue: bool,
    ) -> None:
        assert not self.complete, "a request before the last one was answered"
        self._note(
            "request", method, target, minor, headers, keep_alive, content_length, expects_continue
        )
        self.keep_alive = keep_alive
        if content_length == 0:
            self._completed()

    def on_data(self, data: bytes) -> None:
        assert type(data) is bytes
        assert data
        self._note("data", data)

    def on_end(self, trailers: Fields | None) -> None:
        assert trailers != []
        self._note("end", trailers)
        self._completed()

    def on_error(self, status: int, reason: str) -> None:
        assert reason
        self._note("error", status)
        self.failed = True

    def _note(self, *call: object) -> None:
        assert not self.failed, f"{call} after an error"
        self.calls.append(call)

    def _completed(self) -> None:
        self.complete = True
        if self.answer:
            self.respond()

    def respond(self) -> None:
        """Behave as if the response to the complete request had ended."""
        self.complete = False
        if self.keep_alive:
            self.engine.next_request()
        else:
            self.engine.close()


def drive(
    factory: EngineFactory,
    pieces: Iterable[bytes],
    settings: HTTP1Settings | None = None,
    limits: Limits | None = None,
    *,
    eof: bool = False,
    answer: bool = True,
) -> list[Call]:
    """Feed *pieces* to a fresh engine; return its calls, adjacent data joined."""
    recorder = Recorder(factory, settings, limits, answer=answer)
    for piece in pieces:
        recorder.engine.receive_data(piece)
        while recorder.complete:
            recorder.respond()
    if eof:
        recorder.engine.receive_eof()
    if recorder.failed:
        assert recorder.engine.state == CLOSED
        assert recorder.engine.buffered == 0
    return joined(recorder.calls)


def joined(calls: Sequence[Call]) -> list[Call]:
    """Return *calls* with adjacent ``data`` calls made one."""
    result: list[Call] = []
    for call in calls:
        if call[0] == "data" and result and result[-1][0] == "data":
            result[-1] = ("data", bytes(result[-1][1]) + bytes(call[1]))  # type: ignore[call-overload]
        else:
            result.append(call)
    return result


def bytewise(data: bytes) -> list[bytes]:
    """Return *data* as single bytes."""
    return [data[index : index + 1] for index in range(len(data))]


def cut_at(data: bytes, offsets: Iterable[int]) -> list[bytes]:
    """Return *data* cut at *offsets*, empty pieces left out."""
    bounds = [0, *sorted(offsets), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds) if end > start]


def random_cuts(data: bytes, rng: random.Random, most: int = 8) -> list[bytes]:
    """Return *data* in up to ``most + 1`` pieces."""
    count = rng.randint(0, most)
    return cut_at(data, [rng.randint(0, len(data)) for _ in range(count)])

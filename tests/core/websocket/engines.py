"""Both engines, and what they say to the same bytes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from granian_core import WebSocketSettings
from granian_core.websocket.contract import WebSocketEngine
from granian_core.websocket.deflate import DeflateParameters
from granian_core.websocket.fast import FastEngine
from granian_core.websocket.reference import ReferenceEngine

ENGINES: dict[str, type[WebSocketEngine]] = {"reference": ReferenceEngine, "fast": FastEngine}

Call: TypeAlias = tuple[Any, ...]


class Recorder:
    """A handler that records its calls."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def on_message(self, message: str | bytes) -> None:
        assert type(message) is str or type(message) is bytes
        self.calls.append(("message", message))

    def on_ping(self, payload: bytes) -> None:
        assert type(payload) is bytes
        self.calls.append(("ping", payload))

    def on_pong(self, payload: bytes) -> None:
        assert type(payload) is bytes
        self.calls.append(("pong", payload))

    def on_close(self, code: int, reason: str) -> None:
        self.calls.append(("close", code, reason))

    def on_error(self, code: int, reason: str) -> None:
        assert reason
        self.calls.append(("error", code))


class Holder(Recorder):
    """A handler that holds its engine with every message that *choose* says so of."""

    engine: WebSocketEngine

    def __init__(self, choose: Callable[[int], bool]) -> None:
        super().__init__()
        self._choose = choose

    def on_message(self, message: str | bytes) -> None:
        super().on_message(message)
        if self._choose(len(self.calls)):
            self.engine.hold()


def drive(
    engine_class: type[WebSocketEngine],
    pieces: Iterable[bytes],
    settings: WebSocketSettings,
    deflate: DeflateParameters | None = None,
    *,
    hold_every: int = 0,
) -> tuple[list[Call], list[int]]:
    """Feed *pieces* to a new engine.

    Args:
        engine_class: What to drive.
        pieces: The bytes, cut.
        settings: Limits.
        deflate: The compression agreed on, or None.
        hold_every: The handler holds after every so many calls, and is resumed after
            every second piece, and in the end until nothing is held; 0 holds never.

    Returns:
        The calls, and how many there were after each piece.
    """
    recorder = Holder(lambda count: hold_every > 0 and count % hold_every == 0)
    engine = recorder.engine = engine_class(recorder, settings, deflate)
    counts = []
    for index, piece in enumerate(pieces):
        engine.receive_data(piece)
        if engine.held and index % 2:
            engine.resume()
        counts.append(len(recorder.calls))
    while engine.held:
        engine.resume()
    counts.append(len(recorder.calls))
    return recorder.calls, counts


def bytewise(data: bytes) -> list[bytes]:
    """Return every byte alone."""
    return [data[index : index + 1] for index in range(len(data))]


def random_cuts(data: bytes, rng: random.Random) -> list[bytes]:
    """Cut *data* at up to eight random places."""
    places = sorted(rng.choices(range(len(data) + 1), k=rng.randrange(9)))
    ends = [0, *places, len(data)]
    return [data[start:end] for start, end in itertools.pairwise(ends) if start < end]


CONFIGURATIONS: tuple[tuple[WebSocketSettings, DeflateParameters | None], ...] = (
    (WebSocketSettings(), None),
    (WebSocketSettings(max_message_size=1000, max_frame_size=800, max_fragments=4), None),
    (WebSocketSettings(), DeflateParameters()),
    (
        WebSocketSettings(max_message_size=1000, max_fragments=4),
        DeflateParameters(client_no_context_takeover=True, client_max_window_bits=9),
    ),
)


def agree(
    wire: bytes,
    settings: WebSocketSettings,
    deflate: DeflateParameters | None,
    rng: random.Random,
) -> None:
    """Feed *wire* to both engines, whole and in cuts; every piece must make the same calls.

    Raises:
        AssertionError: They disagree; or whatever leaves an engine.
    """
    fast, reference = ENGINES["fast"], ENGINES["reference"]
    whole = _blurred(drive(fast, [wire], settings, deflate)[0], deflate)
    for pieces in ([wire], random_cuts(wire, rng), *([bytewise(wire)] * (rng.random() < 0.1))):
        for hold_every in (0, rng.randint(1, 3)):
            ours, ours_after = drive(fast, pieces, settings, deflate, hold_every=hold_every)
            theirs, after = drive(reference, pieces, settings, deflate, hold_every=hold_every)
            assert _blurred(ours, deflate) == _blurred(theirs, deflate), "engines"
            assert ours_after == after, "engines, in time"
            assert _blurred(ours, deflate) == whole, "cut"


def _blurred(calls: list[Call], deflate: DeflateParameters | None) -> list[Call]:
    """Take two faults for one.

    Of a message that inflates to too much *and* is malformed, what the first piece shows is
    reported; so it depends on the cut, and rightly.
    """
    if deflate is not None and calls[-1:] in ([("error", 1007)], [("error", 1009)]):
        return [*calls[:-1], ("error", 1007)]
    return calls

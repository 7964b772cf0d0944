"""The states of streams and their identifiers (RFC 9113 5.1)."""

from __future__ import annotations

from tests.conformance.http2.model import Case, case
from tests.conformance.http2.wire import (
    CONTINUATION,
    END_HEADERS,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    data,
    frame,
    get,
    headers,
    post,
    priority,
    rst,
    window,
)

BAD = {"goaway": PROTOCOL_ERROR}
CLOSED = {"goaway": STREAM_CLOSED}
T = [(b"x-t", b"1")]
HELD = b"/hold"

CASES: list[Case] = [
    # idle
    case("idle-data", "5.1", data(b"a", 1), **BAD),
    case("idle-window-update", "5.1", window(1, 1), **BAD),
    case("idle-reset", "5.1", rst(1), **BAD),
    case("idle-continuation", "5.1", frame(CONTINUATION, END_HEADERS, 1), **BAD),
    case("idle-priority", "5.1", priority(7) + get(), answers={1: 200}),
    case("idle-above-open-data", "5.1", post() + data(b"a", 3), **BAD, calls=1),
    # half-closed (remote)
    case("half-closed-data", "5.1", get(path=HELD) + data(b"a"), resets={1: STREAM_CLOSED},
         calls=1),
    case("half-closed-headers", "5.1", get(path=HELD) + headers(1, T), resets={1: STREAM_CLOSED},
         calls=1),
    case("half-closed-continuation", "5.1", get(path=HELD) + frame(CONTINUATION, END_HEADERS, 1),
         **BAD, calls=1),
    case("half-closed-window-update", "5.1", get(path=HELD) + window(5, 1) + get(3),
         answers={3: 200}, calls=2),
    case("half-closed-priority", "5.1", get(path=HELD) + priority(1) + get(3), answers={3: 200},
         calls=2),
    case("half-closed-reset", "5.1", get(path=HELD) + rst(1) + get(3), answers={3: 200}, calls=2),
    # closed by the end of both sides
    case("closed-data", "5.1", get(), data(b"a"), answers={1: 200}, **CLOSED),
    case("closed-headers", "5.1", get(), headers(1, T), answers={1: 200}, **CLOSED),
    case("closed-continuation", "5.1", get(), frame(CONTINUATION, END_HEADERS, 1),
         answers={1: 200}, **BAD),
    case("closed-window-update", "5.1", get(), window(1, 1) + get(3), answers={1: 200, 3: 200}),
    case("closed-reset", "5.1", get(), rst(1) + get(3), answers={1: 200, 3: 200}),
    case("closed-priority", "5.1", get(), priority(1) + get(3), answers={1: 200, 3: 200}),
    # closed by the peer's RST_STREAM
    case("reset-data", "5.1", post() + rst() + data(b"a"), resets={1: STREAM_CLOSED}, calls=1),
    case("reset-headers", "5.1", post() + rst() + headers(1, T), resets={1: STREAM_CLOSED},
         calls=1),
    case("reset-continuation", "5.1", post() + rst() + frame(CONTINUATION, END_HEADERS, 1), **BAD,
         calls=1),
    case("reset-window-update", "5.1", post() + rst() + window(1, 1) + get(3), answers={3: 200},
         calls=2),
    case("reset-reset", "5.1", post() + rst() + rst() + get(3), answers={3: 200}, calls=2),
    # closed by our RST_STREAM: what was under way is ignored
    case("refused-data", "5.1", post(1, (b"A", b"b")) + data(b"a") + data(b"b", end=True) + get(3),
         resets={1: PROTOCOL_ERROR}, answers={3: 200}, calls=1),
    case("refused-trailers", "5.1", post(1, (b"A", b"b")) + headers(1, T) + get(3),
         resets={1: PROTOCOL_ERROR}, answers={3: 200}, calls=1),
    case("refused-window-update", "5.1", post(1, (b"A", b"b")) + window(9, 1) + get(3),
         resets={1: PROTOCOL_ERROR}, answers={3: 200}, calls=1),
    case("refused-reset", "5.1", post(1, (b"A", b"b")) + rst() + get(3),
         resets={1: PROTOCOL_ERROR}, answers={3: 200}, calls=1),
    # identifiers
    case("even-stream", "5.1.1", get(2), **BAD),
    case("stream-0", "5.1.1", get(0), **BAD),
    case("identifiers-skipped", "5.1.1", get(5) + get(99), answers={5: 200, 99: 200}),
    case("identifier-largest", "5.1.1", get(0x7FFFFFFF), answers={0x7FFFFFFF: 200}),
    case("identifier-falls", "5.1.1", get(5), get(3), answers={5: 200}, **BAD),
    case("identifier-skipped-data", "5.1.1", get(5), data(b"a", 3), answers={5: 200}, **CLOSED),
    case("identifier-skipped-window-update", "5.1.1", get(5), window(1, 3), answers={5: 200}),
    case("identifier-reused", "5.1.1", get(), get(), answers={1: 200}, **CLOSED),
    case("identifier-even-window-update", "5.1.1", window(1, 2), **BAD),
    # concurrency
    case("too-many-streams", "5.1.2",
         b"".join(get(n, path=HELD) for n in range(1, 21, 2)) + get(21),
         resets={21: REFUSED_STREAM}, calls=10, http2={"max_concurrent_streams": 10}),
    case("room-after-reset", "5.1.2",
         b"".join(get(n, path=HELD) for n in range(1, 21, 2)) + rst(1), get(21),
         answers={21: 200}, calls=11, http2={"max_concurrent_streams": 10}),
    case("room-after-end", "5.1.2", b"".join(get(n) for n in range(1, 21, 2)), get(21),
         answers=dict.fromkeys(range(1, 23, 2), 200), http2={"max_concurrent_streams": 10}),
    case("interleaved", "5", post(1) + post(3) + data(b"a", 1) + data(b"b", 3) + data(b"c", 1)
         + data(end=True, stream=3) + data(end=True, stream=1), answers={1: 200, 3: 200}),
]  # fmt: skip

"""Flow control (RFC 9113 5.2, 6.9): what is asked of us, and what we ask."""

from __future__ import annotations

from tests.conformance.http2.model import Case, case
from tests.conformance.http2.wire import (
    FLOW_CONTROL_ERROR,
    data,
    frame,
    get,
    post,
    settings,
    window,
)

BAD = {"goaway": FLOW_CONTROL_ERROR}
BIG = b"/big"  # answers with 100,000 bytes
FRAME = data(b"x" * 16384)
SMALL = {"initial_stream_window_size": 65_535, "initial_connection_window_size": 65_535}

CASES: list[Case] = [
    case("connection-overflow", "6.9.1", window(0x7FFFFFFF), **BAD),
    case("connection-largest", "6.9.1", window(0x7FFFFFFF - 65535) + get(), answers={1: 200}),
    case("connection-overflow-in-two", "6.9.1", window(0x70000000) + window(0x70000000), **BAD),
    case("stream-overflow", "6.9.1", post() + window(0x7FFFFFFF, 1), resets={1: 3}, calls=1),
    case("stream-overflow-in-two", "6.9.1",
         post() + window(0x70000000, 1) + window(0x70000000, 1), resets={1: 3}, calls=1),
    case("stream-overflow-only-the-stream", "6.9.1", post() + window(0x7FFFFFFF, 1) + get(3),
         resets={1: 3}, answers={3: 200}, calls=2),
    case("setting-overflows-a-stream", "6.9.2",
         post() + window(0x7FFFFFFF - 65535, 1) + settings((4, 65536)), **BAD, calls=1),
    case("window-0-then-opened", "6.9.2", settings((4, 0)) + get(), window(1, 1) + window(9, 1),
         answers={1: 200}),
    case("window-1-then-opened", "6.9.1", settings((4, 1)) + get(), settings((4, 100)),
         answers={1: 200}),
    case("window-falls-below-0", "6.9.2", settings((4, 3)) + get(path=BIG),
         settings((4, 0)), window(200_000) + window(200_000, 1), answers={1: 200}),
    case("window-of-connection-then-opened", "6.9.1", settings((4, 200_000)) + get(path=BIG),
         window(100_000), answers={1: 200}),
    case("empty-answer-needs-no-window", "6.9.1", settings((4, 0)) + get(path=b"/empty"),
         answers={1: 200}),
    # An application that does not read gets up to 64 KiB, and the window after that.
    case("peer-exceeds-stream-window", "6.9.1", post(path=b"/hold") + FRAME * 9, **BAD, calls=1,
         http2={"initial_stream_window_size": 65_535}),
    case("peer-fills-stream-window", "6.9.1", post(path=b"/hold") + FRAME * 6 + get(3),
         answers={3: 200}, calls=2, http2=SMALL),
    # Four connection windows of unread bodies may lie here; one more is the peer's.
    case("peer-exceeds-connection-window", "6.9.1",
         b"".join(post(n, path=b"/hold") + data(b"x" * 16384, n) * 6 for n in range(1, 21, 2)),
         **BAD, calls=9, http2=SMALL),
    case("peer-fills-connection-window", "6.9.1",
         b"".join(post(n, path=b"/hold") + data(b"x" * 16384, n) * 6 for n in range(1, 17, 2))
         + get(99), answers={99: 200}, calls=9, http2=SMALL),
    case("padding-counts", "6.9.1",
         post(path=b"/hold") + frame(0, 8, 1, b"\xff" + b"x" * 16383) * 9, **BAD, calls=1,
         http2=SMALL),
    case("small-window-after-ack", "6.9.2",
         frame(4, 1) + post(path=b"/hold") + data(b"x" * 1025), **BAD, calls=1,
         http2={"initial_stream_window_size": 1024}),
    case("small-window-before-ack", "6.9.2", post(path=b"/hold") + data(b"x" * 1025) + get(3),
         answers={3: 200}, calls=2, http2={"initial_stream_window_size": 1024}),
]  # fmt: skip

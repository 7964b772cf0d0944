"""Frames one by one (RFC 9113 4.1, 4.2, 5.5 and 6)."""

from __future__ import annotations

import struct

from tests.conformance.http2.model import Case, case
from tests.conformance.http2.wire import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_UPDATE,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    block,
    data,
    frame,
    get,
    goaway,
    headers,
    ping,
    post,
    priority,
    pseudo,
    rst,
    window,
)

BAD = {"goaway": PROTOCOL_ERROR}
SIZE = {"goaway": FRAME_SIZE_ERROR}
GET = block(pseudo())
POST = block(pseudo(b"POST"))
OK = {"answers": {1: 200}}
END = END_HEADERS | END_STREAM


def hundred(body: bytes) -> dict[str, object]:
    return {"answers": {1: 200}, "seen": {"body": body}}


CASES: list[Case] = [
    # 4.1
    case("unknown-type", "4.1", frame(0xFF, 0, 0, b"abc") + get(), **OK),
    case("unknown-type-on-idle-stream", "5.5", frame(0x7F, 0xFF, 99, b"abc") + get(), **OK),
    case("unknown-type-on-open-stream", "5.5", post() + frame(0x44, 0, 1) + data(b"a", end=True),
         **hundred(b"a")),
    case("altsvc-from-client", "RFC 7838 4", frame(0x0A, 0, 0, b"\0\0") + get(), **OK),
    case("reserved-bit-on-ping", "4.1", frame(PING, 0, 0x80000000, b"12345678") + get(), **OK),
    case("reserved-bit-on-headers", "4.1", frame(HEADERS, END, 0x80000001, GET), **OK),
    case("unknown-flags-on-headers", "4.1", frame(HEADERS, END | 0xD2 & ~WITH_PRIORITY, 1, GET),
         **OK),
    case("unknown-flags-on-data", "4.1", post() + frame(DATA, END_STREAM | 0xF6, 1, b"a"),
         **hundred(b"a")),
    # 4.2
    case("data-largest", "4.2", post() + data(b"x" * 16384, end=True), **hundred(b"x" * 16384)),
    case("data-too-large", "4.2", post() + data(b"x" * 16385), **SIZE, calls=1),
    case("headers-too-large", "4.2", frame(HEADERS, END, 1, GET + b"\0" * 16385), **SIZE),
    case("ping-too-large", "4.2", frame(PING, 0, 0, b"x" * 16385), **SIZE),
    case("unknown-too-large", "4.2", frame(0xEE, 0, 0, b"x" * 16385), **SIZE),
    case("frame-of-16-mib-announced", "4.2", b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", **SIZE),
    case("data-larger-as-configured", "4.2", post() + data(b"x" * 20000, end=True),
         http2={"max_frame_size": 20000}, **hundred(b"x" * 20000)),
    # 6.1
    case("data", "6.1", post() + data(b"hello", end=True), **hundred(b"hello")),
    case("data-empty-end", "6.1", post() + data(b"", end=True), **hundred(b"")),
    case("data-empty-between", "6.1", post() + data(b"a") + data() + data(b"b", end=True),
         **hundred(b"ab")),
    case("data-on-0", "6.1", frame(DATA, 0, 0, b"x"), **BAD),
    case("data-padded", "6.1", post() + frame(DATA, PADDED | END_STREAM, 1, b"\x03abc\0\0\0"),
         **hundred(b"abc")),
    case("data-padding-not-zero", "6.1", post() + frame(DATA, PADDED | END_STREAM, 1, b"\x02a\1\2"),
         **hundred(b"a")),
    case("data-only-padding", "6.1",
         post() + frame(DATA, PADDED, 1, b"\x02\0\0") + data(b"a", end=True), **hundred(b"a")),
    case("data-padding-of-0", "6.1", post() + frame(DATA, PADDED | END_STREAM, 1, b"\0a"),
         **hundred(b"a")),
    case("data-padding-as-long", "6.1", post() + frame(DATA, PADDED, 1, b"\x04abc"), **BAD,
         calls=1),
    case("data-padding-longer", "6.1", post() + frame(DATA, PADDED, 1, b"\xffabc"), **BAD, calls=1),
    case("data-padded-without-length", "6.1", post() + frame(DATA, PADDED, 1), **SIZE, calls=1),
    # 6.2
    case("headers", "6.2", get(), **OK),
    case("headers-on-0", "6.2", frame(HEADERS, END, 0, GET), **BAD),
    case("headers-padded", "6.2", frame(HEADERS, END | PADDED, 1, b"\x03" + GET + b"\0\0\0"), **OK),
    case("headers-padding-longer", "6.2", frame(HEADERS, END | PADDED, 1, b"\xff" + GET[:20]),
         **BAD),
    case("headers-padded-without-length", "6.2", frame(HEADERS, END | PADDED, 1), **SIZE),
    case("headers-with-priority", "6.2",
         frame(HEADERS, END | WITH_PRIORITY, 1, b"\0\0\0\0\x0f" + GET), **OK),
    case("headers-exclusive-on-later-stream", "6.2",
         frame(HEADERS, END | WITH_PRIORITY, 1, b"\x80\0\0\x07\xff" + GET), **OK),
    case("headers-padded-with-priority", "6.2",
         frame(HEADERS, END | PADDED | WITH_PRIORITY, 1, b"\x02\0\0\0\0\x0f" + GET + b"\0\0"),
         **OK),
    case("headers-priority-too-short", "6.2",
         frame(HEADERS, END | WITH_PRIORITY, 1, b"\0\0\0\0"), **SIZE),
    case("headers-depends-on-itself", "RFC 7540 5.3.1",
         frame(HEADERS, END | WITH_PRIORITY, 1, b"\0\0\0\x01\x0f" + GET), resets={1: 1}, calls=0),
    case("headers-without-block", "8.3.1", frame(HEADERS, END, 1), resets={1: 1}, calls=0),
    # 6.3
    case("priority-on-idle", "6.3", priority(1, 0) + get(), **OK),
    case("priority-on-open", "6.3", post() + priority(1, 3) + data(end=True), **OK),
    case("priority-on-closed", "6.3", get(), priority(1, 3) + get(3), answers={1: 200, 3: 200}),
    case("priority-on-0", "6.3", priority(0, 1), **BAD),
    case("priority-on-itself", "RFC 7540 5.3.1", post() + priority(1, 1), resets={1: 1}, calls=1),
    case("priority-on-itself-idle", "RFC 7540 5.3.1", priority(5, 5), **BAD),
    case("priority-size-4", "6.3", post() + frame(PRIORITY, 0, 1, b"\0" * 4),
         resets={1: FRAME_SIZE_ERROR}, calls=1),
    case("priority-size-6", "6.3", post() + frame(PRIORITY, 0, 1, b"\0" * 6),
         resets={1: FRAME_SIZE_ERROR}, calls=1),
    case("priority-update", "RFC 9218 7.1",
         frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", 1) + b"u=1") + get(), **OK),
    case("priority-update-nonsense", "RFC 9218 4",
         frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", 1) + b"\xff=(") + get(), **OK),
    case("priority-update-on-stream", "RFC 9218 7.1",
         post() + frame(PRIORITY_UPDATE, 0, 1, struct.pack(">I", 1) + b"u=1"), **BAD, calls=1),
    case("priority-update-short", "RFC 9218 7.1", frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0"), **SIZE),
    case("priority-update-of-0", "RFC 9218 7.1", frame(PRIORITY_UPDATE, 0, 0, b"\0" * 4), **BAD),
    # 6.4
    case("reset", "6.4", post() + rst() + get(3), answers={3: 200}, calls=2),
    case("reset-unknown-code", "7", post() + rst(1, 0xDEAD) + get(3), answers={3: 200}, calls=2),
    case("reset-on-0", "6.4", rst(0), **BAD),
    case("reset-idle", "6.4", rst(1), **BAD),
    case("reset-size-3", "6.4", post() + frame(RST_STREAM, 0, 1, b"\0" * 3), **SIZE, calls=1),
    case("reset-size-5", "6.4", post() + frame(RST_STREAM, 0, 1, b"\0" * 5), **SIZE, calls=1),
    # 6.6
    case("push-promise", "8.4",
         post() + frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + GET), **BAD, calls=1),
    case("push-promise-on-0", "6.6", frame(PUSH_PROMISE, END_HEADERS, 0, b"\0\0\0\2"), **BAD),
    # 6.7
    case("ping", "6.7", ping(b"12345678") + get(), **OK),
    case("ping-ack-unasked", "6.7", ping(b"12345678", ack=True) + get(), **OK),
    case("ping-on-stream", "6.7", post() + frame(PING, 0, 1, b"12345678"), **BAD, calls=1),
    case("ping-size-7", "6.7", frame(PING, 0, 0, b"1234567"), **SIZE),
    case("ping-size-9", "6.7", frame(PING, 0, 0, b"123456789"), **SIZE),
    # 6.8
    case("goaway-when-idle", "6.8", get(), goaway(), answers={1: 200}, goaway=NO_ERROR),
    case("goaway-with-open-stream", "6.8", post() + goaway(0, 0, b"bye"), data(b"a", end=True),
         **hundred(b"a"), goaway=NO_ERROR),
    case("goaway-with-error", "6.8", post() + goaway(0, 2), data(b"a", end=True), **hundred(b"a"),
         goaway=NO_ERROR),
    case("goaway-on-stream", "6.8", frame(GOAWAY, 0, 1, b"\0" * 8), **BAD),
    case("goaway-short", "6.8", frame(GOAWAY, 0, 0, b"\0" * 7), **SIZE),
    # 6.9
    case("window-update", "6.9", window(1) + post() + window(1, 1) + data(b"a", end=True),
         **hundred(b"a")),
    case("window-update-reserved-bit", "6.9",
         frame(WINDOW_UPDATE, 0, 0, b"\x80\0\0\1") + get(), **OK),
    case("window-update-of-0", "6.9", window(0), **BAD),
    case("window-update-of-0-reserved-bit", "6.9", window(0x80000000), **BAD),
    case("window-update-of-0-on-stream", "6.9", post() + window(0, 1), resets={1: 1}, calls=1),
    case("window-update-size-3", "6.9", frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), **SIZE),
    case("window-update-size-5", "6.9", frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0\1"), **SIZE),
    case("window-update-size-0-on-stream", "6.9", post() + frame(WINDOW_UPDATE, 0, 1), **SIZE,
         calls=1),
    # 6.10
    case("continuation", "6.10",
         frame(HEADERS, END_STREAM, 1, GET[:10]) + frame(CONTINUATION, END_HEADERS, 1, GET[10:]),
         **OK),
    case("continuation-for-every-byte", "6.10",
         frame(HEADERS, END_STREAM, 1, GET[:-40])
         + b"".join(frame(CONTINUATION, 0, 1, bytes((byte,))) for byte in GET[-40:])
         + frame(CONTINUATION, END_HEADERS, 1), **OK),
    case("continuation-empty", "6.10",
         frame(HEADERS, END_STREAM, 1) + frame(CONTINUATION, 0, 1)
         + frame(CONTINUATION, END_HEADERS, 1, GET), **OK),
    case("continuation-after-padded-headers", "6.10",
         frame(HEADERS, END_STREAM | PADDED, 1, b"\1" + GET[:9] + b"\0")
         + frame(CONTINUATION, END_HEADERS, 1, GET[9:]), **OK),
    case("continuation-alone", "6.10", frame(CONTINUATION, END_HEADERS, 1, GET), **BAD),
    case("continuation-on-0", "6.10", frame(CONTINUATION, END_HEADERS, 0, GET), **BAD),
    case("continuation-after-end-headers", "6.10", post() + frame(CONTINUATION, END_HEADERS, 1),
         **BAD, calls=1),
    case("continuation-after-continuation-end", "6.10",
         frame(HEADERS, 0, 1, POST[:10]) + frame(CONTINUATION, END_HEADERS, 1, POST[10:])
         + frame(CONTINUATION, END_HEADERS, 1), **BAD, calls=1),
    case("continuation-after-data", "6.10", post() + data(b"a") + frame(CONTINUATION, 4, 1), **BAD,
         calls=1),
    case("continuation-of-other-stream", "6.10",
         frame(HEADERS, END_STREAM, 1, GET[:10]) + frame(CONTINUATION, END_HEADERS, 3, GET[10:]),
         **BAD),
    *(
        case(f"block-interrupted-by-{name}", "4.3", frame(HEADERS, END_STREAM, 1, GET[:10]) + other,
             **BAD)
        for name, other in {
            "data": data(b"a"),
            "headers": get(3),
            "same-stream-headers": get(1),
            "priority": priority(1, 0),
            "reset": rst(1),
            "settings": frame(4),
            "ping": ping(),
            "goaway": goaway(),
            "window-update": window(1),
            "unknown": frame(0xEE),
        }.items()
    ),
    case("trailers-in-continuation", "8.1",
         post() + data(b"a") + frame(HEADERS, END_STREAM, 1, b"")
         + frame(CONTINUATION, END_HEADERS, 1, block([(b"x-t", b"1")])),
         answers={1: 200}, seen={"trailers": [(b"x-t", b"1")]}),
    case("headers-end-stream-later-in-data", "8.1", headers(1, pseudo(b"PUT"), end=False)
         + data(b"a") + data(b"b") + data(end=True), **hundred(b"ab")),
]  # fmt: skip

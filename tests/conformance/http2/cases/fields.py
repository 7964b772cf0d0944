"""Fields and message framing (RFC 9113 8.1, 8.2)."""

from __future__ import annotations

from tests.conformance.http2.model import Case, case
from tests.conformance.http2.wire import (
    NO_ERROR,
    PROTOCOL_ERROR,
    data,
    get,
    headers,
    post,
    pseudo,
)

MALFORMED = {"resets": {1: PROTOCOL_ERROR}, "calls": 0}
RUNNING = {"resets": {1: PROTOCOL_ERROR}, "calls": 1}
T = (b"x-t", b"1")


def field(name: bytes, value: bytes) -> bytes:
    return get(1, (name, value))


CASES: list[Case] = [
    *(
        case(f"name-{title}", "8.2.1", field(name, b"v"), **MALFORMED)
        for title, name in {
            "upper-case": b"X-a",
            "upper-case-last": b"x-A",
            "empty": b"",
            "with-space": b"x a",
            "with-colon": b"x:a",
            "with-nul": b"x\0a",
            "with-cr": b"x\ra",
            "with-del": b"x\x7f",
            "not-ascii": b"x\xe9",
            "with-comma": b"x,a",
        }.items()
    ),
    *(
        case(f"value-{title}", "8.2.1", field(b"x", value), **MALFORMED)
        for title, value in {
            "nul": b"a\0b",
            "cr": b"a\rb",
            "lf": b"a\nb",
            "control": b"a\x01b",
            "del": b"a\x7fb",
            "leading-space": b" a",
            "trailing-space": b"a ",
            "leading-tab": b"\ta",
            "trailing-tab": b"a\t",
        }.items()
    ),
    case("value-empty", "8.2.1", field(b"x", b""), answers={1: 200},
         seen={"headers": [(b"x", b"")]}),
    case("value-inner-space", "8.2.1", field(b"x", b"a \t b"), answers={1: 200}),
    case("value-obs-text", "RFC 9110 5.5", field(b"x", b"\xe9\xff"), answers={1: 200},
         seen={"headers": [(b"x", b"\xe9\xff")]}),
    case("names-repeated", "8.2", get(1, (b"x", b"1"), (b"y", b"2"), (b"x", b"3")),
         answers={1: 200}, seen={"headers": [(b"x", b"1"), (b"y", b"2"), (b"x", b"3")]}),
    *(
        case(f"connection-specific-{name.decode()}", "8.2.2", field(name, value), **MALFORMED)
        for name, value in {
            b"connection": b"keep-alive",
            b"proxy-connection": b"keep-alive",
            b"keep-alive": b"timeout=5",
            b"transfer-encoding": b"chunked",
            b"upgrade": b"websocket",
        }.items()
    ),
    case("te-trailers", "8.2.2", field(b"te", b"trailers"), answers={1: 200}),
    case("te-trailers-upper-case", "8.2.2", field(b"te", b"Trailers"), answers={1: 200}),
    case("te-gzip", "8.2.2", field(b"te", b"gzip"), **MALFORMED),
    case("te-trailers-and-more", "8.2.2", field(b"te", b"trailers, deflate"), **MALFORMED),
    case("cookie-crumbs", "8.2.3", get(1, (b"cookie", b"a=b"), (b"x", b"1"), (b"cookie", b"c=d")),
         answers={1: 200}, seen={"headers": [(b"cookie", b"a=b; c=d"), (b"x", b"1")]}),
    case("cookie-alone", "8.2.3", get(1, (b"cookie", b"a=b; c=d")), answers={1: 200},
         seen={"headers": [(b"cookie", b"a=b; c=d")]}),
    # content-length
    case("length", "8.1.1", post(1, (b"content-length", b"3")) + data(b"abc", end=True),
         answers={1: 200}, seen={"body": b"abc"}),
    case("length-in-pieces", "8.1.1",
         post(1, (b"content-length", b"3")) + data(b"a") + data(b"bc") + data(end=True),
         answers={1: 200}, seen={"body": b"abc"}),
    case("length-then-trailers", "8.1.1",
         post(1, (b"content-length", b"1")) + data(b"a") + headers(1, [T]), answers={1: 200}),
    case("length-0-without-body", "8.1.1", get(1, (b"content-length", b"0")), answers={1: 200}),
    case("length-0-with-end", "8.1.1", post(1, (b"content-length", b"0")) + data(end=True),
         answers={1: 200}),
    case("length-without-body", "8.1.1", get(1, (b"content-length", b"1")), **MALFORMED),
    case("length-too-short", "8.1.1", post(1, (b"content-length", b"1")) + data(b"ab", end=True),
         **RUNNING),
    case("length-exceeded-early", "8.1.1", post(1, (b"content-length", b"1")) + data(b"ab"),
         **RUNNING),
    case("length-too-long", "8.1.1", post(1, (b"content-length", b"9")) + data(b"ab", end=True),
         **RUNNING),
    case("length-too-long-in-pieces", "8.1.1",
         post(1, (b"content-length", b"9")) + data(b"ab") + data(end=True), **RUNNING),
    case("length-too-long-with-trailers", "8.1.1",
         post(1, (b"content-length", b"9")) + data(b"ab") + headers(1, [T]), **RUNNING),
    case("length-too-long-by-trailers-alone", "8.1.1",
         post(1, (b"content-length", b"9")) + headers(1, [T]), **RUNNING),
    *(
        case(f"length-{title}", "RFC 9110 8.6", post(1, (b"content-length", value)), **MALFORMED)
        for title, value in {
            "word": b"abc",
            "signed": b"+3",
            "negative": b"-1",
            "hex": b"0x3",
            "list": b"3, 3",
            "empty": b"",
            "fraction": b"3.0",
            "of-20-digits": b"1" * 20,
            "underscore": b"1_0",
        }.items()
    ),
    case("length-twice", "8.1.1", post(1, (b"content-length", b"3"), (b"content-length", b"3")),
         **MALFORMED),
    # trailers
    case("trailers", "8.1", post() + data(b"a") + headers(1, [T, (b"x-u", b"2")]),
         answers={1: 200}, seen={"trailers": [T, (b"x-u", b"2")], "body": b"a"}),
    case("trailers-without-data", "8.1", post() + headers(1, [T]), answers={1: 200},
         seen={"trailers": [T], "body": b""}),
    case("trailers-empty", "8.1", post() + data(b"a") + headers(1, []), answers={1: 200},
         seen={"trailers": None}),
    case("trailers-without-end", "8.1", post() + data(b"a") + headers(1, [T], end=False),
         **RUNNING),
    case("trailers-with-pseudo", "8.1", post() + headers(1, [(b":path", b"/")]), **RUNNING),
    case("trailers-with-status", "8.1", post() + headers(1, [(b":status", b"200")]), **RUNNING),
    case("trailers-upper-case", "8.1", post() + headers(1, [(b"X", b"1")]), **RUNNING),
    case("trailers-forbidden", "RFC 9110 6.5.1", post() + headers(1, [(b"content-length", b"0")]),
         **RUNNING),
    case("trailers-connection", "8.2.2", post() + headers(1, [(b"connection", b"close")]),
         **RUNNING),
    case("trailers-too-many", "10.5.1", post() + headers(1, [T] * 51), **RUNNING),
    case("data-after-trailers", "8.1", post(path=b"/hold") + headers(1, [T]) + data(b"a"),
         resets={1: 5}, calls=1),
    case("trailers-after-trailers", "8.1", post(path=b"/hold") + headers(1, [T]) * 2,
         resets={1: 5}, calls=1),
    # expectations
    case("expect-continue", "RFC 9110 10.1.1",
         post(1, (b"expect", b"100-continue")), data(b"a", end=True), answers={1: 200},
         seen={"body": b"a"}),
    case("expect-other", "RFC 9110 10.1.1", post(1, (b"expect", b"miracle")), answers={1: 417},
         resets={1: NO_ERROR}, calls=0),
    case("options-star", "8.3.1", headers(1, pseudo(b"OPTIONS", b"*")), answers={1: 200},
         seen={"path": "*"}),
]  # fmt: skip

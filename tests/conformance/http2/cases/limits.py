"""Limits on one request (RFC 9113 10.5)."""

from __future__ import annotations

from tests.conformance.http2.model import Case, case
from tests.conformance.http2.wire import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    NO_ERROR,
    block,
    data,
    frame,
    get,
    post,
    pseudo,
)

CALM = {"goaway": ENHANCE_YOUR_CALM}
GET = block(pseudo())


def fields(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"x-%d" % n, b"1") for n in range(count)]


def crumbs(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"cookie", b"a=1")] * count


def in_frames(payload: bytes, size: int = 16384) -> bytes:
    pieces = [payload[n : n + size] for n in range(0, len(payload), size)]
    return b"".join(
        frame(
            CONTINUATION if n else HEADERS,
            (0 if n else END_STREAM) | (END_HEADERS if n == len(pieces) - 1 else 0),
            1,
            piece,
        )
        for n, piece in enumerate(pieces)
    )


CASES: list[Case] = [
    case("fields-100", "10.5.1", get(1, *fields(100)), answers={1: 200}),
    case("fields-101", "10.5.1", get(1, *fields(101)) + get(3), answers={1: 431, 3: 200}, calls=1),
    case("fields-101-with-body", "10.5.1", post(1, *fields(101)) + data(b"a") + get(3),
         answers={1: 431, 3: 200}, resets={1: NO_ERROR}, calls=1),
    case("fields-as-configured", "10.5.1", get(1, *fields(3)), answers={1: 431}, calls=0,
         http2={"max_fields": 2}),
    case("fields-500", "10.5.1", get(1, *fields(500)), **CALM),
    case("cookies-256", "8.2.3", get(1, *crumbs(256)), answers={1: 200},
         seen={"headers": [(b"cookie", b"; ".join([b"a=1"] * 256))]}),
    case("cookies-257", "8.2.3", get(1, *crumbs(257)), answers={1: 431}, calls=0),
    case("cookies-and-fields", "8.2.3", get(1, *crumbs(250), *fields(100)), answers={1: 200}),
    case("head-as-configured", "6.5.2", get(1, (b"x", b"y" * 900)) + get(3),
         answers={1: 431, 3: 200}, calls=1, http2={"max_headers_size": 1000}),
    case("head-within", "6.5.2", get(1, (b"x", b"y" * 600)), answers={1: 200},
         http2={"max_headers_size": 1000}),
    case("head-of-60-kb", "6.5.2", in_frames(block([*pseudo(), (b"x", b"y" * 60_000)])),
         answers={1: 200}),
    case("head-of-70-kb", "6.5.2", in_frames(block([*pseudo(), (b"x", b"y" * 70_000)])), **CALM),
    case("head-limit-as-configured", "6.5.2", get(1, (b"x", b"y" * 3000)), **CALM,
         limits={"header_list_bytes": 2000}),
    case("continuations-too-many", "10.5.1",
         frame(HEADERS, END_STREAM, 1) + frame(CONTINUATION, 0, 1, b"\0") * 65, **CALM),
    case("continuations-empty", "10.5.1",
         frame(HEADERS, END_STREAM, 1) + frame(CONTINUATION, 0, 1) * 9, **CALM),
    case("body-announced-too-large", "RFC 9110 15.5.14", post(1, (b"content-length", b"11")),
         answers={1: 413}, resets={1: NO_ERROR}, calls=0, limits={"max_body_size": 10}),
    case("body-too-large", "RFC 9110 15.5.14", post() + data(b"x" * 11), answers={1: 413},
         resets={1: NO_ERROR}, calls=1, limits={"max_body_size": 10}),
    case("body-just-fits", "RFC 9110 15.5.14", post() + data(b"x" * 10, end=True),
         answers={1: 200}, limits={"max_body_size": 10}),
]  # fmt: skip

"""Several requests in one go (RFC 9112 section 9.3.2), also behind faults."""

from __future__ import annotations

from tests.conformance.model import Seen, accept, refuse

SPEC = "9112 9.3.2"


def get(path: bytes, lines: bytes = b"") -> bytes:
    """Return a GET."""
    return b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n"


def post(path: bytes, body: bytes) -> bytes:
    """Return a POST with a Content-Length."""
    return b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)


def chunked(path: bytes, wire: bytes) -> bytes:
    """Return a POST with a raw chunked body."""
    return b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + wire


A, B, C = Seen(path="/a"), Seen(path="/b"), Seen(path="/c")
BAD = b"GET /bad HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"

CASES = (
    accept("two", get(b"/a") + get(b"/b"), SPEC, A, B),
    accept("three", get(b"/a") + get(b"/b") + get(b"/c"), SPEC, A, B, C),
    accept(
        "forty",
        b"".join(get(b"/%d" % i) for i in range(40)),
        SPEC,
        *(Seen(path=f"/{i}") for i in range(40)),
    ),
    accept(
        "three-hundred",
        b"".join(get(b"/%d" % i) for i in range(300)),
        SPEC,
        *(Seen(path=f"/{i}") for i in range(300)),
    ),
    accept(
        "bodies",
        post(b"/a", b"one") + post(b"/b", b"two"),
        SPEC,
        Seen(method="POST", path="/a", body=b"one"),
        Seen(method="POST", path="/b", body=b"two"),
    ),
    accept(
        "chunked-then-length",
        chunked(b"/a", b"3\r\none\r\n0\r\n\r\n") + post(b"/b", b"two"),
        SPEC,
        Seen(method="POST", path="/a", body=b"one"),
        Seen(method="POST", path="/b", body=b"two"),
    ),
    accept(
        "trailers-then-request",
        chunked(b"/a", b"0\r\nX: t\r\n\r\n") + get(b"/b"),
        SPEC,
        Seen(method="POST", path="/a", trailers=(("x", "t"),)),
        Seen(path="/b", absent=("x",)),
    ),
    accept(
        "chunked-then-chunked",
        chunked(b"/a", b"1\r\na\r\n0\r\n\r\n") + chunked(b"/b", b"0\r\n\r\n"),
        SPEC,
        Seen(method="POST", path="/a", body=b"a"),
        Seen(method="POST", path="/b"),
    ),
    accept(
        "large-body-then-request",
        post(b"/a", b"x" * 200_000) + get(b"/b"),
        SPEC,
        Seen(method="POST", path="/a", body=b"x" * 200_000),
        B,
    ),
    accept(
        "head-between",
        get(b"/a") + b"HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n" + get(b"/b"),
        SPEC,
        A,
        Seen(method="HEAD", path="/h"),
        B,
    ),
    accept(
        "mixed-versions",
        b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get(b"/b"),
        SPEC,
        Seen(path="/a", version="1.0"),
        B,
    ),
    accept("empty-line-between", get(b"/a") + b"\r\n" + get(b"/b"), "9112 2.2", A, B),
    accept(
        "empty-line-behind-a-body",
        post(b"/a", b"one") + b"\r\n" + get(b"/b"),
        "9112 2.2",
        Seen(method="POST", path="/a", body=b"one"),
        B,
    ),
    refuse("two-empty-lines-between", get(b"/a") + b"\r\n\r\n" + get(b"/b"), 400, "9112 2.2", A),
    accept(
        "nothing-behind-close",
        get(b"/a", b"Connection: close\r\n") + get(b"/b"),
        "9112 9.6",
        A,
        open=False,
    ),
    accept(
        "no-fault-behind-close",
        get(b"/a", b"Connection: close\r\n") + BAD,
        "9112 9.6",
        A,
        open=False,
    ),
    accept(
        "nothing-behind-1.0",
        b"GET /a HTTP/1.0\r\n\r\n" + get(b"/b"),
        "9112 9.3",
        Seen(path="/a", version="1.0"),
        open=False,
    ),
    refuse("fault-first", BAD + get(b"/b"), 400, SPEC),
    refuse("fault-second", get(b"/a") + BAD + get(b"/b"), 400, SPEC, A),
    refuse(
        "fault-third",
        get(b"/a") + post(b"/b", b"two") + BAD + get(b"/c"),
        400,
        SPEC,
        A,
        Seen(method="POST", path="/b", body=b"two"),
    ),
    refuse("two-faults", BAD + BAD, 400, SPEC),
    refuse("junk-behind-a-request", get(b"/a") + b"junk\r\n\r\n", 400, SPEC, A),
    refuse(
        "junk-behind-a-body",
        post(b"/a", b"one") + b"xx" + get(b"/b", b"X : y\r\n"),
        {400},
        SPEC,
        Seen(method="POST", path="/a", body=b"one"),
    ),
    refuse(
        "length-too-short",
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhe\x00lo " + get(b"/b"),
        400,
        SPEC,
        Seen(method="POST", path="/a", body=b"he"),
    ),
    refuse(
        "chunk-fault-then-request", chunked(b"/a", b"zz\r\n") + get(b"/b"), 400, SPEC, reached=True
    ),
    refuse(
        "chunk-fault-second",
        get(b"/a") + chunked(b"/b", b"2\r\nhi\r\nzz\r\n") + get(b"/c"),
        400,
        SPEC,
        A,
        reached=True,
    ),
    refuse(
        "chunk-fault-right-behind-the-head-second",
        get(b"/a") + chunked(b"/b", b"zz\r\n") + get(b"/c"),
        400,
        SPEC,
        A,
        reached=True,
    ),
    refuse(
        "request-smuggled-by-both-lengths",
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nG" + get(b"/b"),
        400,
        "9112 11.2",
    ),
    refuse(
        "request-smuggled-by-a-bare-lf-chunk",
        chunked(b"/a", b"0\n\r\n") + get(b"/b"),
        400,
        "9112 11.2",
        reached=True,
    ),
    refuse(
        "too-long-second",
        get(b"/a") + get(b"/" + b"p" * 400) + get(b"/c"),
        414,
        SPEC,
        A,
        limits={"request_line": 300},
    ),
    refuse(
        "unknown-version-second",
        get(b"/a") + b"GET /b HTTP/2.0\r\nHost: a\r\n\r\n" + get(b"/c"),
        505,
        SPEC,
        A,
    ),
    refuse(
        "unknown-coding-second",
        get(b"/a") + b"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n" + get(b"/c"),
        501,
        SPEC,
        A,
    ),
)

"""The trailer section of a chunked request (RFC 9112 section 7.1.2, RFC 9110 section 6.5)."""

from __future__ import annotations

from tests.conformance.model import Case, Seen, accept, refuse

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
SPEC = "9112 7.1.2"
FORBIDDEN = "9110 6.5.1"


def good(id: str, text: bytes, *trailers: tuple[str, str]) -> Case:  # noqa: A002
    """Make a case for trailer lines that are exposed, apart from the header fields."""
    absent = tuple(name for name, _ in trailers)
    return accept(
        id,
        HEAD + text + b"\r\n",
        SPEC,
        Seen(method="POST", body=b"hello", trailers=trailers, absent=absent),
    )


def bad(id: str, text: bytes, spec: str = SPEC) -> Case:  # noqa: A002
    """Make a case for trailer lines that are refused."""
    return refuse(id, HEAD + text + b"\r\n", 400, spec, reached=True)


CASES = (
    good("one", b"X-Sum: abc\r\n", ("x-sum", "abc")),
    good("two", b"X-A: 1\r\nX-B: 2\r\n", ("x-a", "1"), ("x-b", "2")),
    good("repeats", b"X-A: 1\r\nX-A: 2\r\n", ("x-a", "1"), ("x-a", "2")),
    good("whitespace-stripped", b"X-A: \t 1 \t\r\n", ("x-a", "1")),
    good("empty-value", b"X-A:\r\n", ("x-a", "")),
    good("obs-text", b"X-A: \xe9\r\n", ("x-a", "\u00e9")),
    good(
        "fifty",
        b"".join(b"X-%d: %d\r\n" % (i, i) for i in range(50)),
        *((f"x-{i}", str(i)) for i in range(50)),
    ),
    accept(
        "not-merged-into-the-headers",
        b"POST / HTTP/1.1\r\nHost: a\r\nX-A: head\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\nX-A: tail\r\n\r\n",
        FORBIDDEN,
        Seen(method="POST", fields=(("x-a", "head"),), trailers=(("x-a", "tail"),)),
    ),
    bad("fifty-one", b"".join(b"X-%d: %d\r\n" % (i, i) for i in range(51))),
    bad("above-16-kib", b"X: " + b"v" * 17000 + b"\r\n"),
    bad("above-16-kib-in-lines", (b"X: " + b"v" * 1000 + b"\r\n") * 17),
    bad("above-16-kib-unended", b"X: " + b"v" * 40000),
    bad("content-length", b"Content-Length: 5\r\n", FORBIDDEN),
    bad("transfer-encoding", b"Transfer-Encoding: chunked\r\n", FORBIDDEN),
    bad("host", b"Host: b\r\n", FORBIDDEN),
    bad("authorization", b"Authorization: Basic eA==\r\n", FORBIDDEN),
    bad("cookie", b"Cookie: a=b\r\n", FORBIDDEN),
    bad("trailer", b"Trailer: x\r\n", FORBIDDEN),
    bad("connection", b"Connection: close\r\n", FORBIDDEN),
    bad("expect", b"Expect: 100-continue\r\n", FORBIDDEN),
    bad("forbidden-in-other-case", b"cONTENT-lENGTH: 5\r\n", FORBIDDEN),
    bad("no-colon", b"X-A\r\n"),
    bad("empty-name", b": v\r\n"),
    bad("space-before-colon", b"X-A : v\r\n", "9112 5.1"),
    bad("space-in-name", b"X A: v\r\n"),
    bad("name-ctl", b"X\x01: v\r\n"),
    bad("value-nul", b"X: \x00\r\n"),
    bad("value-ctl", b"X: \x1f\r\n"),
    bad("obs-fold", b"X: a\r\n b\r\n", "9112 5.2"),
    bad("fold-first", b" X: a\r\n", "9112 5.2"),
    bad("bare-lf", b"X: a\nY: b\r\n", "9112 2.2"),
    bad("bare-lf-end", b"X: a\n", "9112 2.2"),
    bad("bare-cr", b"X: a\rY: b\r\n", "9112 2.2"),
    bad("cr-cr-lf", b"X: a\r\r\n", "9112 2.2"),
    bad("request-instead", b"GET /x HTTP/1.1\r\nHost: b\r\n"),
    refuse("cut", HEAD + b"X: a\r\n", 400, "9112 8", reached=True, probe=False),
    refuse("cut-in-a-line", HEAD + b"X: a", 400, "9112 8", reached=True, probe=False),
)

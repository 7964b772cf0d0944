"""Expect (RFC 9110 section 10.1.1); waiting for the 100 itself is in `test_expect`."""

from __future__ import annotations

from tests.conformance.model import Seen, accept, either, refuse

SPEC = "9110 10.1.1"


def post(value: bytes, body: bytes = b"hello", minor: int = 1, more: bytes = b"") -> bytes:
    """Return a POST with this Expect value."""
    return b"POST / HTTP/1.%d\r\nHost: a\r\nContent-Length: %d\r\nExpect:%b\r\n%b\r\n%b" % (
        minor,
        len(body),
        value,
        more,
        body,
    )


CASES = (
    accept("continue", post(b" 100-continue"), SPEC, Seen(method="POST", body=b"hello")),
    accept("continue-case", post(b" 100-CONTINUE"), SPEC, Seen(method="POST", body=b"hello")),
    accept(
        "continue-without-a-body",
        b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        SPEC,
    ),
    accept("continue-with-length-zero", post(b" 100-continue", b""), SPEC, Seen(method="POST")),
    accept(
        "continue-chunked",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nhi\r\n0\r\n\r\n",
        SPEC,
        Seen(method="POST", body=b"hi"),
    ),
    accept(
        "continue-in-1.0-is-ignored",
        post(b" 100-continue", minor=0),
        SPEC,
        Seen(method="POST", body=b"hello", version="1.0"),
        open=False,
    ),
    refuse("unknown", post(b" x-magic"), 417, SPEC, open=None),
    refuse(
        "unknown-without-a-body",
        b"GET / HTTP/1.1\r\nHost: a\r\nExpect: x-magic\r\n\r\n",
        417,
        SPEC,
        open=None,
    ),
    refuse("continue-and-unknown", post(b" 100-continue, x-magic"), 417, SPEC, open=None),
    refuse("continue-with-parameter", post(b" 100-continue;q=1"), 417, SPEC, open=None),
    refuse("other-number", post(b" 200-ok"), 417, SPEC, open=None),
    either(
        "repeated",
        post(b" 100-continue", more=b"Expect: 100-continue\r\n"),
        417,
        SPEC,
        Seen(method="POST", body=b"hello"),
    ),
    either("empty", post(b""), 417, SPEC, Seen(method="POST", body=b"hello")),
    either(
        "unknown-in-1.0",
        post(b" x-magic", minor=0),
        417,
        SPEC,
        Seen(method="POST", body=b"hello", version="1.0"),
    ),
    refuse(
        "above-the-body-limit",
        post(b" 100-continue", b"hello world"),
        413,
        SPEC,
        limits={"max_body_size": 10},
    ),
    refuse("bad-length", post(b" 100-continue", more=b"Content-Length: 5\r\n"), 400, SPEC),
)

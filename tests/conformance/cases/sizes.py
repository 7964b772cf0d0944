"""Bounds on a request head (RFC 9110 sections 4.1 and 5.4, RFC 6585 section 5)."""

from __future__ import annotations

from tests.conformance.model import Seen, accept, refuse

LINE = "9112 3"
HEAD = "6585 5"
START = b"GET / HTTP/1.1\r\nHost: a\r\n"
SMALL = {"max_buffer_size": 8192}


def target(size: int) -> bytes:
    """Return a request whose request line has *size* bytes."""
    return b"GET /" + b"p" * (size - 14) + b" HTTP/1.1\r\nHost: a\r\n\r\n"


def head(size: int) -> bytes:
    """Return a request whose head, with its empty line, has *size* bytes."""
    return START + b"X: " + b"v" * (size - len(START) - 7) + b"\r\n\r\n"


def many(count: int) -> bytes:
    """Return a request with *count* fields."""
    return START + b"X: y\r\n" * (count - 1) + b"\r\n"


CASES = (
    accept(
        "request-line-at-the-limit",
        target(300),
        LINE,
        Seen(path="/" + "p" * 286),
        limits={"request_line": 300},
    ),
    refuse("request-line-above-the-limit", target(301), 414, LINE, limits={"request_line": 300}),
    refuse(
        "request-line-far-above-the-limit", target(5000), 414, LINE, limits={"request_line": 300}
    ),
    refuse("request-line-of-70-kb", target(70_000), 414, LINE),
    accept("request-line-of-8000-bytes", target(8000), LINE, Seen(path="/" + "p" * 7986)),
    refuse(
        "request-line-unended",
        b"GET /" + b"p" * 400,
        414,
        LINE,
        limits={"request_line": 300},
        probe=False,
    ),
    refuse("method-unended", b"A" * 400, 414, LINE, limits={"request_line": 300}, probe=False),
    refuse(
        "query-above-the-limit",
        b"GET /?" + b"q" * 400 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        414,
        LINE,
        limits={"request_line": 300},
    ),
    accept("head-at-the-limit", head(8192), HEAD, http1=SMALL),
    refuse("head-above-the-limit", head(8193), 431, HEAD, http1=SMALL),
    refuse("head-far-above-the-limit", head(50_000), 431, HEAD, http1=SMALL),
    refuse("head-unended", START + b"X: " + b"v" * 9000, 431, HEAD, http1=SMALL, probe=False),
    refuse(
        "head-of-many-lines-unended",
        START + b"X: y\r\n" * 90 + b"Y: " + b"v" * 9000,
        431,
        HEAD,
        http1=SMALL,
        probe=False,
    ),
    refuse("head-above-the-default-limit", head(420_000), 431, HEAD),
    accept("head-of-300-kb", head(300_000), HEAD),
    refuse(
        "field-name-above-the-limit", START + b"n" * 9000 + b": v\r\n\r\n", 431, HEAD, http1=SMALL
    ),
    refuse("request-line-above-the-buffer", target(9000), {414, 431}, LINE, http1=SMALL),
    refuse("the-second-head-counts-anew", head(8000) + head(8193), 431, HEAD, Seen(), http1=SMALL),
    accept("heads-are-counted-apart", head(5000) + head(5000), HEAD, Seen(), Seen(), http1=SMALL),
    accept("fields-at-the-limit", many(100), HEAD),
    refuse("fields-above-the-limit", many(101), 431, HEAD),
    refuse("fields-far-above-the-limit", many(2000), 431, HEAD),
    accept("fields-at-a-set-limit", many(5), HEAD, http1={"max_fields": 5}),
    refuse("fields-above-a-set-limit", many(6), 431, HEAD, http1={"max_fields": 5}),
    refuse("the-first-fault-counts-fields", many(101)[:-2] + b"bad field\r\n\r\n", 431, HEAD),
    refuse(
        "the-first-fault-counts-syntax",
        START + b"bad field\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        400,
        HEAD,
    ),
)

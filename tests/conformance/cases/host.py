"""The Host field (RFC 9112 section 3.2, RFC 9110 section 7.2)."""

from __future__ import annotations

from tests.conformance.model import Case, Seen, accept, either, refuse

SPEC = "9112 3.2"


def host(value: bytes) -> bytes:
    """Return a whole request with this Host value."""
    return b"GET / HTTP/1.1\r\nHost: " + value + b"\r\n\r\n"


def good(id: str, value: str) -> Case:  # noqa: A002
    """Make a case for a value that the application must see as it is."""
    return accept(id, host(value.encode()), SPEC, Seen(fields=(("host", value),)))


def bad(id: str, value: bytes) -> Case:  # noqa: A002
    """Make a case for a value that is not ``uri-host [ ":" port ]``."""
    return refuse(id, host(value), 400, SPEC)


CASES = (
    good("name", "example.org"),
    good("name-and-port", "example.org:8000"),
    good("empty-port", "example.org:"),
    good("ipv4", "127.0.0.1:8000"),
    good("ipv6", "[2001:db8::1]"),
    good("ipv6-and-port", "[::1]:8000"),
    good("underscore", "my_host.internal"),
    good("percent-encoded", "ex%41mple.org"),
    good("upper-case", "EXAMPLE.org"),
    good("trailing-dot", "example.org."),
    good("sub-delims", "a!$&'()*+;=b"),
    either("empty", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "9110 7.2"),
    refuse("missing", b"GET / HTTP/1.1\r\n\r\n", 400, SPEC),
    refuse(
        "missing-with-other-fields",
        b"GET / HTTP/1.1\r\nX-Host: a\r\nAccept: */*\r\n\r\n",
        400,
        SPEC,
    ),
    refuse("missing-in-1.2", b"GET / HTTP/1.2\r\n\r\n", 400, SPEC),
    refuse("repeated-equal", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, SPEC),
    refuse("repeated-different", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, SPEC),
    refuse("repeated-apart", b"GET / HTTP/1.1\r\nhOST: a\r\nX: y\r\nHost: b\r\n\r\n", 400, SPEC),
    refuse("repeated-in-1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, SPEC),
    accept(
        "missing-in-1.0",
        b"GET / HTTP/1.0\r\n\r\n",
        SPEC,
        Seen(version="1.0", absent=("host",)),
        open=False,
    ),
    refuse("invalid-in-1.0", b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 400, SPEC),
    bad("list", b"a, b"),
    bad("comma-is-no-list-but-space-is", b"a ,b"),
    bad("space", b"a b"),
    bad("tab", b"a\tb"),
    bad("slash", b"a/b"),
    bad("backslash", b"a\\b"),
    bad("url", b"http://a/"),
    bad("userinfo", b"u@a"),
    bad("question-mark", b"a?b"),
    bad("fragment", b"a#b"),
    bad("angle", b"<a>"),
    bad("quote", b'"a"'),
    bad("non-ascii", b"caf\xc3\xa9.example"),
    bad("port-letters", b"a:80a"),
    bad("port-signed", b"a:+80"),
    bad("two-ports", b"a:80:80"),
    bad("ipv6-unclosed", b"[::1"),
    bad("ipv6-tail", b"[::1]x"),
    bad("ipv6-without-brackets", b"::1"),
    either("percent-cut", host(b"a%4"), 400, "3986 2.1", Seen(fields=(("host", "a%4"),))),
)

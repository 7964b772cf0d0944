"""Upgrade to something we do not speak is ignored (RFC 9110 section 7.8)."""

from __future__ import annotations

from tests.conformance.model import Case, Seen, accept

SPEC = "9110 7.8"


def upgrade(id: str, protocol: bytes, more: bytes = b"", body: bytes = b"") -> Case:  # noqa: A002
    """Make a case for a request that offers *protocol* and is served as HTTP/1.1."""
    data = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %b\r\n%b\r\n%b" % (
        protocol,
        more,
        body,
    )
    return accept(
        id, data, SPEC, Seen(method="POST", body=body, fields=(("upgrade", protocol.decode()),))
    )


CASES = (
    upgrade("unknown", b"foo/2"),
    upgrade("list", b"foo/2, bar"),
    upgrade("h2c", b"h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
    upgrade("tls", b"TLS/1.0"),
    upgrade("unknown-with-a-body", b"foo", b"Content-Length: 5\r\n", b"hello"),
    accept("without-connection", b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\n\r\n", SPEC),
    accept(
        "in-1.0",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n",
        SPEC,
        Seen(version="1.0"),
        open=False,
    ),
    accept(
        "pipelined-request-behind",
        b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n"
        b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        SPEC,
        Seen(path="/a"),
        Seen(path="/b"),
    ),
)

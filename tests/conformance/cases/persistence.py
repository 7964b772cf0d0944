"""Whether a connection goes on after a response (RFC 9112 section 9.3)."""

from __future__ import annotations

from tests.conformance.model import Case, Seen, accept

SPEC = "9112 9.3"


def persists(
    id: str,  # noqa: A002
    lines: bytes,
    *,
    minor: int = 1,
    open: bool,  # noqa: A002
    http1: dict[str, int | bool] | None = None,
) -> Case:
    """Make a case for a GET with these raw field lines."""
    data = b"GET / HTTP/1.%d\r\nHost: a\r\n%b\r\n" % (minor, lines)
    return accept(id, data, SPEC, Seen(version=f"1.{minor}"), open=open, http1=http1)


CASES = (
    persists("1.1-default", b"", open=True),
    persists("1.1-close", b"Connection: close\r\n", open=False),
    persists("1.1-close-case", b"cOnNeCtIoN: ClOsE\r\n", open=False),
    persists("1.1-keep-alive", b"Connection: keep-alive\r\n", open=True),
    persists("1.1-other-token", b"Connection: X-Foo\r\nX-Foo: 1\r\n", open=True),
    persists("1.1-close-in-a-list", b"Connection: x, close, y\r\n", open=False),
    persists("1.1-close-first-in-a-list", b"Connection: close,x\r\n", open=False),
    persists("1.1-close-last-in-a-list", b"Connection: x ,\tclose\r\n", open=False),
    persists(
        "1.1-close-in-the-second-field", b"Connection: x\r\nConnection: close\r\n", open=False
    ),
    persists("1.1-close-and-keep-alive", b"Connection: keep-alive, close\r\n", open=False),
    persists(
        "1.1-keep-alive-field-after-close",
        b"Connection: close\r\nConnection: keep-alive\r\n",
        open=False,
    ),
    persists("1.1-token-that-contains-close", b"Connection: closed, unclose\r\n", open=True),
    persists("1.1-empty-elements", b"Connection: ,, close ,\r\n", open=False),
    persists("1.1-empty", b"Connection:\r\n", open=True),
    persists("1.1-keep-alive-parameters", b"Keep-Alive: timeout=1, max=1\r\n", open=True),
    persists("1.1-proxy-connection-is-nothing", b"Proxy-Connection: close\r\n", open=True),
    persists("1.0-default", b"", minor=0, open=False),
    persists("1.0-keep-alive", b"Connection: keep-alive\r\n", minor=0, open=True),
    persists("1.0-keep-alive-case", b"Connection: Keep-Alive\r\n", minor=0, open=True),
    persists("1.0-keep-alive-in-a-list", b"Connection: x, keep-alive\r\n", minor=0, open=True),
    persists("1.0-keep-alive-and-close", b"Connection: keep-alive, close\r\n", minor=0, open=False),
    persists("1.0-close", b"Connection: close\r\n", minor=0, open=False),
    persists("1.0-keep-alive-field-alone", b"Keep-Alive: timeout=5\r\n", minor=0, open=False),
    persists(
        "1.0-token-that-contains-keep-alive", b"Connection: keep-alives\r\n", minor=0, open=False
    ),
    persists("switched-off", b"", open=False, http1={"keep_alive": False}),
    persists(
        "switched-off-for-1.0",
        b"Connection: keep-alive\r\n",
        minor=0,
        open=False,
        http1={"keep_alive": False},
    ),
    accept(
        "after-a-body",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        SPEC,
        Seen(method="POST", body=b"hello"),
    ),
    accept(
        "close-after-a-body",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        SPEC,
        Seen(method="POST", body=b"hello"),
        open=False,
    ),
    accept(
        "1.0-keep-alive-with-a-body",
        b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        SPEC,
        Seen(method="POST", body=b"hello", version="1.0"),
    ),
    accept(
        "head-keeps-the-connection",
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        "9110 9.3.2",
        Seen(method="HEAD"),
    ),
    accept(
        "head-close",
        b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "9110 9.3.2",
        Seen(method="HEAD"),
        open=False,
    ),
)

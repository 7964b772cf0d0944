"""The request line: method, target, version (RFC 9112 section 3)."""

from __future__ import annotations

from tests.conformance.model import Seen, accept, either, refuse, silent

END = b"\r\nHost: a\r\n\r\n"


def line(text: bytes) -> bytes:
    """Return a whole request with this request line."""
    return text + END


CASES = (
    accept("plain", line(b"GET / HTTP/1.1"), "9112 3", Seen(fields=(("host", "a"),))),
    accept("lower-case-method", line(b"get / HTTP/1.1"), "9110 9.1", Seen(method="get")),
    accept(
        "unknown-method", line(b"BREW /pot HTTP/1.1"), "9110 9.1", Seen(method="BREW", path="/pot")
    ),
    accept(
        "token-method",
        line(b"M-SEARCH!#$%&'*+.^_`|~9 / HTTP/1.1"),
        "9110 5.6.2",
        Seen(method="M-SEARCH!#$%&'*+.^_`|~9"),
    ),
    accept(
        "delete-without-body",
        line(b"DELETE /a HTTP/1.1"),
        "9110 9.3.5",
        Seen(method="DELETE", path="/a"),
    ),
    accept(
        "trace-is-the-applications", line(b"TRACE / HTTP/1.1"), "9110 9.3.8", Seen(method="TRACE")
    ),
    accept("long-method", line(b"A" * 40 + b" / HTTP/1.1"), "9110 9.1", Seen(method="A" * 40)),
    accept(
        "query",
        line(b"GET /a/b?c=d&e=%20 HTTP/1.1"),
        "9112 3.2.1",
        Seen(path="/a/b", query="c=d&e=%20"),
    ),
    accept("query-empty", line(b"GET /a? HTTP/1.1"), "9112 3.2.1", Seen(path="/a")),
    accept(
        "query-with-question-mark",
        line(b"GET /a?b?c=/? HTTP/1.1"),
        "3986 3.4",
        Seen(path="/a", query="b?c=/?"),
    ),
    accept(
        "percent-encoded",
        line(b"GET /caf%C3%A9%2Fx HTTP/1.1"),
        "3986 2.1",
        Seen(path="/caf\u00e9/x"),
    ),
    accept(
        "dot-segments-kept",
        line(b"GET /a/../b/./c HTTP/1.1"),
        "9110 4.2.3",
        Seen(path="/a/../b/./c"),
    ),
    accept("double-slash", line(b"GET //a//b HTTP/1.1"), "9112 3.2.1", Seen(path="//a//b")),
    accept(
        "slashes-look-like-authority",
        line(b"GET //evil.example/x HTTP/1.1"),
        "9112 3.2.1",
        Seen(path="//evil.example/x", fields=(("host", "a"),)),
    ),
    accept(
        "sub-delims",
        line(b"GET /a;b=c,d!$&'()*+:@~ HTTP/1.1"),
        "3986 3.3",
        Seen(path="/a;b=c,d!$&'()*+:@~"),
    ),
    accept("minor-0", line(b"GET / HTTP/1.0"), "9112 2.3", Seen(version="1.0"), open=False),
    accept("minor-2", line(b"GET / HTTP/1.2"), "9112 2.3", Seen(version="1.1")),
    accept("minor-9", line(b"GET / HTTP/1.9"), "9112 2.3", Seen(version="1.1")),
    accept(
        "options-asterisk",
        line(b"OPTIONS * HTTP/1.1"),
        "9112 3.2.4",
        Seen(method="OPTIONS", path="*"),
    ),
    accept(
        "absolute-form",
        line(b"GET http://b.example/p?q HTTP/1.1"),
        "9112 3.2.2",
        Seen(path="/p", query="q", fields=(("host", "b.example"),)),
    ),
    accept(
        "absolute-form-port",
        line(b"GET http://b.example:8080/p HTTP/1.1"),
        "9112 3.2.2",
        Seen(path="/p", fields=(("host", "b.example:8080"),)),
    ),
    accept(
        "absolute-form-no-path",
        line(b"GET http://b.example HTTP/1.1"),
        "9112 3.2.2",
        Seen(path="/", fields=(("host", "b.example"),)),
    ),
    accept(
        "absolute-form-query-only",
        line(b"GET http://b.example?q=1 HTTP/1.1"),
        "9112 3.2.2",
        Seen(path="/", query="q=1", fields=(("host", "b.example"),)),
    ),
    accept(
        "absolute-form-upper-case-scheme",
        line(b"GET HTTP://b.example/ HTTP/1.1"),
        "3986 3.1",
        Seen(fields=(("host", "b.example"),)),
    ),
    accept(
        "absolute-form-ipv6",
        line(b"GET http://[::1]:80/p HTTP/1.1"),
        "9112 3.2.2",
        Seen(path="/p", fields=(("host", "[::1]:80"),)),
    ),
    refuse(
        "absolute-form-no-host-field", b"GET http://b.example/ HTTP/1.1\r\n\r\n", 400, "9112 3.2"
    ),
    accept(
        "absolute-form-http-1.0",
        b"GET http://b.example/p HTTP/1.0\r\n\r\n",
        "9112 3.2.2",
        Seen(path="/p", version="1.0"),
        open=False,
    ),
    refuse("absolute-form-empty-authority", line(b"GET http:///p HTTP/1.1"), 400, "9110 4.2.1"),
    refuse(
        "absolute-form-userinfo", line(b"GET http://u:p@b.example/ HTTP/1.1"), 400, "9110 4.2.4"
    ),
    refuse("absolute-form-bad-port", line(b"GET http://b.example:8x/ HTTP/1.1"), 400, "3986 3.2.3"),
    refuse("absolute-form-bad-host", line(b"GET http://b<example/ HTTP/1.1"), 400, "3986 3.2.2"),
    either("absolute-form-other-scheme", line(b"GET ftp://b.example/ HTTP/1.1"), 400, "9112 3.2.2"),
    refuse("authority-form", line(b"GET b.example:80 HTTP/1.1"), 400, "9112 3.2.3"),
    refuse("relative-target", line(b"GET a/b HTTP/1.1"), 400, "9112 3.2"),
    refuse("query-only-target", line(b"GET ?a=b HTTP/1.1"), 400, "9112 3.2"),
    refuse("asterisk-get", line(b"GET * HTTP/1.1"), 400, "9112 3.2.4"),
    refuse("asterisk-with-tail", line(b"OPTIONS *x HTTP/1.1"), 400, "9112 3.2.4"),
    refuse("connect", line(b"CONNECT b.example:443 HTTP/1.1"), 501, "9110 9.3.6"),
    refuse("connect-path", line(b"CONNECT / HTTP/1.1"), {400, 501}, "9110 9.3.6"),
    refuse("fragment", line(b"GET /a#b HTTP/1.1"), 400, "9112 3.2"),
    refuse("fragment-absolute-form", line(b"GET http://b.example/a#b HTTP/1.1"), 400, "9112 3.2"),
    refuse("empty-target", line(b"GET  HTTP/1.1"), 400, "9112 3"),
    refuse("two-spaces-after-method", line(b"GET  / HTTP/1.1"), 400, "9112 3"),
    refuse("two-spaces-after-target", line(b"GET /  HTTP/1.1"), 400, "9112 3"),
    refuse("space-in-target", line(b"GET /a b HTTP/1.1"), 400, "9112 3.2"),
    refuse("leading-space", line(b" GET / HTTP/1.1"), 400, "9112 3"),
    refuse("leading-tab", line(b"\tGET / HTTP/1.1"), 400, "9112 3"),
    refuse("trailing-space", line(b"GET / HTTP/1.1 "), 400, "9112 3"),
    refuse("trailing-junk", line(b"GET / HTTP/1.1x"), 400, "9112 3"),
    refuse("tab-after-method", line(b"GET\t/ HTTP/1.1"), 400, "9112 3"),
    refuse("tab-after-target", line(b"GET /\tHTTP/1.1"), 400, "9112 3"),
    refuse("vertical-tab", line(b"GET\x0b/ HTTP/1.1"), 400, "9112 3"),
    refuse("form-feed-in-target", line(b"GET /\x0c HTTP/1.1"), 400, "9112 3"),
    refuse("missing-version", line(b"GET /"), 400, "9112 3"),
    refuse("http-0.9-simple-request", b"GET /\r\n\r\n", 400, "9112 2.3"),
    refuse("method-only", line(b"GET"), 400, "9112 3"),
    refuse("no-method", line(b"/ HTTP/1.1"), 400, "9112 3"),
    refuse("empty-method", line(b" / HTTP/1.1"), 400, "9112 3"),
    refuse("method-paren", line(b"GE(T / HTTP/1.1"), 400, "9110 5.6.2"),
    refuse("method-colon", line(b"GET: / HTTP/1.1"), 400, "9110 5.6.2"),
    refuse("method-nul", line(b"G\x00T / HTTP/1.1"), 400, "9110 5.6.2"),
    refuse("method-obs-text", line(b"G\xcbT / HTTP/1.1"), 400, "9110 5.6.2"),
    refuse("nul-in-target", line(b"GET /\x00 HTTP/1.1"), 400, "9112 3.2"),
    refuse("ctl-in-target", line(b"GET /\x01 HTTP/1.1"), 400, "9112 3.2"),
    refuse("del-in-target", line(b"GET /\x7f HTTP/1.1"), 400, "9112 3.2"),
    refuse("bare-cr-in-target", line(b"GET /\ra HTTP/1.1"), 400, "9112 2.2"),
    refuse("bare-cr-after-version", line(b"GET / HTTP/1.1\r"), 400, "9112 2.2"),
    refuse("bare-lf-line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "9112 2.2"),
    refuse("bare-cr-line", b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400, "9112 2.2"),
    either("non-ascii-target", line(b"GET /caf\xc3\xa9 HTTP/1.1"), 400, "3986 2"),
    either(
        "unwise-characters",
        line(b'GET /{a}|"<b>^`\\ HTTP/1.1'),
        400,
        "3986 2",
        Seen(path='/{a}|"<b>^`\\'),
    ),
    either(
        "bad-percent-encoding", line(b"GET /%zz%1 HTTP/1.1"), 400, "3986 2.1", Seen(path="/%zz%1")
    ),
    refuse("lower-case-name", line(b"GET / http/1.1"), 400, "9112 2.3"),
    refuse("other-protocol", line(b"GET / ICY/1.1"), 400, "9112 2.3"),
    refuse("https-protocol", line(b"GET / HTTPS/1.1"), 400, "9112 2.3"),
    refuse("no-minor", line(b"GET / HTTP/1"), 400, "9112 2.3"),
    refuse("no-slash", line(b"GET / HTTP1.1"), 400, "9112 2.3"),
    refuse("comma-version", line(b"GET / HTTP/1,1"), 400, "9112 2.3"),
    refuse("two-digit-minor", line(b"GET / HTTP/1.10"), 400, "9112 2.3"),
    refuse("two-digit-major", line(b"GET / HTTP/11.1"), 400, "9112 2.3"),
    refuse("leading-zero-major", line(b"GET / HTTP/01.1"), 400, "9112 2.3"),
    refuse("signed-minor", line(b"GET / HTTP/1.+1"), 400, "9112 2.3"),
    refuse("letter-minor", line(b"GET / HTTP/1.x"), 400, "9112 2.3"),
    refuse("superscript-minor", line(b"GET / HTTP/1.\xb9"), 400, "9112 2.3"),
    refuse("space-in-version", line(b"GET / HTTP/ 1.1"), 400, "9112 2.3"),
    refuse("major-2", line(b"GET / HTTP/2.0"), 505, "9110 15.6.6"),
    refuse("major-3", line(b"GET / HTTP/3.0"), 505, "9110 15.6.6"),
    refuse("major-2-minor-1", line(b"GET / HTTP/2.1"), 505, "9110 15.6.6"),
    refuse("major-9", line(b"GET / HTTP/9.9"), {400, 505}, "9110 15.6.6"),
    refuse("major-0", line(b"GET / HTTP/0.9"), {400, 505}, "9110 15.6.6"),
    refuse("http-2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "9113 3.4"),
    accept("one-empty-line-before", b"\r\n" + line(b"GET / HTTP/1.1"), "9112 2.2"),
    refuse("two-empty-lines-before", b"\r\n\r\n" + line(b"GET / HTTP/1.1"), 400, "9112 2.2"),
    refuse("empty-bare-lf-before", b"\n" + line(b"GET / HTTP/1.1"), 400, "9112 2.2"),
    refuse("empty-bare-cr-before", b"\r" + line(b"GET / HTTP/1.1"), 400, "9112 2.2"),
    refuse("nul-before", b"\x00" + line(b"GET / HTTP/1.1"), 400, "9112 2.2"),
    refuse(
        "tls-client-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "9112 3"
    ),
    refuse("binary-junk", bytes(range(128, 256)) + b"\r\n\r\n", 400, "9112 3"),
    silent("nothing", b"", "9112 9.8"),
    silent("only-an-empty-line", b"\r\n", "9112 9.8"),
    silent("cut-request-line", b"GET / HT", "9112 9.8"),
    silent("cut-before-the-end-of-the-head", b"GET / HTTP/1.1\r\nHost: a\r\n", "9112 9.8"),
)

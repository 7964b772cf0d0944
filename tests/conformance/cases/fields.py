"""Header field syntax (RFC 9112 section 5, RFC 9110 section 5)."""

from __future__ import annotations

from tests.conformance.model import Case, Seen, accept, either, refuse

SPEC = "9112 5"


def fields(text: bytes) -> bytes:
    """Return a whole request with these raw field lines behind its Host field."""
    return b"GET / HTTP/1.1\r\nHost: a\r\n" + text + b"\r\n\r\n"


def value(id: str, wire: bytes, seen: str, spec: str = "9110 5.5") -> Case:  # noqa: A002
    """Make a case for a field value that is accepted."""
    return accept(id, fields(b"X-Test:" + wire), spec, Seen(fields=(("x-test", seen),)))


def bad(id: str, text: bytes, spec: str = SPEC) -> Case:  # noqa: A002
    """Make a case for raw field lines that are refused."""
    return refuse(id, fields(text), 400, spec)


CASES = (
    value("plain", b" value", "value"),
    value("no-whitespace", b"value", "value"),
    value("tab-before", b"\tvalue", "value"),
    value("whitespace-around", b" \t value \t ", "value"),
    value("inner-whitespace-kept", b" a \t  b", "a \t  b"),
    value("empty", b"", ""),
    value("only-whitespace", b" \t ", ""),
    value("colons", b" a:b: c", "a:b: c"),
    value("quoted-string", b' "a, \\"b\\""', '"a, \\"b\\""'),
    value("obs-text", b" caf\xc3\xa9 \xff", "caf\u00c3\u00a9 \u00ff"),
    value("no-break-space-is-not-stripped", b" \xa0a\xa0", "\u00a0a\u00a0", "9112 5.1"),
    value("next-line-is-not-stripped", b" \x85a\x85", "\u0085a\u0085", "9112 5.1"),
    value("all-visible", b" !#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    value("single-character", b" x", "x"),
    value("long", b" " + b"v" * 500, "v" * 500),
    accept("name-case", fields(b"X-TeSt: Value"), "9110 5.1", Seen(fields=(("x-test", "Value"),))),
    accept(
        "name-token",
        fields(b"!#$%&'*+-.^_`|~09az: v"),
        "9110 5.6.2",
        Seen(fields=(("!#$%&'*+-.^_`|~09az", "v"),)),
    ),
    accept(
        "repeats-in-order",
        fields(b"X: 1\r\nY: 2\r\nX: 3"),
        "9110 5.3",
        Seen(fields=(("x", "1"), ("x", "3"), ("y", "2"))),
    ),
    accept(
        "cookies-in-order",
        fields(b"Cookie: a=1\r\nCookie: b=2"),
        "6265 5.4",
        Seen(fields=(("cookie", "a=1"), ("cookie", "b=2"))),
    ),
    accept(
        "many",
        fields(b"\r\n".join(b"X-%d: %d" % (i, i) for i in range(90))),
        "9110 5.4",
        Seen(fields=tuple((f"x-{i}", str(i)) for i in range(90))),
    ),
    accept(
        "fields-before-host",
        b"GET / HTTP/1.1\r\nX: 1\r\nHost: a\r\n\r\n",
        "9110 5.3",
        Seen(fields=(("x", "1"), ("host", "a"))),
    ),
    bad("space-before-colon", b"X : v", "9112 5.1"),
    bad("tab-before-colon", b"X\t: v", "9112 5.1"),
    bad("space-before-colon-content-length", b"Content-Length : 5", "9112 5.1"),
    bad("space-before-colon-transfer-encoding", b"Transfer-Encoding : chunked", "9112 5.1"),
    bad("space-in-name", b"X Y: v"),
    bad("empty-name", b": v"),
    bad("no-colon", b"X-Test"),
    bad("no-colon-then-more", b"X-Test\r\nY: v"),
    bad("name-nul", b"X\x00Y: v"),
    bad("name-ctl", b"X\x01Y: v"),
    bad("name-del", b"X\x7fY: v"),
    bad("name-obs-text", b"X\xe9Y: v"),
    bad("name-obs-text-content-length", b"Content\xadLength: 5"),
    bad("name-paren", b"X(Y: v"),
    bad("name-quote", b'"X": v'),
    bad("name-slash", b"X/Y: v"),
    bad("name-at", b"X@Y: v"),
    bad("name-bracket", b"[X]: v"),
    bad("name-comma", b"X,Y: v"),
    bad("name-semicolon", b"X;Y: v"),
    bad("name-braces", b"{X}: v"),
    bad("name-vertical-tab", b"\x0bX: v"),
    bad("value-nul", b"X: a\x00b", "9110 5.5"),
    bad("value-nul-at-end", b"X: a\x00", "9110 5.5"),
    bad("value-bell", b"X: a\x07b", "9110 5.5"),
    bad("value-backspace", b"X: a\x08b", "9110 5.5"),
    bad("value-vertical-tab", b"X: a\x0bb", "9110 5.5"),
    bad("value-form-feed", b"X: a\x0cb", "9110 5.5"),
    bad("value-leading-form-feed", b"X:\x0ca", "9110 5.5"),
    bad("value-unit-separator", b"X: a\x1f", "9110 5.5"),
    bad("value-escape", b"X: \x1b[31m", "9110 5.5"),
    bad("value-del", b"X: a\x7fb", "9110 5.5"),
    bad("value-bare-cr", b"X: a\rb", "9112 2.2"),
    bad("value-bare-cr-at-end", b"X: a\r", "9112 2.2"),
    bad("value-bare-cr-then-field", b"X: a\rY: b", "9112 2.2"),
    bad("value-bare-lf", b"X: a\nb", "9112 2.2"),
    bad("value-bare-lf-then-field", b"X: a\nY: b", "9112 2.2"),
    bad("value-lf-cr", b"X: a\n\rY: b", "9112 2.2"),
    bad("line-ends-cr-cr-lf", b"X: a\r\r\nY: b", "9112 2.2"),
    bad("bare-cr-line", b"X: a\r\n\rY: b", "9112 2.2"),
    bad("obs-fold-space", b"X: a\r\n b", "9112 5.2"),
    bad("obs-fold-tab", b"X: a\r\n\tb", "9112 5.2"),
    bad("obs-fold-empty", b"X: a\r\n \r\nY: b", "9112 5.2"),
    bad("obs-fold-hides-a-field", b"X: a\r\n Content-Length: 5", "9112 5.2"),
    refuse("obs-fold-of-the-host", b"GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n", 400, "9112 5.2"),
    refuse(
        "whitespace-before-the-first-field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "9112 2.2"
    ),
    refuse(
        "whitespace-line-before-the-first-field",
        b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n",
        400,
        "9112 2.2",
    ),
    refuse("head-ends-with-bare-lf", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "9112 2.2"),
    refuse("bare-lf-throughout", b"GET / HTTP/1.1\nHost: a\n\n", 400, "9112 2.2"),
    refuse("bare-lf-last-field", b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "9112 2.2"),
    refuse("head-ends-lf-cr-lf", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\n\r\n", 400, "9112 2.2"),
    accept("name-with-underscore", fields(b"X_Test: v"), "9110 5.1"),
    accept(
        "proxy-field-reaches-the-application",
        fields(b"Proxy: http://evil/"),
        "9110 5.1",
        Seen(fields=(("proxy", "http://evil/"),)),
    ),
    either("digits-only-name", fields(b"123: v"), 400, "9110 5.1", Seen(fields=(("123", "v"),))),
    accept("te-field", fields(b"TE: trailers"), "9110 10.1.4", Seen(fields=(("te", "trailers"),))),
)

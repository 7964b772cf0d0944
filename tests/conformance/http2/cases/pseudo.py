"""Control data: pseudo-header fields and Host (RFC 9113 8.3, 8.5)."""

from __future__ import annotations

from tests.conformance.http2.model import Case, case
from tests.conformance.http2.wire import NO_ERROR, PROTOCOL_ERROR, Pair, headers, pseudo

MALFORMED = {"resets": {1: PROTOCOL_ERROR}, "calls": 0}
X = (b"x", b"1")


def request(fields: list[Pair]) -> bytes:
    return headers(1, fields)


def with_path(path: bytes) -> bytes:
    return request(pseudo(path=path))


CASES: list[Case] = [
    case("all", "8.3.1", request(pseudo()), answers={1: 200}, seen={"authority": b"example.org"}),
    case("reversed", "8.3.1", request(pseudo()[::-1]), answers={1: 200}),
    case("no-method", "8.3.1", request(pseudo(method=None)), **MALFORMED),
    case("no-scheme", "8.3.1", request(pseudo(scheme=None)), **MALFORMED),
    case("no-path", "8.3.1", request(pseudo(path=None)), **MALFORMED),
    case("no-authority", "8.3.1", request(pseudo(authority=None)), answers={1: 200},
         seen={"authority": None}),
    case("none", "8.3.1", request([X]), **MALFORMED),
    *(
        case(f"{name.decode()[1:]}-twice", "8.3", request([*pseudo(), (name, value)]), **MALFORMED)
        for name, value in pseudo()
    ),
    case("unknown", "8.3", request([*pseudo(), (b":unknown", b"1")]), **MALFORMED),
    case("empty-name", "8.3", request([*pseudo(), (b":", b"1")]), **MALFORMED),
    case("upper-case", "8.3", request([(b":Method", b"GET"), *pseudo(method=None)]), **MALFORMED),
    case("status", "8.3", request([*pseudo(), (b":status", b"200")]), **MALFORMED),
    case("after-field", "8.3", request([X, *pseudo()]), **MALFORMED),
    case("path-after-field", "8.3", request([*pseudo(path=None), X, (b":path", b"/")]),
         **MALFORMED),
    case("authority-after-field", "8.3",
         request([*pseudo(authority=None), X, (b":authority", b"a")]), **MALFORMED),
    *(
        case(f"path-{title}", "8.3.1", with_path(path), **MALFORMED)
        for title, path in {
            "empty": b"",
            "relative": b"a",
            "absolute": b"http://example.org/",
            "query-only": b"?a",
            "star": b"*",
            "with-space": b"/a b",
            "with-fragment": b"/a#b",
            "with-nul": b"/\0",
            "with-lf": b"/\n",
            "with-tab": b"/\t",
            "not-ascii": b"/\xe9",
            "with-del": b"/\x7f",
        }.items()
    ),
    case("path-with-query", "8.3.1", with_path(b"/a%20b?c=d?e"), answers={1: 200},
         seen={"path": "/a b", "raw_path": b"/a%20b", "query": b"c=d?e"}),
    case("path-double-slash", "8.3.1", with_path(b"//a"), answers={1: 200}, seen={"path": "//a"}),
    *(
        case(f"method-{title}", "8.3.1", request(pseudo(method=method)), **MALFORMED)
        for title, method in {"empty": b"", "with-space": b"G T", "with-nul": b"G\0"}.items()
    ),
    case("method-lower-case", "8.3.1", request(pseudo(method=b"get")), answers={1: 200},
         seen={"method": "get"}),
    case("scheme-empty", "8.3.1", request(pseudo(scheme=b"")), **MALFORMED),
    case("scheme-invalid", "8.3.1", request(pseudo(scheme=b"ht tp")), **MALFORMED),
    case("scheme-other", "8.3.1", request(pseudo(scheme=b"https")), answers={1: 200}),
    *(
        case(f"authority-{title}", "8.3.1", request(pseudo(authority=value)), **MALFORMED)
        for title, value in {
            "with-userinfo": b"me@example.org",
            "with-space": b"a b",
            "with-path": b"a/b",
            "with-nul": b"a\0",
        }.items()
    ),
    case("authority-with-port", "8.3.1", request(pseudo(authority=b"[::1]:8000")),
         answers={1: 200}, seen={"authority": b"[::1]:8000"}),
    case("host-alone", "8.3.1", request([*pseudo(authority=None), (b"host", b"example.org")]),
         answers={1: 200}, seen={"authority": None, "headers": [(b"host", b"example.org")]}),
    case("host-equal", "8.3.1", request([*pseudo(), (b"host", b"Example.org")]), answers={1: 200}),
    case("host-different", "8.3.1", request([*pseudo(), (b"host", b"example.com")]), **MALFORMED),
    case("host-twice", "RFC 9110 7.2",
         request([*pseudo(), (b"host", b"example.org"), (b"host", b"example.org")]), **MALFORMED),
    case("host-invalid", "RFC 9110 7.2", request([*pseudo(authority=None), (b"host", b"a b")]),
         **MALFORMED),
    case("connect", "8.5",
         request([(b":method", b"CONNECT"), (b":authority", b"example.org:443")]),
         answers={1: 501}, calls=0),
    case("connect-open", "8.5",
         headers(1, [(b":method", b"CONNECT"), (b":authority", b"example.org:443")], end=False),
         answers={1: 501}, resets={1: NO_ERROR}, calls=0),
    case("connect-with-path", "8.5",
         request([(b":method", b"CONNECT"), (b":authority", b"a"), (b":path", b"/")]), **MALFORMED),
    case("connect-with-scheme", "8.5",
         request([(b":method", b"CONNECT"), (b":authority", b"a"), (b":scheme", b"http")]),
         **MALFORMED),
    case("connect-without-authority", "8.5", request([(b":method", b"CONNECT")]), **MALFORMED),
    case("connect-extended", "RFC 8441 4",
         request([*pseudo(method=b"CONNECT"), (b":protocol", b"websocket")]), **MALFORMED),
    case("protocol-without-connect", "RFC 8441 4",
         request([*pseudo(), (b":protocol", b"websocket")]), **MALFORMED),
]  # fmt: skip

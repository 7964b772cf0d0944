"""Message framing: Content-Length and Transfer-Encoding (RFC 9112 section 6)."""

from __future__ import annotations

from tests.conformance.model import Case, Seen, accept, refuse

LENGTH = "9112 6.2"
CODING = "9112 6.1"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
HELLO = Seen(method="POST", body=b"hello")


def post(text: bytes, body: bytes = b"hello", version: bytes = b"1.1") -> bytes:
    """Return a POST with these raw field lines and this raw body."""
    return b"POST / HTTP/" + version + b"\r\nHost: a\r\n" + text + b"\r\n\r\n" + body


def bad_length(id: str, wire: bytes) -> Case:  # noqa: A002
    """Make a case for a Content-Length value that is not ``1*DIGIT``."""
    return refuse(id, post(b"Content-Length:" + wire), 400, LENGTH)


def coding(id: str, status: int, *values: bytes) -> Case:  # noqa: A002
    """Make a case for Transfer-Encoding fields that are refused."""
    lines = b"\r\n".join(b"Transfer-Encoding:" + value for value in values)
    return refuse(id, post(lines, CHUNKS), status, CODING)


CASES = (
    accept("length", post(b"Content-Length: 5"), LENGTH, HELLO),
    accept("length-zero", post(b"Content-Length: 0", b""), LENGTH, Seen(method="POST")),
    accept("length-leading-zeros", post(b"Content-Length: 0005"), LENGTH, HELLO),
    accept("length-whitespace-around", post(b"Content-Length: \t5 \t"), LENGTH, HELLO),
    accept("length-name-case", post(b"cOnTeNt-LeNgTh: 5"), LENGTH, HELLO),
    accept(
        "length-with-get",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "9110 9.3.1",
        Seen(body=b"hello"),
    ),
    accept(
        "length-with-1.0",
        post(b"Content-Length: 5", version=b"1.0"),
        LENGTH,
        Seen(method="POST", body=b"hello", version="1.0"),
        open=False,
    ),
    accept(
        "binary-body",
        post(b"Content-Length: 256", bytes(range(256))),
        LENGTH,
        Seen(method="POST", body=bytes(range(256))),
    ),
    accept(
        "body-looks-like-a-request",
        post(b"Content-Length: 29", b"GET /x HTTP/1.1\r\nHost: b\r\n\r\n."),
        LENGTH,
        Seen(method="POST", body=b"GET /x HTTP/1.1\r\nHost: b\r\n\r\n."),
    ),
    accept("no-length-no-body", post(b"X: y", b""), "9112 6.3", Seen(method="POST")),
    accept(
        "body-64-kib",
        post(b"Content-Length: 65536", b"b" * 65536),
        LENGTH,
        Seen(method="POST", body=b"b" * 65536),
    ),
    accept(
        "body-512-kib",
        post(b"Content-Length: 524288", b"0123456789abcdef" * 32768),
        LENGTH,
        Seen(method="POST", body=b"0123456789abcdef" * 32768),
    ),
    bad_length("length-empty", b""),
    bad_length("length-only-whitespace", b" \t"),
    bad_length("length-plus", b" +5"),
    bad_length("length-minus", b" -5"),
    bad_length("length-minus-zero", b" -0"),
    bad_length("length-hex", b" 0x5"),
    bad_length("length-underscore", b" 5_0"),
    bad_length("length-float", b" 5.0"),
    bad_length("length-exponent", b" 5e0"),
    bad_length("length-inner-space", b" 5 5"),
    bad_length("length-letters", b" five"),
    bad_length("length-trailing-semicolon", b" 5;"),
    bad_length("length-quoted", b' "5"'),
    bad_length("length-superscript", b" \xb2"),
    bad_length("length-arabic-digit", b" \xd9\xa5"),
    bad_length("length-trailing-no-break-space", b" 5\xa0"),
    bad_length("length-nul", b" 5\x00"),
    bad_length("length-form-feed", b" 5\x0c"),
    bad_length("length-20-digits", b" 00000000000000000005"),
    bad_length("length-huge", b" " + b"9" * 40),
    bad_length("length-hundreds-of-digits", b" " + b"1" * 400),
    bad_length("length-list-equal", b" 5, 5"),
    bad_length("length-list-different", b" 5, 6"),
    bad_length("length-list-no-space", b" 5,5"),
    bad_length("length-list-empty-element", b" 5,"),
    refuse(
        "length-19-digits-above-the-limit",
        post(b"Content-Length: 9999999999999999999", b""),
        413,
        "9110 15.5.14",
        limits={"max_body_size": 10},
    ),
    refuse(
        "length-above-the-limit",
        post(b"Content-Length: 11", b"hello world"),
        413,
        "9110 15.5.14",
        limits={"max_body_size": 10},
    ),
    accept(
        "length-at-the-limit",
        post(b"Content-Length: 10", b"0123456789"),
        "9110 15.5.14",
        Seen(method="POST", body=b"0123456789"),
        limits={"max_body_size": 10},
    ),
    refuse("length-repeated-equal", post(b"Content-Length: 5\r\nContent-Length: 5"), 400, LENGTH),
    refuse(
        "length-repeated-different", post(b"Content-Length: 5\r\nContent-Length: 6"), 400, LENGTH
    ),
    refuse(
        "length-repeated-apart",
        post(b"Content-Length: 5\r\nX: y\r\ncontent-length: 5"),
        400,
        LENGTH,
    ),
    refuse("length-repeated-zero", post(b"Content-Length: 0\r\nContent-Length: 5"), 400, LENGTH),
    refuse(
        "length-then-chunked",
        post(b"Content-Length: 5\r\nTransfer-Encoding: chunked", CHUNKS),
        400,
        "9112 6.1",
    ),
    refuse(
        "chunked-then-length",
        post(b"Transfer-Encoding: chunked\r\nContent-Length: 5", CHUNKS),
        400,
        "9112 6.1",
    ),
    refuse(
        "length-zero-with-chunked",
        post(b"Content-Length: 0\r\nTransfer-Encoding: chunked", CHUNKS),
        400,
        "9112 6.1",
    ),
    refuse(
        "length-with-identity",
        post(b"Content-Length: 5\r\nTransfer-Encoding: identity"),
        400,
        "9112 6.1",
    ),
    refuse(
        "length-with-gzip",
        post(b"Content-Length: 5\r\nTransfer-Encoding: gzip"),
        {400, 501},
        "9112 6.1",
    ),
    refuse(
        "length-with-empty-coding",
        post(b"Content-Length: 5\r\nTransfer-Encoding:"),
        400,
        "9112 6.1",
    ),
    accept("chunked", post(b"Transfer-Encoding: chunked", CHUNKS), CODING, HELLO),
    accept("chunked-case", post(b"tRANSFER-eNCODING: cHuNkEd", CHUNKS), CODING, HELLO),
    accept(
        "chunked-whitespace-around", post(b"Transfer-Encoding:\t chunked \t", CHUNKS), CODING, HELLO
    ),
    accept(
        "chunked-with-get",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        CODING,
        Seen(body=b"hello"),
    ),
    accept(
        "chunked-with-head-only-body-end",
        post(b"Transfer-Encoding: chunked", b"0\r\n\r\n"),
        CODING,
        Seen(method="POST"),
    ),
    coding("coding-empty", 400, b""),
    coding("coding-only-whitespace", 400, b" \t"),
    coding("coding-identity", 400, b" identity"),
    coding("coding-identity-then-chunked", 400, b" identity, chunked"),
    coding("coding-chunked-then-identity", 400, b" chunked, identity"),
    coding("coding-chunked-twice", 400, b" chunked, chunked"),
    coding("coding-chunked-twice-in-two-fields", 400, b" chunked", b" chunked"),
    coding("coding-chunked-not-last", 400, b" chunked, gzip"),
    coding("coding-chunked-not-last-in-two-fields", 400, b" chunked", b" gzip"),
    coding("coding-gzip", 501, b" gzip"),
    coding("coding-gzip-then-chunked", 501, b" gzip, chunked"),
    coding("coding-gzip-then-chunked-in-two-fields", 501, b" gzip", b" chunked"),
    coding("coding-deflate", 501, b" deflate"),
    coding("coding-x-chunked", 501, b" x-chunked"),
    coding("coding-chunked-prefix", 501, b" chunkedfoo"),
    coding("coding-chunked-cut", 501, b" chunke"),
    refuse("coding-quoted", post(b'Transfer-Encoding: "chunked"', CHUNKS), {400, 501}, CODING),
    refuse(
        "coding-with-parameter", post(b"Transfer-Encoding: chunked;q=1", CHUNKS), {400, 501}, CODING
    ),
    refuse(
        "coding-two-words", post(b"Transfer-Encoding: chunked chunked", CHUNKS), {400, 501}, CODING
    ),
    refuse(
        "coding-leading-comma", post(b"Transfer-Encoding: , chunked", CHUNKS), {400, 501}, CODING
    ),
    refuse(
        "coding-trailing-comma", post(b"Transfer-Encoding: chunked,", CHUNKS), {400, 501}, CODING
    ),
    refuse("coding-vertical-tab", post(b"Transfer-Encoding: \x0bchunked", CHUNKS), 400, CODING),
    refuse("coding-form-feed", post(b"Transfer-Encoding: chunked\x0c", CHUNKS), 400, CODING),
    refuse(
        "coding-no-break-space", post(b"Transfer-Encoding: \xa0chunked", CHUNKS), {400, 501}, CODING
    ),
    refuse("coding-folded", post(b"Transfer-Encoding:\r\n chunked", CHUNKS), 400, "9112 5.2"),
    refuse(
        "coding-kelvin-sign",
        post("Transfer-Encoding: chun\u212aed".encode(), CHUNKS),
        {400, 501},
        CODING,
    ),
    refuse("coding-in-1.0", post(b"Transfer-Encoding: chunked", CHUNKS, b"1.0"), 400, CODING),
    refuse(
        "coding-in-1.0-keep-alive",
        post(b"Connection: keep-alive\r\nTransfer-Encoding: chunked", CHUNKS, b"1.0"),
        400,
        CODING,
    ),
    refuse(
        "coding-in-1.0-with-length",
        post(b"Content-Length: 5\r\nTransfer-Encoding: chunked", CHUNKS, b"1.0"),
        400,
        CODING,
    ),
    accept(
        "coding-lookalike-is-a-plain-field",
        post(b"Transfer_Encoding: chunked\r\nContent-Length: 5"),
        "9110 5.1",
        HELLO,
    ),
    accept(
        "content-encoding-is-the-applications",
        post(b"Content-Encoding: gzip\r\nContent-Length: 5"),
        "9110 8.4",
        Seen(method="POST", body=b"hello", fields=(("content-encoding", "gzip"),)),
    ),
    refuse("length-cut", post(b"Content-Length: 6"), 400, "9112 8", reached=True, probe=False),
    refuse(
        "length-cut-at-the-head",
        post(b"Content-Length: 6", b""),
        400,
        "9112 8",
        reached=True,
        probe=False,
    ),
    refuse(
        "length-19-digits",
        post(b"Content-Length: 9999999999999999999"),
        {400, 413},
        LENGTH,
        reached=True,
        probe=False,
    ),
)

"""The chunked coding (RFC 9112 section 7.1)."""

from __future__ import annotations

from tests.conformance.model import Case, Seen, accept, either, refuse

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
SPEC = "9112 7.1"
EXT = "9112 7.1.1"


def good(id: str, wire: bytes, body: bytes, spec: str = SPEC) -> Case:  # noqa: A002
    """Make a case for a chunked body that decodes to *body*."""
    return accept(id, HEAD + wire, spec, Seen(method="POST", body=body))


def bad(id: str, wire: bytes, spec: str = SPEC) -> Case:  # noqa: A002
    """Make a case for a chunked body that is refused while the application runs."""
    return refuse(id, HEAD + wire, 400, spec, reached=True)


def size(id: str, text: bytes) -> Case:  # noqa: A002
    """Make a case for a bad chunk size in front of five bytes."""
    return bad(id, text + b"\r\nhello\r\n0\r\n\r\n")


def cut(id: str, wire: bytes) -> Case:  # noqa: A002
    """Make a case for a body that ends too early."""
    return refuse(id, HEAD + wire, 400, "9112 8", reached=True, probe=False)


CASES = (
    good("one-chunk", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    good("empty", b"0\r\n\r\n", b""),
    good("chunks", b"1\r\nh\r\n2\r\nel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
    good("hex-lower", b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    good("hex-upper", b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    good(
        "hex-mixed",
        b"1F\r\n" + b"x" * 31 + b"\r\n1f\r\n" + b"y" * 31 + b"\r\n0\r\n\r\n",
        b"x" * 31 + b"y" * 31,
    ),
    good("size-leading-zeros", b"0005\r\nhello\r\n0\r\n\r\n", b"hello"),
    good("size-16-digits", b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
    good("last-chunk-many-zeros", b"5\r\nhello\r\n0000\r\n\r\n", b"hello"),
    good("data-looks-like-framing", b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
    good("data-binary", b"4\r\n\x00\r\n\xff\r\n0\r\n\r\n", b"\x00\r\n\xff"),
    good("data-64-kib", b"10000\r\n" + b"z" * 65536 + b"\r\n0\r\n\r\n", b"z" * 65536),
    good("many-small-chunks", b"1\r\nx\r\n" * 300 + b"0\r\n\r\n", b"x" * 300),
    good("ext-name", b"5;a\r\nhello\r\n0\r\n\r\n", b"hello", EXT),
    good("ext-value", b"5;a=b\r\nhello\r\n0\r\n\r\n", b"hello", EXT),
    good("ext-quoted", b'5;a="b c"\r\nhello\r\n0\r\n\r\n', b"hello", EXT),
    good("ext-several", b'5;a;b=c;d="e"\r\nhello\r\n0\r\n\r\n', b"hello", EXT),
    good("ext-on-the-last-chunk", b"5\r\nhello\r\n0;a=b\r\n\r\n", b"hello", EXT),
    good("ext-200-bytes", b"5;" + b"a" * 200 + b"\r\nhello\r\n0\r\n\r\n", b"hello", EXT),
    either(
        "ext-whitespace-after-semicolon",
        HEAD + b"5; a=b\r\nhello\r\n0\r\n\r\n",
        400,
        EXT,
        Seen(method="POST", body=b"hello"),
        reached=True,
    ),
    either(
        "ext-whitespace-before-semicolon",
        HEAD + b"5 ;a=b\r\nhello\r\n0\r\n\r\n",
        400,
        EXT,
        Seen(method="POST", body=b"hello"),
        reached=True,
    ),
    either(
        "ext-empty",
        HEAD + b"5;\r\nhello\r\n0\r\n\r\n",
        400,
        EXT,
        Seen(method="POST", body=b"hello"),
        reached=True,
    ),
    either(
        "ext-obs-text",
        HEAD + b"5;a=\xe9\r\nhello\r\n0\r\n\r\n",
        400,
        EXT,
        Seen(method="POST", body=b"hello"),
        reached=True,
    ),
    bad("ext-300-bytes", b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n", EXT),
    bad("ext-1-mib-line", b"5;" + b"a" * 1048576 + b"\r\nhello\r\n0\r\n\r\n", EXT),
    bad("ext-in-total-above-16-kib", (b"1;" + b"a" * 200 + b"\r\nx\r\n") * 100 + b"0\r\n\r\n", EXT),
    bad("ext-bare-lf", b"5;a\nb\r\nhello\r\n0\r\n\r\n", EXT),
    bad("ext-bare-cr", b"5;a\rb\r\nhello\r\n0\r\n\r\n", EXT),
    bad("ext-cr-in-quotes", b'5;a="\r"\r\nhello\r\n0\r\n\r\n', EXT),
    bad("ext-crlf-in-quotes", b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n', EXT),
    bad("ext-nul", b"5;a=\x00\r\nhello\r\n0\r\n\r\n", EXT),
    bad("ext-ctl", b"5;a=\x01\r\nhello\r\n0\r\n\r\n", EXT),
    bad("ext-del", b"5;a=\x7f\r\nhello\r\n0\r\n\r\n", EXT),
    size("size-empty", b""),
    size("size-only-extension", b";a=b"),
    size("size-plus", b"+5"),
    size("size-minus", b"-5"),
    size("size-minus-zero", b"-0"),
    size("size-0x", b"0x5"),
    size("size-upper-0x", b"0X5"),
    size("size-h-suffix", b"5h"),
    size("size-underscore", b"0_5"),
    size("size-float", b"5.0"),
    size("size-letter-g", b"g"),
    size("size-leading-space", b" 5"),
    size("size-leading-tab", b"\t5"),
    size("size-trailing-space", b"5 "),
    size("size-trailing-tab", b"5\t"),
    size("size-trailing-no-break-space", b"5\xa0"),
    size("size-inner-space", b"0 5"),
    size("size-comma", b"5,a"),
    size("size-equals", b"5=a"),
    size("size-nul", b"5\x00"),
    size("size-superscript", b"\xb2"),
    size("size-fullwidth-digit", "\uff15".encode()),
    size("size-17-digits", b"00000000000000005"),
    size("size-overflow-64-bit", b"10000000000000005"),
    size("size-many-zeros", b"0" * 5000 + b"5"),
    size("size-overflow-63-bit", b"FFFFFFFFFFFFFFFF"),
    size("size-bare-lf", b"5\nhello\n0\n\n"),
    bad("size-line-bare-lf", b"5\nhello\r\n0\r\n\r\n", "9112 2.2"),
    bad("size-line-bare-cr", b"5\rhello\r\n0\r\n\r\n", "9112 2.2"),
    bad("size-line-cr-cr-lf", b"5\r\r\nhello\r\n0\r\n\r\n", "9112 2.2"),
    bad("size-line-lf-cr", b"5\n\rhello\r\n0\r\n\r\n", "9112 2.2"),
    bad("data-without-crlf", b"5\r\nhello0\r\n\r\n"),
    bad("data-ends-with-bare-lf", b"5\r\nhello\n0\r\n\r\n", "9112 2.2"),
    bad("data-ends-with-bare-cr", b"5\r\nhello\r0\r\n\r\n", "9112 2.2"),
    bad("data-ends-with-two-bytes", b"5\r\nhelloXX0\r\n\r\n"),
    bad("data-longer-than-its-size", b"5\r\nhello!\r\n0\r\n\r\n"),
    bad("data-shorter-than-its-size", b"5\r\nhell\r\n0\r\n\r\n"),
    bad("empty-line-between-chunks", b"5\r\nhello\r\n\r\n0\r\n\r\n"),
    bad("last-chunk-bare-lf", b"5\r\nhello\r\n0\n\r\n", "9112 2.2"),
    bad("body-ends-with-bare-lf", b"5\r\nhello\r\n0\r\n\n", "9112 2.2"),
    bad("body-ends-with-bare-cr", b"5\r\nhello\r\n0\r\n\rX", "9112 2.2"),
    bad("plain-body", b"hello\r\n"),
    bad("next-request-instead-of-a-chunk", b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
    accept(
        "head-request-chunked",
        b"HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        SPEC,
        Seen(method="HEAD"),
    ),
    cut("cut-at-the-head", b""),
    cut("cut-in-the-size", b"5"),
    cut("cut-behind-the-size", b"5\r\n"),
    cut("cut-in-the-data", b"5\r\nhel"),
    cut("cut-behind-the-data", b"5\r\nhello\r\n"),
    cut("cut-in-the-last-chunk", b"5\r\nhello\r\n0\r\n"),
    cut("cut-in-the-last-line-ending", b"5\r\nhello\r\n0\r\n\r"),
    refuse(
        "above-the-body-limit",
        HEAD + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        413,
        "9110 15.5.14",
        reached=True,
        limits={"max_body_size": 10},
    ),
    refuse(
        "one-chunk-above-the-body-limit",
        HEAD + b"b\r\nhello world\r\n0\r\n\r\n",
        413,
        "9110 15.5.14",
        reached=True,
        limits={"max_body_size": 10},
    ),
    refuse(
        "announced-above-the-body-limit",
        HEAD + b"ffffff\r\nhello",
        413,
        "9110 15.5.14",
        reached=True,
        probe=False,
        limits={"max_body_size": 10},
    ),
    accept(
        "at-the-body-limit",
        HEAD + b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n",
        "9110 15.5.14",
        Seen(method="POST", body=b"helloworld"),
        limits={"max_body_size": 10},
    ),
)

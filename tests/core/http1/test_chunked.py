"""The strict scanner of the chunked coding."""

from __future__ import annotations

import pytest

from granian_core.http1.chunked import (
    FORBIDDEN_TRAILERS,
    MAX_EXTENSION_BYTES,
    MAX_EXTENSION_LINE,
    MAX_TRAILER_BYTES,
    MAX_TRAILER_FIELDS,
    ChunkedScanner,
)
from granian_core.http1.guard import Fault
from tests.core.http1.engines import bytewise


def decode(data: bytes) -> tuple[bytes, ChunkedScanner, int]:
    """Scan *data* whole and byte by byte; both must give the same."""
    out: list[bytes] = []
    whole = ChunkedScanner()
    consumed = whole.scan(data, out)
    pieces: list[bytes] = []
    single = ChunkedScanner()
    count = sum(single.scan(byte, pieces) for byte in bytewise(data))
    assert b"".join(out) == b"".join(pieces)
    assert (single.done, single.trailers, count) == (whole.done, whole.trailers, consumed)
    return b"".join(out), whole, consumed


def fault(data: bytes) -> str:
    """Scan *data* whole and byte by byte; return the text of the fault that both raise."""
    with pytest.raises(Fault, match=".") as caught:
        ChunkedScanner().scan(data, [])
    scanner = ChunkedScanner()
    with pytest.raises(Fault, match=".") as again:
        for byte in bytewise(data):
            scanner.scan(byte, [])
    assert caught.value.status == again.value.status == 400
    assert caught.value.reason == again.value.reason
    return caught.value.reason


def test_chunks_are_joined_and_what_follows_is_left() -> None:
    content, scanner, consumed = decode(b"2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\nGET /")
    assert content == b"hello"
    assert scanner.done
    assert scanner.trailers is None
    assert consumed == len(b"2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n")


def test_incomplete_body_is_not_done() -> None:
    content, scanner, consumed = decode(b"5\r\nhel")
    assert (content, scanner.done, consumed) == (b"hel", False, 6)


def test_trailers_are_lower_case_and_stripped_of_whitespace_only() -> None:
    _, scanner, _ = decode(b"0\r\nX-A:\t 1 \xa0 \r\nx-b:\r\n\r\n")
    assert scanner.trailers == [(b"x-a", b"1 \xa0"), (b"x-b", b"")]


@pytest.mark.parametrize(
    "line",
    [
        b"", b" 5", b"5 ", b"+5", b"-5", b"0x5", b"5_0", b"g", b"5 ;a", b"5; a", b"5;", b"5;a=",
        b'5;a="', b'5;a="\\"', b"5;a=b c", b"5;a,b", b"\xb2", b"5\x00", b"00000000000000005",
    ],
)  # fmt: skip
def test_bad_size_line_is_a_fault(line: bytes) -> None:
    assert fault(line + b"\r\nhello\r\n0\r\n\r\n") == "invalid chunk size line"


@pytest.mark.parametrize("size", [b"FFFFFFFFFFFFFFFF", b"8000000000000000"])
def test_size_that_overflows_63_bits_is_a_fault(size: bytes) -> None:
    assert fault(size + b"\r\nhello") == "chunk size overflows"


def test_largest_size_is_taken() -> None:
    content, scanner, _ = decode(b"7FFFFFFFFFFFFFFF\r\nhello")
    assert (content, scanner.done) == (b"hello", False)


@pytest.mark.parametrize("wire", [b"5\n", b"5\r\nhello\r\n0\n", b"0\r\n\n", b"0\r\nX: y\n\r\n"])
def test_bare_lf_is_a_fault(wire: bytes) -> None:
    assert fault(wire) == "bare LF in chunked framing"


@pytest.mark.parametrize("tail", [b"0", b"\n", b"\rX", b"XX\r\n", b"\r\r\n"])
def test_data_not_followed_by_crlf_is_a_fault_at_once(tail: bytes) -> None:
    assert fault(b"5\r\nhello" + tail) == "chunk data is not followed by CRLF"


def test_extension_line_is_bounded() -> None:
    content, _, _ = decode(b"1;" + b"a" * (MAX_EXTENSION_LINE - 1) + b"\r\nx\r\n")
    assert content == b"x"
    assert "extensions too large" in fault(b"1;" + b"a" * MAX_EXTENSION_LINE + b"\r\nx\r\n")
    assert "line too long" in fault(b"1;" + b"a" * 500)


def test_extensions_of_a_body_are_bounded() -> None:
    one = b"1;" + b"a" * (MAX_EXTENSION_LINE - 1) + b"\r\nx\r\n"
    count = MAX_EXTENSION_BYTES // MAX_EXTENSION_LINE
    assert decode(one * count)[0] == b"x" * count
    assert "extensions too large" in fault(one * count + b"1;a\r\n")


def test_trailer_fields_are_counted() -> None:
    _, scanner, _ = decode(b"0\r\n" + b"X: y\r\n" * MAX_TRAILER_FIELDS + b"\r\n")
    assert scanner.trailers == [(b"x", b"y")] * MAX_TRAILER_FIELDS
    assert "too many" in fault(b"0\r\n" + b"X: y\r\n" * (MAX_TRAILER_FIELDS + 1))


def test_trailer_section_is_bounded_also_while_a_line_is_incomplete() -> None:
    assert "too large" in fault(b"0\r\nX: " + b"v" * MAX_TRAILER_BYTES)
    assert "too large" in fault(b"0\r\n" + (b"X: " + b"v" * 1000 + b"\r\n") * 17)


@pytest.mark.parametrize("name", sorted(FORBIDDEN_TRAILERS))
def test_forbidden_trailer_is_a_fault(name: bytes) -> None:
    assert fault(b"0\r\n" + name.upper() + b": 1\r\n\r\n") == "forbidden trailer field"


def test_forbidden_trailers_name_framing_routing_and_authentication() -> None:
    assert {
        b"content-length", b"transfer-encoding", b"trailer", b"te", b"host", b"connection",
        b"authorization", b"proxy-authorization", b"cookie", b"expect",
    } <= FORBIDDEN_TRAILERS  # fmt: skip


@pytest.mark.parametrize("line", [b"X", b"X : y", b" X: y", b": y", b"X: \x00", b"X: a\rb"])
def test_malformed_trailer_is_a_fault(line: bytes) -> None:
    assert fault(b"0\r\n" + line + b"\r\n\r\n") == "malformed trailer field"

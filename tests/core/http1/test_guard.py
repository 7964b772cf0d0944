"""The shared guard: lexical rules by `HeadScanner`, semantic ones by `settle_request`."""

from __future__ import annotations

import re

import pytest

from granian_core.http1.contract import CHUNKED
from granian_core.http1.guard import (
    HEAD,
    Fault,
    HeadScanner,
    check_target,
    check_version,
    is_valid_host,
    settle_request,
)
from granian_core.settings import HTTP1Settings, Limits
from granian_core.stream import Fields

HOST = (b"host", b"a")


def scanner(**limits: int) -> HeadScanner:
    return HeadScanner(HTTP1Settings(max_buffer_size=8192, max_fields=3), Limits(**limits))


def settle(*fields: tuple[bytes, bytes], minor: int = 1) -> tuple[bool, int, bool]:
    special: Fields = [HOST, *fields]
    return settle_request(b"POST", b"/", minor, special)


def fault(*fields: tuple[bytes, bytes], minor: int = 1) -> tuple[int, str]:
    with pytest.raises(Fault) as caught:
        settle(*fields, minor=minor)
    return caught.value.status, caught.value.reason


def test_scan_of_a_whole_head_returns_its_length_without_the_empty_line() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a"
    assert scanner().scan(head + b"\r\n\r\nrest") == len(head)


def test_scan_in_pieces_goes_on_where_it_stopped() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a"
    subject = scanner()
    buffer = bytearray()
    for byte in head + b"\r\n\r":
        buffer.append(byte)
        assert subject.scan(buffer) == -1
    buffer += b"\n"
    assert subject.scan(buffer) == len(head)


def test_scan_looks_at_every_byte_a_constant_number_of_times() -> None:
    """A buffer that counts the bytes that `find` passes over: linear, not quadratic."""

    class Counting(bytearray):
        looked = 0

        def find(self, sub: bytes, start: int = 0) -> int:  # type: ignore[override]
            end = super().find(sub, start)
            self.looked += (end if end >= 0 else len(self)) - start
            return end

    buffer = Counting()
    subject = scanner()
    for _ in range(80):
        buffer += b"GET /" if not buffer else b"p" * 100
        subject.scan(buffer)
    assert buffer.looked <= 2 * len(buffer)


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        (b"GET / HTTP/1.1\n", 400, "bare LF"),
        (b"\n", 400, "bare LF"),
        (b"GET /\r\n", 400, "malformed request line"),
        (b"GET / HTTP/2.0\r\n", 505, "version"),
        (b"GET / HTTP/1.1\r\nX : y\r\n", 400, "malformed field line"),
        (b"GET / HTTP/1.1\r\n folded\r\n", 400, "malformed field line"),
        (b"GET / HTTP/1.1\r\nX: \x7f\r\n", 400, "malformed field line"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 4, 431, "too many"),
        (b"GET /" + b"p" * 300, 414, "request line too long"),
        (b"GET / HTTP/1.1\r\nX: " + b"v" * 8200, 431, "head too large"),
    ],
)
def test_scan_raises_the_fault_that_comes_first_on_the_wire(
    text: bytes, status: int, reason: str
) -> None:
    for tail in (b"", b"\r\n\r\n", b"\x00 : \n"):
        if text[-1:] != b"\n" and tail:
            continue
        with pytest.raises(Fault, match=reason) as caught:
            scanner(request_line=256).scan(text + tail)
        assert caught.value.status == status


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1",
        b"GET /?a=b HTTP/1.0\r\nA:b\r\nC: \t d",
        b"a!#$ http://h/ HTTP/9.9\r\nx:\xff",
    ],
)
def test_head_pattern_matches_what_the_scanner_accepts(head: bytes) -> None:
    assert HEAD.fullmatch(head)


def test_head_pattern_is_linear_on_a_long_head_that_fails_at_its_end() -> None:
    """Ends at once; a backtracking pattern would not end at all."""
    assert not HEAD.fullmatch(b"GET / HTTP/1.1" + b"\r\nX: y" * 50_000 + b"\r\n\x00")
    assert not HEAD.fullmatch(b"GET / HTTP/1.1\r\nX:" + b" " * 400_000 + b"\x00")


@pytest.mark.parametrize("major", [b"0", b"2", b"3", b"9"])
def test_other_major_version_is_505(major: bytes) -> None:
    with pytest.raises(Fault, match="version") as caught:
        check_version(major)
    assert caught.value.status == 505


@pytest.mark.parametrize(
    "value",
    [b"a", b"a.b-c_d", b"a:80", b"a:", b"127.0.0.1", b"[::1]", b"[::1]:80", b"%41", b"a:65535"],
)
def test_host_is_valid(value: bytes) -> None:
    assert is_valid_host(value)


@pytest.mark.parametrize(
    "value",
    [b"a b", b"a/b", b"u@a", b"a:b", b"[::1", b"::1", b"[g]", b"a\x80", b"%4", b"a:123456", b"a#"],
)
def test_host_is_invalid(value: bytes) -> None:
    assert not is_valid_host(value)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"GET", b"/"),
        (b"GET", b"http://a"),
        (b"GET", b"https://a:1/b?c"),
        (b"GET", b"HTTP://a?c"),
        (b"OPTIONS", b"*"),
        (b"OPTIONS", b"/"),
    ],
)
def test_target_form_is_accepted(method: bytes, target: bytes) -> None:
    check_target(method, target)


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        (b"CONNECT", b"a:1", 501),
        (b"GET", b"*", 400),
        (b"options", b"*", 400),
        (b"OPTIONS", b"*a", 400),
        (b"GET", b"a", 400),
        (b"GET", b"http://", 400),
        (b"GET", b"http://:80/", 400),
        (b"GET", b"http://u@a/", 400),
        (b"GET", b"http:/a", 400),
    ],
)
def test_target_form_is_refused(method: bytes, target: bytes, status: int) -> None:
    with pytest.raises(Fault, match=re.compile("target|CONNECT|asterisk")) as caught:
        check_target(method, target)
    assert caught.value.status == status


def test_no_framing_means_no_body() -> None:
    assert settle() == (True, 0, False)


def test_length_and_chunked_are_settled() -> None:
    assert settle((b"content-length", b"0012")) == (True, 12, False)
    assert settle((b"transfer-encoding", b"CHUNKED")) == (True, CHUNKED, False)


@pytest.mark.parametrize("value", [b"", b"+5", b"-1", b"5,5", b"0x5", b"5 5", b"1" * 20])
def test_bad_length_is_400(value: bytes) -> None:
    assert fault((b"content-length", value)) == (400, "invalid Content-Length")


def test_repeated_length_is_400_though_equal() -> None:
    length = (b"content-length", b"5")
    assert fault(length, length) == (400, "invalid Content-Length")


@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize("first", [0, 1])
def test_length_with_coding_is_400_in_any_order(minor: int, first: int) -> None:
    fields = [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")]
    assert fault(fields[first], fields[1 - first], minor=minor)[0] == 400


@pytest.mark.parametrize(
    "values",
    [
        (b"",),
        (b"identity",),
        (b"chunked, chunked",),
        (b"chunked", b"chunked"),
        (b"chunked, gzip",),
        (b"identity, chunked",),
        (b",chunked",),
        (b"chunked,",),
        (b"", b"chunked"),
        (b"chun ked",),
        (b'"chunked"',),
    ],
)
def test_bad_coding_is_400(values: tuple[bytes, ...]) -> None:
    fields = [(b"transfer-encoding", value) for value in values]
    assert fault(*fields) == (400, "invalid Transfer-Encoding")


@pytest.mark.parametrize(
    "values", [(b"gzip",), (b"gzip, chunked",), (b"gzip", b"chunked"), (b"xchunked",)]
)
def test_unknown_coding_is_501(values: tuple[bytes, ...]) -> None:
    fields = [(b"transfer-encoding", value) for value in values]
    assert fault(*fields) == (501, "unknown transfer coding")


def test_coding_in_1_0_is_400() -> None:
    assert fault((b"transfer-encoding", b"chunked"), minor=0)[0] == 400


@pytest.mark.parametrize(
    ("values", "minor", "expected"),
    [
        ((), 1, True),
        ((), 0, False),
        ((b"close",), 1, False),
        ((b"Close",), 1, False),
        ((b"x, close ,y",), 1, False),
        ((b"x", b"close"), 1, False),
        ((b"keep-alive, close",), 1, False),
        ((b"closed",), 1, True),
        ((b"keep-alive",), 0, True),
        ((b"Keep-Alive, x",), 0, True),
        ((b"keep-alive, close",), 0, False),
    ],
)
def test_persistence(values: tuple[bytes, ...], minor: int, expected: bool) -> None:
    fields = [(b"connection", value) for value in values]
    assert settle(*fields, minor=minor)[0] is expected


def test_expectation_counts_only_with_a_body_and_1_1() -> None:
    expect, length = (b"expect", b"100-Continue"), (b"content-length", b"5")
    assert settle(expect, length) == (True, 5, True)
    assert settle(expect) == (True, 0, False)
    assert settle(expect, length, minor=0) == (False, 5, False)


def test_unknown_expectation_is_417() -> None:
    assert fault((b"expect", b"x")) == (417, "unknown expectation")


def test_host_is_needed_once_in_1_1() -> None:
    with pytest.raises(Fault, match="missing Host"):
        settle_request(b"GET", b"/", 1, [])
    with pytest.raises(Fault, match="repeated Host"):
        settle_request(b"GET", b"/", 1, [HOST, HOST])
    with pytest.raises(Fault, match="invalid Host"):
        settle_request(b"GET", b"/", 1, [(b"host", b"a b")])
    assert settle_request(b"GET", b"/", 0, []) == (False, 0, False)

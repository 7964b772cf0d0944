"""The engine, frame by frame: a table by section of RFC 6455, and of RFC 7692.

Every row is fed to both engines, whole, byte by byte, and at seeded random cuts; the calls
must be the same.
"""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from granian_core import WebSocketSettings
from granian_core.websocket.contract import WebSocketEngine
from granian_core.websocket.deflate import DeflateParameters
from granian_core.websocket.fast import FastEngine
from granian_core.websocket.frames import latest
from granian_core.websocket.reference import ReferenceEngine
from tests.core.websocket.engines import ENGINES, Call, Holder, Recorder, drive
from tests.core.websocket.wire import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    close,
    deflated,
    frame,
)

LIMIT = 1000
SMALL = WebSocketSettings(max_message_size=LIMIT, max_frame_size=800, max_fragments=10)


@dataclass(frozen=True)
class Case:
    """One row."""

    id: str
    data: bytes
    calls: tuple[Call, ...]
    deflate: DeflateParameters | None = None


def ok(id: str, data: bytes, *calls: Call) -> Case:  # noqa: A002
    return Case(id, data, calls)


def bad(id: str, data: bytes, code: int, *before: Call) -> Case:  # noqa: A002
    return Case(id, data + frame(TEXT, b"never seen"), (*before, ("error", code)))


def text(value: str) -> Call:
    return ("message", value)


def binary(value: bytes) -> Call:
    return ("message", value)


EURO = "κόσμε €😀".encode()

LENGTHS = [
    ok(f"5.2-length-{kind}-{size}", frame(opcode, payload), ("message", seen))
    for size in (0, 1, 2, 124, 125, 126, 127, 128, 255, 256, 799, 800)
    for kind, opcode, payload, seen in (
        ("text", TEXT, b"*" * size, "*" * size),
        ("binary", BINARY, b"\xfe" * size, b"\xfe" * size),
    )
]
TOO_LONG = [
    bad(f"size-{kind}-{size}", frame(opcode, b"x" * size), 1009)
    for size in (801, 1001, 5000)
    for kind, opcode in (("text", TEXT), ("binary", BINARY))
] + [
    bad("size-declared-only", frame(BINARY, length=b"\x7f" + struct.pack("!Q", 2**40)), 1009),
    bad("size-declared-only-16", frame(BINARY, length=b"\x7e\xff\xff"), 1009),
    bad(
        "size-of-the-message",
        frame(BINARY, b"x" * 600, fin=False) + frame(CONT, length=b"\x7e" + struct.pack("!H", 500)),
        1009,
    ),
    bad(
        "fragments-too-many",
        frame(BINARY, b"x", fin=False) + frame(CONT, b"", fin=False) * 10,
        1008,
    ),
    ok(
        "fragments-just-enough",
        frame(BINARY, b"x", fin=False) + frame(CONT, b"y", fin=False) * 8 + frame(CONT),
        binary(b"xyyyyyyyy"),
    ),
]
LENGTH_FORMS = [
    bad("5.2-16-bit-length-not-minimal", frame(TEXT, b"a" * 5, length=b"\x7e\x00\x05"), 1002),
    bad("5.2-16-bit-length-125", frame(TEXT, b"a" * 125, length=b"\x7e\x00\x7d"), 1002),
    bad(
        "5.2-64-bit-length-not-minimal",
        frame(TEXT, b"a" * 300, length=b"\x7f" + struct.pack("!Q", 300)),
        1002,
    ),
    bad("5.2-64-bit-length-top-bit", frame(TEXT, length=b"\x7f\x80" + b"\0" * 7), 1002),
]
RESERVED = [
    bad(
        f"5.2-rsv-{rsv}-opcode-{opcode}", frame(opcode, b"ab" if opcode < 8 else b"", rsv=rsv), 1002
    )
    for rsv in range(1, 8)
    for opcode in (TEXT, BINARY, CLOSE, PING, PONG)
]
OPCODES = [
    bad(f"5.2-opcode-{opcode}-{name}", frame(opcode, payload), 1002)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    for name, payload in (("empty", b""), ("payload", b"abc"))
]
MASKING = [
    bad(f"5.1-unmasked-{opcode}", frame(opcode, b"", masked=False), 1002)
    for opcode in (TEXT, BINARY, CLOSE, PING, PONG)
]
CONTROL = [
    *(
        ok(f"5.5-ping-{size}", frame(PING, b"p" * size), ("ping", b"p" * size))
        for size in (0, 1, 124, 125)
    ),
    *(
        ok(f"5.5-pong-{size}", frame(PONG, b"p" * size), ("pong", b"p" * size))
        for size in (0, 1, 125)
    ),
    *(
        bad(f"5.5-{opcode}-too-long-{size}", frame(opcode, b"\x03\xe8" + b"p" * (size - 2)), 1002)
        for opcode in (CLOSE, PING, PONG)
        for size in (126, 127, 200)
    ),
    *(
        bad(f"5.5-{opcode}-fragmented", frame(opcode, b"", fin=False), 1002)
        for opcode in (CLOSE, PING, PONG)
    ),
    ok(
        "5.5-many-pings",
        frame(PING, b"1") + frame(PING, b"2") + frame(PING, b"3"),
        ("ping", b"1"),
        ("ping", b"2"),
        ("ping", b"3"),
    ),
]
FRAGMENTS = [
    ok("5.4-two", frame(TEXT, b"Hel", fin=False) + frame(CONT, b"lo"), text("Hello")),
    ok("5.4-binary", frame(BINARY, b"a", fin=False) + frame(CONT, b"b"), binary(b"ab")),
    ok("5.4-empty-last", frame(TEXT, b"Hi", fin=False) + frame(CONT), text("Hi")),
    ok("5.4-empty-first", frame(TEXT, fin=False) + frame(CONT, b"Hi"), text("Hi")),
    ok("5.4-all-empty", frame(TEXT, fin=False) + frame(CONT, fin=False) + frame(CONT), text("")),
    ok("5.4-all-empty-binary", frame(BINARY, fin=False) + frame(CONT), binary(b"")),
    ok(
        "5.4-ping-between",
        frame(TEXT, b"a", fin=False) + frame(PING, b"!") + frame(CONT, b"b"),
        ("ping", b"!"),
        text("ab"),
    ),
    ok(
        "5.4-pong-between",
        frame(TEXT, b"a", fin=False) + frame(PONG) + frame(CONT, b"b"),
        ("pong", b""),
        text("ab"),
    ),
    ok(
        "5.4-close-between",
        frame(TEXT, b"a", fin=False) + close(1000) + frame(CONT, b"b"),
        ("close", 1000, ""),
    ),
    ok(
        "5.4-two-messages",
        (frame(TEXT, b"a", fin=False) + frame(CONT, b"b")) * 2,
        text("ab"),
        text("ab"),
    ),
    bad("5.4-continuation-first", frame(CONT, b"a"), 1002),
    bad("5.4-continuation-first-not-last", frame(CONT, b"a", fin=False), 1002),
    bad("5.4-continuation-after-whole", frame(TEXT, b"a") + frame(CONT, b"b"), 1002, text("a")),
    *(
        bad(
            f"5.4-opcode-{second}-within-{first}",
            frame(first, b"a", fin=False) + frame(second, b"b"),
            1002,
        )
        for first in (TEXT, BINARY)
        for second in (TEXT, BINARY)
    ),
]
UTF8_GOOD = {
    "2-bytes": "é".encode(),
    "3-bytes": "€".encode(),
    "4-bytes": "😀".encode(),
    "greek": EURO,
    "nul": b"\0",
    "first-of-3": b"\xe0\xa0\x80",
    "first-of-4": b"\xf0\x90\x80\x80",
    "last-of-2": b"\xdf\xbf",
    "last-of-3": b"\xef\xbf\xbf",
    "last": b"\xf4\x8f\xbf\xbf",
    "before-surrogates": b"\xed\x9f\xbf",
    "after-surrogates": b"\xee\x80\x80",
    "byte-order-mark": b"\xef\xbb\xbf",
    "replacement": b"\xef\xbf\xbd",
}
UTF8_BAD = {
    "lone-continuation": b"\x80",
    "lone-continuation-bf": b"\xbf",
    "two-continuations": b"\x80\xbf",
    "cut-2": b"\xc3",
    "cut-3": b"\xe2\x82",
    "cut-4": b"\xf0\x9f\x98",
    "overlong-2": b"\xc0\xaf",
    "overlong-2-max": b"\xc1\xbf",
    "overlong-3": b"\xe0\x80\xaf",
    "overlong-3-max": b"\xe0\x9f\xbf",
    "overlong-4": b"\xf0\x80\x80\xaf",
    "overlong-4-max": b"\xf0\x8f\xbf\xbf",
    "overlong-nul": b"\xc0\x80",
    "surrogate-d800": b"\xed\xa0\x80",
    "surrogate-dfff": b"\xed\xbf\xbf",
    "surrogate-pair": b"\xed\xa0\x80\xed\xb0\x80",
    "beyond": b"\xf4\x90\x80\x80",
    "f5": b"\xf5\x80\x80\x80",
    "5-bytes": b"\xf8\x88\x80\x80\x80",
    "6-bytes": b"\xfc\x84\x80\x80\x80\x80",
    "fe": b"\xfe",
    "ff": b"\xff",
    "in-the-middle": b"good\xc3\x28bad",
}
UTF8 = [
    *(
        ok(f"8.1-{name}", frame(TEXT, data), text(data.decode()))
        for name, data in UTF8_GOOD.items()
    ),
    *(
        ok(
            f"8.1-split-{name}",
            frame(TEXT, data[:1], fin=False) + frame(CONT, data[1:]),
            text(data.decode()),
        )
        for name, data in UTF8_GOOD.items()
    ),
    *(bad(f"8.1-{name}", frame(TEXT, data), 1007) for name, data in UTF8_BAD.items()),
    *(
        bad(f"8.1-split-{name}", frame(TEXT, data[:1], fin=False) + frame(CONT, data[1:]), 1007)
        for name, data in UTF8_BAD.items()
    ),
    *(
        ok(f"8.1-binary-{name}", frame(BINARY, data), binary(data))
        for name, data in UTF8_BAD.items()
    ),
    # The fault shows in an unfinished message already.
    bad("8.1-fail-fast", frame(TEXT, b"ok\xff", fin=False), 1007),
]
CLOSES = [
    ok("7.1.5-empty", close(), ("close", 1005, "")),
    bad("5.5.1-one-byte", frame(CLOSE, b"\x03"), 1002),
    *(
        ok(f"7.4-code-{code}", close(code, b"why"), ("close", code, "why"))
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013)
    ),
    *(
        ok(f"7.4.2-code-{code}", close(code), ("close", code, ""))
        for code in (3000, 3999, 4000, 4999)
    ),
    *(
        bad(f"7.4-code-{code}", close(code), 1002)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    ),
    ok("5.5.1-reason-123", close(1000, b"r" * 123), ("close", 1000, "r" * 123)),
    ok("5.5.1-reason-unicode", close(1000, EURO), ("close", 1000, EURO.decode())),
    *(
        bad(f"5.5.1-reason-{name}", close(1000, data), 1007)
        for name, data in UTF8_BAD.items()
        if len(data) < 4
    ),
    ok("7.1.6-nothing-follows", close(1000) + frame(TEXT, b"late"), ("close", 1000, "")),
    ok("7.1.6-second-close", close(1000) + close(1001), ("close", 1000, "")),
]

CASES = [
    *LENGTHS,
    *TOO_LONG,
    *LENGTH_FORMS,
    *RESERVED,
    *OPCODES,
    *MASKING,
    *CONTROL,
    *FRAGMENTS,
    *UTF8,
    *CLOSES,
]

DEFLATE = DeflateParameters()
FRESH = DeflateParameters(client_no_context_takeover=True)
HELLO = bytes.fromhex("f248cdc9c90700")
"""RFC 7692 7.2.3.1."""
SHARED = bytes.fromhex("f200110000")
"""RFC 7692 7.2.3.2: the same again, by reference to the window."""
FINAL = bytes.fromhex("f348cdc9c9070000")
"""RFC 7692 7.2.3.4: a block with BFINAL set."""
STORED = bytes.fromhex("000500faff48656c6c6f00")
"""RFC 7692 7.2.3.3: a block without compression."""


def packed(id: str, data: bytes, *calls: Call, fresh: bool = False) -> Case:  # noqa: A002
    return Case(f"7692-{id}", data, calls, FRESH if fresh else DEFLATE)


DEFLATED = [
    packed("7.2.3.1-one-frame", frame(TEXT, HELLO, rsv=4), text("Hello")),
    packed(
        "7.2.3.1-two-frames",
        frame(TEXT, HELLO[:3], rsv=4, fin=False) + frame(CONT, HELLO[3:]),
        text("Hello"),
    ),
    packed(
        "7.2.3.1-ping-between",
        frame(TEXT, HELLO[:3], rsv=4, fin=False) + frame(PING) + frame(CONT, HELLO[3:]),
        ("ping", b""),
        text("Hello"),
    ),
    packed("7.2.3.2-takeover-same", frame(TEXT, HELLO, rsv=4) * 2, text("Hello"), text("Hello")),
    packed(
        "7.2.3.2-takeover",
        frame(TEXT, HELLO, rsv=4) + frame(TEXT, SHARED, rsv=4),
        text("Hello"),
        text("Hello"),
    ),
    packed(
        "7.2.3.2-no-takeover",
        frame(TEXT, HELLO, rsv=4) + frame(TEXT, SHARED, rsv=4),
        text("Hello"),
        ("error", 1007),
        fresh=True,
    ),
    packed("7.2.3.3-stored", frame(TEXT, STORED, rsv=4), text("Hello")),
    packed(
        "7.2.3.4-final-block",
        frame(TEXT, FINAL, rsv=4) + frame(TEXT, HELLO, rsv=4),
        text("Hello"),
        text("Hello"),
    ),
    packed("7.2.3.4-final-blocks", frame(TEXT, b"\x03\x00" * 16, rsv=4), text("")),
    packed("limit-final-blocks", frame(TEXT, b"\x03\x00" * 17, rsv=4), ("error", 1008)),
    packed("6-uncompressed-still-allowed", frame(TEXT, b"Hello"), text("Hello")),
    packed("6-binary", frame(BINARY, deflated(b"\xff" * 50), rsv=4), binary(b"\xff" * 50)),
    packed("6-empty", frame(TEXT, b"\x00", rsv=4), text("")),
    packed(
        "6.1-rsv1-on-continuation",
        frame(TEXT, HELLO[:3], rsv=4, fin=False) + frame(CONT, HELLO[3:], rsv=4),
        ("error", 1002),
    ),
    packed("6.1-rsv1-on-ping", frame(PING, rsv=4), ("error", 1002)),
    packed("6.1-rsv1-on-close", frame(CLOSE, rsv=4), ("error", 1002)),
    packed("6.1-rsv2", frame(TEXT, HELLO, rsv=6), ("error", 1002)),
    packed("6.1-rsv3", frame(TEXT, HELLO, rsv=5), ("error", 1002)),
    packed("6.2-garbage", frame(TEXT, b"\xff" * 20, rsv=4), ("error", 1007)),
    packed("6.2-bad-utf-8", frame(TEXT, deflated(b"\xc3\x28"), rsv=4), ("error", 1007)),
    packed("limit-exact", frame(BINARY, deflated(b"x" * LIMIT), rsv=4), binary(b"x" * LIMIT)),
    packed("limit-one-more", frame(BINARY, deflated(b"x" * (LIMIT + 1)), rsv=4), ("error", 1009)),
    packed("limit-bomb", frame(BINARY, deflated(b"\0" * 500_000), rsv=4), ("error", 1009)),
    packed(
        "limit-in-fragments",
        frame(BINARY, deflated(b"x" * 3000)[:9], rsv=4, fin=False)
        + frame(CONT, deflated(b"x" * 3000)[9:]),
        ("error", 1009),
    ),
]
ALL = [*CASES, *DEFLATED]


def cuts(case: Case) -> list[list[bytes]]:
    """Return the ways to deliver a case: whole, byte by byte, at three random sets of cuts."""
    data = case.data
    ways = [[data], [data[index : index + 1] for index in range(len(data))]]
    for seed in range(3):
        places = sorted(random.Random(seed).choices(range(len(data) + 1), k=4))
        ends = [0, *places, len(data)]
        ways.append([data[a:b] for a, b in itertools.pairwise(ends) if a < b])
    return ways


each_engine = pytest.mark.parametrize("engine_class", ENGINES.values(), ids=ENGINES.keys())


@each_engine
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
def test_frames_make_the_same_calls_however_they_arrive(
    case: Case, engine_class: type[WebSocketEngine]
) -> None:
    for pieces in cuts(case):
        calls, _ = drive(engine_class, pieces, SMALL, case.deflate)

        assert calls == list(case.calls)


def test_the_battery_is_as_large_as_it_says() -> None:
    assert len({case.id for case in ALL}) == len(ALL) >= 200


@each_engine
def test_nothing_is_reported_while_held_and_all_of_it_after(
    engine_class: type[WebSocketEngine],
) -> None:
    recorder = Holder(lambda count: True)
    engine = recorder.engine = engine_class(recorder, SMALL, None)
    engine.receive_data(frame(TEXT, b"1") + frame(TEXT, b"2") + frame(PING))
    engine.receive_data(frame(TEXT, b"3")[:3])
    engine.receive_data(frame(TEXT, b"3")[3:])
    assert recorder.calls == [("message", "1")]

    engine.resume()
    assert recorder.calls[1:] == [("message", "2")]

    engine.resume()
    assert recorder.calls[2:] == [("ping", b""), ("message", "3")]


@each_engine
def test_a_closed_engine_reports_nothing(engine_class: type[WebSocketEngine]) -> None:
    recorder = Holder(lambda count: True)
    engine = recorder.engine = engine_class(recorder, SMALL, None)
    engine.receive_data(frame(TEXT, b"1") + frame(TEXT, b"2"))
    engine.close()
    engine.resume()
    engine.receive_data(frame(TEXT, b"3"))

    assert recorder.calls == [("message", "1")]
    assert not engine.in_message


@each_engine
def test_a_message_in_tiny_pieces_costs_no_object_for_each(
    engine_class: type[WebSocketEngine],
) -> None:
    recorder = Recorder()
    engine = engine_class(recorder, WebSocketSettings(), None)
    data = frame(BINARY, b"x" * 20_000)
    for index in range(len(data) - 1):
        engine.receive_data(data[index : index + 1])

    assert engine.in_message
    assert len(parts_of(engine)) < 500

    engine.receive_data(data[-1:])
    assert recorder.calls == [("message", b"x" * 20_000)]


def parts_of(engine: WebSocketEngine) -> Sequence[object]:
    if isinstance(engine, FastEngine):
        assert engine._message is not None
        return engine._message.parts
    assert isinstance(engine, ReferenceEngine)
    assert engine._parts is not None
    return engine._parts


@each_engine
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (frame(BINARY, length=b"\x7f" + struct.pack("!Q", 2**40))[:10], 1009),
        (frame(BINARY, length=b"\x7e\xff\xff")[:4], 1009),
        (frame(PING, length=b"\x7e")[:2], 1002),
        (frame(CONT, b"abc")[:2], 1002),
        (frame(TEXT, b"ab\xffdef")[:9], 1007),
    ],
    ids=["64-bit", "16-bit", "control", "continuation", "utf-8"],
)
def test_a_fault_is_seen_before_the_payload_is_there(
    data: bytes, expected: int, engine_class: type[WebSocketEngine]
) -> None:
    recorder = Recorder()
    engine_class(recorder, SMALL, None).receive_data(data)

    assert recorder.calls == [("error", expected)]


@each_engine
def test_the_ratio_guard_stops_a_bomb_before_the_message_limit(
    engine_class: type[WebSocketEngine],
) -> None:
    recorder = Recorder()
    settings = WebSocketSettings(max_inflate_ratio=50)
    engine = engine_class(recorder, settings, DEFLATE)

    engine.receive_data(frame(BINARY, deflated(b"\0" * 8_000_000), rsv=4))

    assert recorder.calls == [("error", 1009)]


@each_engine
def test_frames_of_ours_are_as_the_rfc_has_them(engine_class: type[WebSocketEngine]) -> None:
    engine = engine_class(Recorder(), SMALL, None)

    assert engine.message_frame("") == b"\x81\x00"
    assert engine.message_frame("Hello") == b"\x81\x05Hello"
    assert engine.message_frame("€") == b"\x81\x03\xe2\x82\xac"
    assert engine.message_frame(b"\0" * 125)[:2] == b"\x82\x7d"
    assert engine.message_frame(b"\0" * 126)[:4] == b"\x82\x7e\x00\x7e"
    assert engine.message_frame(b"\0" * 256)[:4] == b"\x82\x7e\x01\x00"
    assert engine.message_frame(b"\0" * 65_535)[:4] == b"\x82\x7e\xff\xff"
    assert engine.message_frame(b"\0" * 65_536)[:10] == b"\x82\x7f" + struct.pack("!Q", 65_536)
    assert len(engine.message_frame(b"\0" * 65_536)) == 65_546
    assert engine.ping_frame(b"a") == b"\x89\x01a"
    assert engine.pong_frame(b"") == b"\x8a\x00"
    assert engine.close_frame(1005, "") == b"\x88\x00"
    assert engine.close_frame(1000, "bye") == b"\x88\x05\x03\xe8bye"
    long = engine.close_frame(1000, "€" * 100)
    assert long[1] <= 125
    assert long[4:].decode() == "€" * 41
    with pytest.raises(ValueError, match="at most 125 bytes"):
        engine.ping_frame(b"x" * 126)


@each_engine
def test_long_messages_are_compressed_and_short_ones_are_not(
    engine_class: type[WebSocketEngine],
) -> None:
    engine = engine_class(Recorder(), SMALL, DEFLATE)

    assert engine.message_frame("short") == b"\x81\x05short"
    assert engine.message_frame("x" * 63)[0] == 0x81
    assert engine.message_frame("€" * 21)[0] == 0x81
    assert engine.message_frame("€" * 22)[0] == 0xC1
    assert engine.message_frame("long" * 100)[0] == 0xC1
    assert len(engine.message_frame(b"long" * 100)) < 30


def test_both_engines_compress_alike() -> None:
    messages: list[str | bytes] = ["one" * 100, b"two" * 100, "one" * 100, "three" * 50]
    for parameters in (
        DEFLATE,
        DeflateParameters(server_no_context_takeover=True),
        DeflateParameters(server_max_window_bits=9),
    ):
        made = [
            [engine.message_frame(message) for message in messages]
            for engine in (kind(Recorder(), SMALL, parameters) for kind in ENGINES.values())
        ]
        assert made[0] == made[1]


def test_a_broadcast_makes_one_frame_for_all() -> None:
    message = "news" * 100
    first, second = (FastEngine(Recorder(), SMALL, None) for _ in range(2))

    assert first.message_frame(message) is second.message_frame(message)
    assert first.message_frame(b"other") == b"\x82\x05other"
    assert second.message_frame(message)[4:] == message.encode()


def test_a_broadcast_is_compressed_once_where_the_parameters_are_equal() -> None:
    message = "news" * 100
    fresh = DeflateParameters(server_no_context_takeover=True)
    small = DeflateParameters(server_no_context_takeover=True, server_max_window_bits=9)
    first, second, third, plain, takeover = (
        FastEngine(Recorder(), SMALL, parameters)
        for parameters in (fresh, fresh, small, None, DEFLATE)
    )

    shared = first.message_frame(message)
    assert shared[0] == 0xC1
    assert second.message_frame(message) is shared
    assert third.message_frame(message) is not shared
    assert plain.message_frame(message)[0] == 0x81
    assert third.message_frame(message) is third.message_frame(message)
    assert takeover.message_frame(message) is not takeover.message_frame(message)


def test_a_huge_frame_is_not_kept_for_the_next_connection() -> None:
    engine = FastEngine(Recorder(), SMALL, None)
    engine.message_frame("small")
    engine.message_frame(b"x" * 2_000_000)

    assert latest.plain[0] == "small"

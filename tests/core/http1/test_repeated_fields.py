"""A head whose fields are those of the one before: found as a whole, with the same meaning."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from granian_core import BaseInterface, HTTPStream
from granian_core.http1.fast import FastEngine
from granian_core.stream import Memo
from granian_core.testing import MemoryServer
from tests.core.http1 import grammar
from tests.core.http1.engines import ENGINES, Recorder, drive

LINES = (
    b"GET / HTTP/1.1", b"GET /a?b=c HTTP/1.1", b"HEAD /x HTTP/1.1", b"GET / HTTP/1.0",
    b"GET http://other/ HTTP/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT / HTTP/1.1", b"GET * HTTP/1.1",
    b"GET / HTTP/2.0", b"GET  / HTTP/1.1", b"GET /#f HTTP/1.1", b"", b"G\x00T / HTTP/1.1",
)  # fmt: skip
BLOCKS = (
    b"\r\nHost: a\r\n\r\n",
    b"\r\nHost: a\r\nAccept: */*\r\nCookie: a=b\r\n\r\n",
    b"\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    b"\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"\r\nHost: a\r\nHost: a\r\n\r\n",
    b"\r\nAccept: */*\r\n\r\n",
    b"\r\nHost: a\r\nX: " + b"y" * 2000 + b"\r\n\r\n",
    b"\r\n\r\n",
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    heads=st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(BLOCKS)), max_size=8),
    repeats=st.integers(2, 4),
)
@example(heads=[(LINES[0], BLOCKS[0]), (LINES[6], BLOCKS[0])], repeats=3)
@example(heads=[(LINES[0], BLOCKS[1]), (LINES[4], BLOCKS[1]), (LINES[0], BLOCKS[1])], repeats=3)
def test_both_engines_agree(heads: list[tuple[bytes, bytes]], repeats: int) -> None:
    pieces = [line + block for line, block in heads for _ in range(repeats)]
    assert drive(ENGINES["fast"], pieces, eof=True) == drive(ENGINES["reference"], pieces, eof=True)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(rng=st.randoms(use_true_random=False))
def test_both_engines_agree_about_damaged_repetitions(rng: random.Random) -> None:
    wire = grammar.request(rng).wire
    pieces = [wire, wire, wire, grammar.mutate(rng, wire), wire]
    assert drive(ENGINES["fast"], pieces, eof=True) == drive(ENGINES["reference"], pieces, eof=True)


def test_only_a_repetition_is_called_one() -> None:
    seen: list[bool] = []

    class Watcher(Recorder):
        def on_request(self, *arguments: object) -> None:  # type: ignore[override]
            seen.append(self.engine.repeated)
            super().on_request(*arguments)  # type: ignore[arg-type]

    engine = Watcher(FastEngine).engine
    engine.receive_data(b"GET / HTTP/1.1\r\nHost: watched\r\n\r\n")  # its Host has to be judged
    engine.receive_data(b"GET / HTTP/1.1\r\nHost: watched\r\n\r\n")
    engine.receive_data(b"GET /other?q HTTP/1.1\r\nHost: watched\r\n\r\n")
    engine.receive_data(b"GET / HTTP/1.1\r\nHost: watched\r\nA: b\r\n\r\n")
    engine.receive_data(b"GET / HTTP/1.1\r\nHost: watched\r\nA: b\r\n\r\n")
    engine.receive_data(b"GET / HTTP/1.0\r\nHost: watched\r\nA: b\r\n\r\n")
    assert seen == [False, False, True, False, True, False]


def test_what_a_handler_does_to_fields_is_not_repeated() -> None:
    class Changer(Recorder):
        def on_request(self, *arguments: object) -> None:  # type: ignore[override]
            super().on_request(*arguments)  # type: ignore[arg-type]
            fields = arguments[3]
            assert isinstance(fields, list)
            assert fields == [(b"host", b"changed")]
            fields.append((b"x-added", b"1"))

    recorder = Changer(FastEngine)
    for _ in range(4):
        recorder.engine.receive_data(b"GET / HTTP/1.1\r\nHost: changed\r\n\r\n")
    assert len(recorder.calls) == 4


class _Memos(BaseInterface):
    """Count, in the memo, the requests that repeat their fields."""

    def __init__(self) -> None:
        self.memos: list[Memo | None] = []

    async def handle_http(self, stream: HTTPStream) -> None:
        memo = stream.memo
        self.memos.append(memo)
        count = 0
        if memo is not None:
            assert memo.value is None or isinstance(memo.value, int)
            count = memo.value = (memo.value or 0) + 1
        stream.respond(200, [], b"%d" % count)


@pytest.mark.parametrize("http_version", ["1.1", "2"])
def test_memo_lives_as_long_as_the_fields_repeat(http_version: str) -> None:
    async def main() -> list[bytes]:
        interface = _Memos()
        async with MemoryServer(interface, http_version=http_version) as server:
            await server.connect().request("GET", "/")  # the Host has to be judged once
            client = server.connect()
            return [
                (await client.request("GET", path, headers=headers)).body
                for path, headers in (
                    ("/", []), ("/", []), ("/a?b", []), ("/", []),
                    ("/", [(b"x", b"y")]), ("/", [(b"x", b"y")]), ("/", []),
                )
            ]  # fmt: skip

    bodies = asyncio.run(main())
    if http_version == "1.1":
        assert bodies == [b"0", b"1", b"2", b"3", b"0", b"1", b"0"]
    else:
        assert bodies == [b"0"] * 7

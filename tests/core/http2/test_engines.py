"""The two engines, driven by hand: alike on whatever arrives, however it is cut."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from granian_core import HTTP2Settings, Limits, LocalProtocolError
from granian_core.http2.contract import PREFACE, PROTOCOL_ERROR
from granian_core.http2.frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    settings_frame,
    window_frame,
)
from granian_core.http2.hpack.encoder import WITH_INDEXING, encode_literal
from granian_core.settings import EngineChoice
from tests.core.http2 import grammar
from tests.core.http2.engines import ENGINES, Recorder, bytewise, drive, meaning, random_cuts

HELLO = PREFACE + settings_frame([])
CONFIGURATIONS = (
    (HTTP2Settings(), Limits()),
    (
        HTTP2Settings(initial_stream_window_size=1024, max_concurrent_streams=10, max_fields=4),
        Limits(header_list_bytes=2048),
    ),
)
CORPUS = [
    bytes.fromhex(line)
    for line in Path(__file__).with_name("corpus.txt").read_text("ascii").split()
]
"""Streams that the engines did not agree on once."""


def head(stream_id: int, path: bytes = b"/hold", *, end: bool = False) -> bytes:
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path)]
    flags = END_HEADERS | (END_STREAM if end else 0)
    return frame(HEADERS, flags, stream_id, Encoder().encode(fields))


def check(wire: bytes, seed: int) -> None:
    """Assert that both engines are alike, and that a cut makes no difference."""
    rng = random.Random(seed)
    for configuration in CONFIGURATIONS:
        whole = drive(ENGINES["fast"], [wire], *configuration)
        assert drive(ENGINES["reference"], [wire], *configuration) == whole
        pieces = random_cuts(wire, rng)
        assert drive(ENGINES["fast"], pieces, *configuration) == whole
    if len(wire) < 2000:
        assert drive(ENGINES["fast"], bytewise(wire), *configuration) == whole


class TestAlike:
    """Both engines at once: the fixture of this directory has nothing to choose."""

    @pytest.fixture(autouse=True, params=["both"])
    def engine(self) -> None:
        pass

    @given(st.integers(min_value=0))
    @settings(max_examples=150, deadline=None)
    def test_engines_are_alike_on_generated_streams(self, seed: int) -> None:
        rng = random.Random(seed)
        check(grammar.mutate(rng, grammar.stream(rng)), seed)

    @given(st.binary(max_size=200))
    @settings(max_examples=100, deadline=None)
    def test_engines_are_alike_on_noise(self, noise: bytes) -> None:
        check(HELLO + noise, 0)
        check(noise, 1)

    @pytest.mark.parametrize("wire", CORPUS, ids=range(len(CORPUS)))
    def test_engines_are_alike_on_the_corpus(self, wire: bytes) -> None:
        check(wire, 0)


@pytest.fixture
def recorder(engine: EngineChoice) -> Recorder:
    """An engine after the preface, on a window of 64 KiB."""
    made = Recorder(ENGINES[engine], HTTP2Settings(), Limits())
    made.engine.start()
    made.engine.receive_data(HELLO)
    made.calls.clear()
    made.output.clear()
    return made


def test_stream_may_be_reset_from_its_last_data(recorder: Recorder) -> None:
    """Its end is not told any more."""
    recorder.engine.receive_data(head(1) + frame(DATA, END_STREAM, 1, b"stop"))
    assert [call[0] for call in recorder.calls] == ["request", "data"]
    recorder.engine.receive_data(head(3, b"/now") + frame(DATA, END_STREAM, 3, b"x"))
    assert recorder.calls[-1] == ("end", 3, None)


def test_repeated_head_that_inserts_into_the_table_does_so_each_time(recorder: Recorder) -> None:
    """It is not known by its bytes: what they mean to the table is not done yet."""
    literal = encode_literal((b"x", b"1"), WITH_INDEXING)
    request = b"\x83\x86\x84"
    repeated = request + literal
    blocks = [repeated, repeated, request + encode_literal((b"x", b"2"), WITH_INDEXING),
              repeated, request + b"\xbe\xbf\xc0\xc1"]  # fmt: skip
    for number, block in enumerate(blocks):
        recorder.engine.receive_data(frame(HEADERS, END_HEADERS, 2 * number + 1, block))
    *_, last = recorder.calls
    values = [b"1", b"2", b"1", b"1"]
    assert last[0] == "request"
    assert last[7] == [(b"x", value) for value in values]


def test_table_that_one_frame_empties_and_refills_is_empty(recorder: Recorder) -> None:
    """RFC 7541 4.2: the smallest size of the time between two blocks is said, too."""
    for stream_id in (1, 3, 5, 7):
        recorder.engine.receive_data(head(stream_id, b"/now"))
    recorder.engine.receive_data(settings_frame([(1, 0), (1, 4096)]))
    recorder.output.clear()
    recorder.engine.receive_data(head(9, b"/now"))
    block = b"".join(recorder.output)[9:]
    assert block[:1] == b"\x20"
    assert block[1:4] == b"\x3f\xe1\x1f"


def test_last_data_is_credited_to_the_connection_alone(recorder: Recorder) -> None:
    recorder.engine.receive_data(head(1) + frame(DATA, 0, 1, b"ab") + frame(DATA, 1, 1, b"c"))
    credited = [call[2] for call in meaning(b"".join(recorder.output)) if call[0] == WINDOW_UPDATE]
    assert credited == [0, 1, 0]


@pytest.mark.parametrize("ended", [False, True])
def test_empty_data_needs_no_window(engine: EngineChoice, ended: bool) -> None:
    """RFC 9113 6.9.1: nor does it where the settings that the peer has taken made it negative."""
    settings = HTTP2Settings(initial_stream_window_size=1024)
    recorder = Recorder(ENGINES[engine], settings, Limits())
    recorder.engine.start()
    recorder.engine.receive_data(HELLO + head(1, b"/full") + frame(DATA, 0, 1, b"x" * 2000))
    recorder.engine.receive_data(frame(SETTINGS, ACK, 0, b""))
    recorder.calls.clear()

    recorder.engine.receive_data(frame(DATA, END_STREAM if ended else 0, 1, b""))

    assert recorder.calls == ([("end", 1, None)] if ended else [])
    recorder.engine.receive_data(head(3, b"/now", end=True))
    assert recorder.calls[-1][:2] == ("request", 3)


def test_what_follows_on_a_stream_above_goaway_is_ignored(recorder: Recorder) -> None:
    recorder.engine.send_goaway(1, 0)
    recorder.output.clear()
    recorder.engine.receive_data(head(3) + frame(DATA, 0, 3, b"x") + head(3, end=True))
    assert recorder.calls == []
    assert [call[0] for call in meaning(b"".join(recorder.output))] == [WINDOW_UPDATE]
    assert not recorder.engine.closed


def test_answer_before_the_end_of_its_request_uses_up_the_stream_s_window(
    recorder: Recorder,
) -> None:
    """The stream is still there, and its window may still grow up to its limit, no further."""
    credit = 0x7FFF_FFFF - 65_535 + len(b"hello")
    recorder.engine.receive_data(head(1, b"/now") + window_frame(1, credit))
    assert recorder.calls[-1] == ("window", 1)
    recorder.engine.receive_data(window_frame(1, 1))
    assert recorder.calls[-1] == ("reset", 1, 3, False)


def test_stream_that_only_we_could_open_is_never_reset(recorder: Recorder) -> None:
    """RFC 9113 6.4: RST_STREAM must not name an idle stream, below the highest one either."""
    recorder.engine.receive_data(head(3) + window_frame(2, 0))
    assert recorder.calls[-1] == ("error", PROTOCOL_ERROR)
    assert [call[0] for call in meaning(b"".join(recorder.output))] == [GOAWAY]


def test_misuse_raises() -> None:
    """What the connection must not do is no fault of the peer's."""
    recorder = Recorder(ENGINES["fast"], HTTP2Settings(), Limits())
    recorder.engine.receive_data(HELLO + head(1, end=True))
    with pytest.raises(LocalProtocolError, match="does not take"):
        recorder.engine.send_data(1, b"x" * 16_385, False)
    recorder.engine.send_headers(1, [(b":status", b"200")], True)
    with pytest.raises(LocalProtocolError, match="the stream is closed"):
        recorder.engine.send_data(1, b"", True)
    recorder.engine.receive_data(head(3))
    recorder.engine.send_headers(3, [(b":status", b"200")], True)
    with pytest.raises(LocalProtocolError, match="closed for sending"):
        recorder.engine.send_headers(3, [(b"a", b"b")], True)

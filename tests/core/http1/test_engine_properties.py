"""Properties of both engines: splits do not matter, nothing raises, and they agree."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from granian_core.http1.contract import CLOSED
from granian_core.settings import HTTP1Settings, Limits
from tests.core.http1 import grammar
from tests.core.http1.engines import ENGINES, Recorder, bytewise, drive, random_cuts

engines = pytest.mark.parametrize("engine", ENGINES)
rngs = st.randoms(use_true_random=False)
# A busy machine is no reason to fail.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SMALL = (HTTP1Settings(max_buffer_size=8192, max_fields=4), Limits(request_line=256))


@engines
@relaxed
@given(rng=rngs)
def test_valid_stream_gives_its_calls_however_it_is_cut(engine: str, rng: random.Random) -> None:
    wire, calls = grammar.stream(rng)
    factory = ENGINES[engine]
    assert drive(factory, [wire]) == calls
    assert drive(factory, bytewise(wire)) == calls
    assert drive(factory, random_cuts(wire, rng)) == calls


@engines
@relaxed
@given(rng=rngs)
def test_valid_stream_gives_its_calls_whenever_it_is_answered(
    engine: str, rng: random.Random
) -> None:
    wire, calls = grammar.stream(rng)
    factory = ENGINES[engine]
    assert drive(factory, [wire], answer=False) == calls
    assert drive(factory, random_cuts(wire, rng), answer=False) == calls


@engines
@relaxed
@given(data=st.binary(max_size=400), rng=rngs)
@example(data=b"\r\n\r\n", rng=random.Random(0))
@example(data=b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r", rng=random.Random(0))
def test_any_bytes_never_raise(engine: str, data: bytes, rng: random.Random) -> None:
    factory = ENGINES[engine]
    assert drive(factory, [data], eof=True) == drive(factory, bytewise(data), eof=True)
    drive(factory, random_cuts(data, rng), *SMALL, eof=True)


@given(rng=rngs)
@settings(relaxed, max_examples=300)
def test_damaged_stream_gives_the_same_calls_on_both_engines_at_any_cut(
    rng: random.Random,
) -> None:
    wire = grammar.mutate(rng, grammar.stream(rng)[0])
    whole = drive(ENGINES["fast"], [wire], eof=True)
    assert drive(ENGINES["reference"], [wire], eof=True) == whole
    assert drive(ENGINES["fast"], bytewise(wire), eof=True) == whole
    assert drive(ENGINES["fast"], random_cuts(wire, rng), eof=True) == whole
    assert drive(ENGINES["reference"], random_cuts(wire, rng), eof=True) == whole


@relaxed
@given(rng=rngs)
def test_damaged_stream_under_small_limits_gives_the_same_calls(rng: random.Random) -> None:
    wire = grammar.mutate(rng, grammar.stream(rng)[0])
    whole = drive(ENGINES["fast"], [wire], *SMALL)
    assert drive(ENGINES["reference"], [wire], *SMALL) == whole
    assert drive(ENGINES["fast"], random_cuts(wire, rng), *SMALL) == whole


@engines
@relaxed
@given(rng=rngs)
def test_nothing_is_called_after_an_error(engine: str, rng: random.Random) -> None:
    """`Recorder` refuses calls after an error; here the error is followed by more input."""
    recorder = Recorder(ENGINES[engine])
    recorder.engine.receive_data(grammar.mutate(rng, grammar.stream(rng)[0]))
    recorder.engine.receive_data(b"\x00\r\n\r\n")
    recorder.engine.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    recorder.engine.receive_eof()
    if recorder.failed:
        recorder.engine.next_request()
        recorder.engine.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert recorder.engine.state == CLOSED
        assert recorder.engine.take_buffered() == b""

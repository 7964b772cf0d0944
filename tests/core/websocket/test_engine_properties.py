"""Properties of both engines: they agree on any bytes however cut, and nothing raises."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.core.websocket import grammar
from tests.core.websocket.engines import CONFIGURATIONS, agree

rngs = st.randoms(use_true_random=False)
# A busy machine is no reason to fail.
relaxed = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)


@settings(relaxed, max_examples=200)
@given(rng=rngs)
def test_valid_and_odd_frames_give_the_same_calls_at_any_cut(rng: random.Random) -> None:
    limits, deflate = rng.choice(CONFIGURATIONS)
    agree(grammar.stream(rng, deflate, most=4), limits, deflate, rng)


@settings(relaxed, max_examples=200)
@given(rng=rngs)
def test_damaged_frames_give_the_same_calls_at_any_cut(rng: random.Random) -> None:
    limits, deflate = rng.choice(CONFIGURATIONS)
    agree(grammar.mutate(rng, grammar.stream(rng, deflate, most=3)), limits, deflate, rng)


@relaxed
@given(data=st.binary(max_size=400), rng=rngs)
@example(data=b"\x81\xfe\x00\x7e\x00\x00\x00\x00", rng=random.Random(0))
@example(data=b"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00", rng=random.Random(0))
def test_any_bytes_give_the_same_calls_at_any_cut(data: bytes, rng: random.Random) -> None:
    for limits, deflate in CONFIGURATIONS:
        agree(data, limits, deflate, rng)

"""Ours beside another implementation; ``scripts/fuzz_hpack.py`` runs the same for long."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granian_core.http2.hpack import Encoder
from tests.core.http2.hpack.blocks import (
    Field,
    damage,
    decode_both,
    decoder,
    encode_both,
    peer_blocks,
)

FIELD = st.tuples(
    st.sampled_from((b"server", b"x-a", b"cookie", b"set-cookie", b":status"))
    | st.binary(max_size=20),
    st.sampled_from((b"", b"200", b"granian")) | st.binary(max_size=80),
)


@given(st.lists(st.lists(FIELD, max_size=6), max_size=12))
def test_what_is_encoded_is_decoded(sections: list[list[Field]]) -> None:
    encoder, peer = Encoder(), decoder()
    for section in (*sections, *sections):
        assert peer.decode(encoder.encode(section)) == section


@pytest.mark.parametrize("seed", range(40))
def test_a_peer_decodes_what_we_encode(seed: int) -> None:
    encode_both(random.Random(seed), 40)


@pytest.mark.parametrize("seed", range(20))
def test_we_decode_what_a_peer_encodes(seed: int) -> None:
    blocks = peer_blocks(random.Random(seed), 30)
    assert decode_both(blocks) == len(blocks)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_blocks_mean_the_same_to_both(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(30):
        decode_both([damage(rng, block) for block in peer_blocks(rng, 6)])

"""What the encoder sends how, and that its table is the decoder's."""

from __future__ import annotations

import pytest

from granian_core.http2.hpack import Encoder, NeverIndexed
from granian_core.http2.hpack.encoder import (
    MAX_REMEMBERED,
    MAX_SEEN,
    NEVER_INDEXED,
    SENSITIVE,
    VARYING,
    WITH_INDEXING,
    WITHOUT_INDEXING,
    encode_literal,
)
from tests.core.http2.hpack.blocks import Field, decoder

HEAD: list[Field] = [(b":status", b"200"), (b"server", b"granian"), (b"content-type", b"text/css")]


def test_a_repeated_head_becomes_indexed_and_its_block_is_remembered() -> None:
    encoder, peer = Encoder(), decoder()
    blocks = [encoder.encode(HEAD) for _ in range(4)]
    assert [peer.decode(block) for block in blocks] == [HEAD] * 4
    assert blocks[0] == b"\x88" + b"".join(encode_literal(f, WITHOUT_INDEXING) for f in HEAD[1:])
    assert blocks[1] == b"\x88" + b"".join(
        encode_literal(f, WITH_INDEXING, huffman=True) for f in HEAD[1:]
    )
    assert blocks[2] == b"\x88\xbf\xbe"
    assert blocks[3] is blocks[2]


@pytest.mark.parametrize("name", sorted(SENSITIVE))
def test_sensitive_fields_are_never_indexed(name: bytes) -> None:
    encoder = Encoder()
    field = (name, b"secret")
    for _ in range(4):
        assert encoder.encode([field]) == encode_literal(field, NEVER_INDEXED)
    assert not encoder._entries
    assert not encoder._remembered


def test_a_field_that_came_never_indexed_leaves_so() -> None:
    encoder = Encoder()
    field = NeverIndexed((b"x-key", b"secret"))
    for _ in range(4):
        assert encoder.encode([field]) == encode_literal(field, NEVER_INDEXED)
    assert not encoder._entries


@pytest.mark.parametrize("name", sorted(VARYING))
def test_fields_that_vary_by_nature_stay_out_of_the_table(name: bytes) -> None:
    encoder = Encoder()
    field = (name, b"1234")
    for _ in range(4):
        assert encoder.encode([field]) == encode_literal(field, WITHOUT_INDEXING)
    assert not encoder._entries


def test_values_that_never_come_again_evict_nothing() -> None:
    encoder, peer = Encoder(), decoder()
    for _ in range(2):
        peer.decode(encoder.encode(HEAD))
    for number in range(500):
        fields = [*HEAD, (b"x-request-id", b"%036d" % number)]
        assert peer.decode(encoder.encode(fields)) == fields
        assert len(encoder._remembered) <= MAX_REMEMBERED
        assert len(encoder._seen) <= MAX_SEEN
    assert encoder.encode(HEAD) == b"\x88\xbf\xbe"


def test_a_field_that_would_fill_the_table_stays_out() -> None:
    encoder = Encoder()
    field = (b"content-security-policy", b"v" * 1100)
    for _ in range(3):
        assert encoder.encode([field]) == encode_literal(field, WITHOUT_INDEXING)


def test_evicted_fields_are_sent_again() -> None:
    encoder, peer = Encoder(), decoder()
    fields = [[(b"x-%d" % number, b"v" * 100)] for number in range(60)]
    for _ in range(3):
        for section in fields:
            for _ in range(3):
                assert peer.decode(encoder.encode(section)) == section
    assert encoder._used == sum(size for _, size in encoder._entries) <= 4096
    assert len(encoder._numbers) == len(encoder._entries) == len(peer._fields) - 62


@pytest.mark.parametrize(
    ("sizes", "updates"),
    [((100,), "3f45"), ((0,), "20"), ((100, 4096), "3f453fe11f"), ((4096,), ""), ((70_000,), ""),
     ((200, 100), "3f45"), ((0, 100), "203f45")],
)  # fmt: skip
def test_the_next_block_starts_with_the_updates_that_are_due(
    sizes: tuple[int, ...], updates: str
) -> None:
    encoder, peer = Encoder(), decoder()
    for _ in range(3):
        peer.decode(encoder.encode(HEAD))
    for size in sizes:
        encoder.set_max_table_size(size)
    block = encoder.encode(HEAD)
    assert block.startswith(bytes.fromhex(updates) + b"\x88")
    assert peer.decode(block) == HEAD
    assert encoder.encode(HEAD).startswith(b"\x88")


def test_without_a_table_everything_is_literal() -> None:
    encoder = Encoder()
    encoder.set_max_table_size(0)
    encoder.encode([])
    for _ in range(4):
        assert encoder.encode(HEAD[1:2]) == encode_literal(HEAD[1], WITHOUT_INDEXING)

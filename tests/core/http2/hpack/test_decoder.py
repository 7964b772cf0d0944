"""What the decoder refuses, what it bounds, and that its table stays in step meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granian_core.http2.hpack import FieldSectionBombError, HPACKError
from granian_core.http2.hpack.decoder import MAX_REMEMBERED, MAX_REMEMBERED_SIZE
from granian_core.http2.hpack.encoder import WITH_INDEXING, WITHOUT_INDEXING, encode_literal
from granian_core.http2.hpack.huffman import CODES, EOS, decode_huffman, encode_huffman
from granian_core.http2.hpack.integers import MAX_INTEGER, decode_integer, encode_integer
from tests.core.http2.hpack.blocks import Field, decoder

INSERT = encode_literal((b"x-new", b"1"), WITH_INDEXING)

INVALID = {
    "index 0": ("80", "index out of range"),
    "index behind the static table": ("be", "index out of range"),
    "index of many octets": ("ff8001", "index out of range"),
    "index of a name": ("7e0161", "index out of range"),
    "index of a name, not indexed": ("0f400161", "index out of range"),
    "truncated index": ("ff", "truncated integer"),
    "truncated index, continued": ("ff80", "truncated integer"),
    "truncated length": ("007f", "truncated integer"),
    "truncated update": ("3fe1", "truncated integer"),
    "index above 2^31": ("ff8080808008", "integer too large"),
    "length above 2^31": ("007fffffffff0f", "integer too large"),
    "update above 2^31": ("3fffffffff7f", "integer too large"),
    "integer padded with zeros": ("ff808080808000", "integer too long"),
    "integer without an end": ("ff" + "80" * 64, "integer too long"),
    "literal without a name": ("40", "truncated field"),
    "literal without a value": ("400161", "truncated field"),
    "indexed name without a value": ("44", "truncated field"),
    "name longer than the block": ("40056162", "truncated string"),
    "value longer than the block": ("4401", "truncated string"),
    "Huffman value longer than the block": ("4482ff", "truncated string"),
    "update above the limit": ("3fe21f", "table size update above the limit"),
    "three updates": ("202020", "too many table size updates"),
    "update after a field": ("8220", "table size update inside a block"),
    "update after a literal": ("04012f20", "table size update inside a block"),
    "EOS": ("0484ffffffff", "EOS in a Huffman string"),
    "EOS behind text": ("04851fffffffff", "EOS in a Huffman string"),
    "padding of eight bits": ("0482 07ff".replace(" ", ""), "invalid padding"),
    "padding of nothing else": ("0481ff", "invalid padding"),
    "padding of zeros": ("048118", "invalid padding"),
    "padding with a zero in it": ("04811d", "invalid padding"),
    "Huffman name": ("0081ff00", "invalid padding"),
}


@pytest.mark.parametrize(("block", "reason"), INVALID.values(), ids=INVALID.keys())
def test_invalid_blocks_are_compression_errors(block: str, reason: str) -> None:
    with pytest.raises(HPACKError, match=reason) as caught:
        decoder().decode(bytes.fromhex(block))
    assert not isinstance(caught.value, FieldSectionBombError)


def test_padding_of_seven_ones_is_valid() -> None:
    # "/" is 011000, "&" is 11111000: eight bits, so that "a" (00011) leaves three.
    for text in (b"a", b"&", b"/", b"aa", b"a" * 8, b""):
        assert decode_huffman(encode_huffman(text)) == text
    # One code of nine bits or more ends with seven bits to fill: "#" has twelve, "|" fifteen.
    assert decode_huffman(encode_huffman(b"|" * 3)) == b"|||"


@given(st.binary(max_size=300))
def test_huffman_round_trip(data: bytes) -> None:
    assert decode_huffman(encode_huffman(data)) == data


@given(st.binary(max_size=40))
def test_huffman_decodes_nothing_in_two_ways(data: bytes) -> None:
    """What is accepted is what the encoder would have written."""
    try:
        text = decode_huffman(data)
    except HPACKError:
        return
    assert encode_huffman(text) == data


def test_codes_are_a_complete_prefix_code() -> None:
    assert sum(2.0 ** -len(code) for code in CODES) == 1.0
    assert CODES[EOS] == "1" * 30


@given(st.integers(0, MAX_INTEGER), st.sampled_from((0x7F, 0x3F, 0x1F, 0x0F)))
def test_integer_round_trip(value: int, mask: int) -> None:
    wire = encode_integer(value, mask, 0)
    assert decode_integer(wire + b"\xff", 0, mask) == (value, len(wire))


def test_the_largest_integer_and_the_next() -> None:
    assert decode_integer(encode_integer(MAX_INTEGER, 0x7F, 0x80), 0, 0x7F)[0] == MAX_INTEGER
    with pytest.raises(HPACKError, match="integer too large"):
        decode_integer(encode_integer(MAX_INTEGER + 1, 0x7F, 0x80), 0, 0x7F)


# -- limits -------------------------------------------------------------------------


def section(*counts: tuple[bytes, int]) -> bytes:
    return b"".join(encode_literal((name, b"v"), WITHOUT_INDEXING) * n for name, n in counts)


@pytest.mark.parametrize(
    ("fields", "cookies", "within"),
    [(4, 3, True), (5, 3, False), (4, 4, False), (5, 0, False), (0, 4, False), (7, 0, False),
     (0, 7, False), (100, 100, False)],
)  # fmt: skip
def test_cookies_are_counted_apart(fields: int, cookies: int, within: bool) -> None:
    made = decoder(max_fields=4, max_cookies=3)
    found = made.decode(section((b"x-a", fields), (b"cookie", cookies)))
    assert (found is not None) == within
    assert found is None or len(found) == fields + cookies


def test_bytes_are_counted_with_the_overhead_of_each_field() -> None:
    made = decoder(max_list_bytes=2 * (len(b"x-a") + len(b"v") + 32))
    assert made.decode(section((b"x-a", 2))) is not None
    assert made.decode(section((b"x-a", 2), (b"a", 1))) is None


OVER = {
    "by fields": section((b"x-b", 5)),
    "by cookies": section((b"cookie", 4)),
    "by bytes of a literal": encode_literal((b"x-b", b"v" * 2000), WITHOUT_INDEXING),
    "by bytes of indexed fields": b"\x90" * 30,
}


@pytest.mark.parametrize("over", OVER.values(), ids=OVER.keys())
@pytest.mark.parametrize("first", [True, False], ids=["insert first", "insert last"])
def test_over_a_limit_the_table_stays_in_step(over: bytes, first: bool) -> None:
    made = decoder(max_fields=4, max_cookies=3, max_list_bytes=1000)
    assert made.decode(INSERT + over if first else over + INSERT) is None
    assert made.decode(b"\xbe") == [(b"x-new", b"1")]


def test_a_bomb_is_not_decoded_to_its_end() -> None:
    made = decoder(max_list_bytes=65_536)
    entry = encode_literal((b"x", b"v" * 3000), WITH_INDEXING)
    assert made.decode(entry) is not None
    with pytest.raises(FieldSectionBombError):
        made.decode(b"\xbe" * 60_000)


def test_thousands_of_tiny_fields_are_not_kept() -> None:
    made = decoder(max_fields=100, max_list_bytes=10**9)
    assert made.decode(b"\x82" * 65_000) is None


# -- the table ----------------------------------------------------------------------


def test_table_thrash_keeps_the_table_within_its_size() -> None:
    made = decoder(max_fields=10_000, max_list_bytes=10**6)
    fields: list[Field] = [(b"x-%d" % number, b"v" * (number % 50)) for number in range(2000)]
    block = b"".join(encode_literal(field, WITH_INDEXING) for field in fields)
    assert made.decode(block) == fields
    assert made._used == sum(made._sizes[62:]) <= 4096
    assert made._fields[62:] == fields[::-1][: len(made._fields) - 62]
    for size in (0, 4096) * 500:
        assert made.decode(encode_integer(size, 0x1F, 0x20)) == []
    assert len(made._fields) == 62


def test_an_entry_larger_than_the_table_empties_it() -> None:
    made = decoder(table_size=100)
    made.decode(INSERT)
    large = (b"x-new", b"v" * 100)
    assert made.decode(encode_literal(large, WITH_INDEXING)) == [large]
    with pytest.raises(HPACKError, match="index out of range"):
        made.decode(b"\xbe")


def test_a_name_may_be_that_of_the_entry_which_leaves_for_it() -> None:
    made = decoder(table_size=40)
    made.decode(INSERT)
    assert made.decode(b"\x7e\x022\x33") == [(b"x-new", b"23")]
    assert made.decode(b"\xbe") == [(b"x-new", b"23")]


def test_a_smaller_setting_has_to_be_acknowledged_by_the_next_block() -> None:
    made = decoder()
    made.decode(INSERT)
    made.max_table_size = 100
    assert made.max_table_size == 100
    with pytest.raises(HPACKError, match="table size update missing"):
        made.decode(b"\x82")
    made = decoder()
    made.decode(INSERT)
    made.max_table_size = 100
    assert made.decode(encode_integer(100, 0x1F, 0x20) + b"\xbe") == [(b"x-new", b"1")]


def test_two_updates_shrink_and_grow() -> None:
    made = decoder()
    made.decode(INSERT)
    assert made.decode(b"\x20" + encode_integer(4096, 0x1F, 0x20) + INSERT + b"\xbe") == [
        (b"x-new", b"1"),
        (b"x-new", b"1"),
    ]


# -- remembered blocks --------------------------------------------------------------


def test_a_block_is_decoded_again_after_the_table_changed() -> None:
    made = decoder()
    made.decode(INSERT)
    generation = made.generation
    assert made.decode(b"\xbe") is made.decode(b"\xbe")
    assert made.generation == generation
    made.decode(encode_literal((b"x-newer", b"2"), WITH_INDEXING))
    assert made.generation > generation
    assert made.decode(b"\xbe") == [(b"x-newer", b"2")]


def test_a_block_that_changes_the_table_does_so_each_time() -> None:
    made = decoder()
    for _ in range(3):
        assert made.decode(INSERT) == [(b"x-new", b"1")]
    assert made._fields[62:] == [(b"x-new", b"1")] * 3


def test_few_and_small_blocks_are_remembered() -> None:
    made = decoder()
    for number in range(10 * MAX_REMEMBERED):
        made.decode(encode_literal((b"x", b"%d" % number), WITHOUT_INDEXING))
        assert len(made._remembered) <= MAX_REMEMBERED
    made = decoder()
    made.decode(encode_literal((b"x", b"v" * MAX_REMEMBERED_SIZE), WITHOUT_INDEXING))
    assert not made._remembered

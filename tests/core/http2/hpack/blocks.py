"""Field sections and blocks for tests: by hand, at random, and damaged."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hpack import Decoder as PeerDecoder
from hpack import Encoder as PeerEncoder
from hpack import HPACKError as PeerError
from hpack import OversizedHeaderListError

from granian_core.http2.hpack import Decoder, Encoder, FieldSectionBombError, HPACKError

Field = tuple[bytes, bytes]

LIMIT = 65_536
MAX_FIELDS = 2_000

NAMES = (
    b":status", b":path", b":method", b"server", b"date", b"content-type", b"content-length",
    b"set-cookie", b"cookie", b"etag", b"authorization", b"x-request-id", b"x-a", b"vary",
)  # fmt: skip
VALUES = (
    b"",
    b"200",
    b"GET",
    b"/",
    b"granian",
    b"text/html",
    b"gzip, deflate",
    b"0123456789abcdef",
)
ALPHABETS = (b"abcdefghijklmnopqrstuvwxyz0123456789-./", bytes(range(256)))


def decoder(**changes: int) -> Decoder:
    """Return a decoder with wide limits."""
    return Decoder(**({"max_list_bytes": LIMIT, "max_fields": MAX_FIELDS} | changes))


def random_fields(rng: random.Random) -> list[Field]:
    """Return a section in which fields repeat as they do on a connection."""
    fields: list[Field] = []
    for _ in range(rng.randrange(10)):
        value = rng.choice(VALUES)
        if rng.random() < 0.3:
            value = bytes(rng.choices(rng.choice(ALPHABETS), k=rng.randrange(200)))
        fields.append((rng.choice(NAMES), value))
    return fields


def peer_blocks(rng: random.Random, count: int) -> list[bytes]:
    """Return blocks that another encoder makes for one connection."""
    encoder = PeerEncoder()
    blocks = []
    for _ in range(count):
        if rng.random() < 0.1:
            encoder.header_table_size = rng.choice((0, 64, 512, 4096))
        fields = [(name, value, rng.random() < 0.1) for name, value in random_fields(rng)]
        blocks.append(encoder.encode(fields, huffman=rng.random() < 0.7))
    return blocks


def damage(rng: random.Random, block: bytes) -> bytes:
    """Return a block that differs a little, or much."""
    octets = bytearray(block)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        at = rng.randrange(len(octets) + 1)
        match rng.randrange(5):
            case 0:
                del octets[at:]
            case 1:
                octets[at:at] = rng.randbytes(rng.randrange(1, 6))
            case 2:
                octets[at : at + rng.randrange(4)] = b""
            case 3:
                octets[at:at] = rng.choice(
                    (b"\xff\xff", b"\x80", b"\x3f\xe1\x1f", b"\x20", b"\x7f")
                )
            case _:
                if at < len(octets):
                    octets[at] ^= 1 << rng.randrange(8)
    return bytes(octets)


def decode_both(blocks: Sequence[bytes]) -> int:
    """Decode the blocks of one connection with ours and with a peer; return how many went.

    Where the peer takes what RFC 7541 forbids, or what we bound, ours has to refuse it, and the
    connection is over; in everything else they have to agree.

    Raises:
        AssertionError: They disagree.
    """
    ours, peer = decoder(), PeerDecoder(LIMIT)
    for number, block in enumerate(blocks):
        try:
            found = ours.decode(block)
        except HPACKError as exc:
            _check_refusal(peer, block, exc)
            return number
        try:
            expected = [(bytes(n), bytes(v)) for n, v in peer.decode(block, raw=True)]
        except OversizedHeaderListError:
            assert found is None, "the peer finds it too large"
            return number
        except (PeerError, IndexError) as exc:
            raise AssertionError(f"only the peer refuses: {exc!r}") from exc
        assert found == expected, "fields"
    return len(blocks)


STRICTER = ("integer too", "too many table size updates", "table size update")
"""Beginnings of what only we refuse."""


def _check_refusal(peer: PeerDecoder, block: bytes, exc: HPACKError) -> None:
    try:
        peer.decode(block, raw=True)
    except (PeerError, IndexError):
        return
    assert isinstance(exc, FieldSectionBombError) or str(exc).startswith(STRICTER), (
        f"only we refuse: {exc}"
    )


def encode_both(rng: random.Random, count: int) -> None:
    """Send sections through our encoder to a peer's decoder and to ours, over one connection.

    Raises:
        AssertionError: Not what was sent arrives.
    """
    encoder, ours, peer = Encoder(), decoder(), PeerDecoder(LIMIT)
    heads = [random_fields(rng) for _ in range(4)]
    for _ in range(count):
        if rng.random() < 0.1:
            size = rng.choice((0, 64, 512, 4096, 65_536))
            encoder.set_max_table_size(size)
        fields = rng.choice(heads) if rng.random() < 0.7 else random_fields(rng)
        block = encoder.encode(fields)
        assert ours.decode(block) == fields, "ours"
        assert [(bytes(n), bytes(v)) for n, v in peer.decode(block, raw=True)] == fields, "peer"

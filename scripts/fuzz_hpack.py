"""Hold our HPACK against another implementation for as long as you like.

Blocks that the other one encodes are damaged and decoded by both; sections that ours encodes
are decoded by both. Tables live for a few blocks, as on a connection. With atheris installed,
its coverage-guided input takes the place of the random damage. Every failure is printed with
what repeats it::

    python scripts/fuzz_hpack.py --seconds 60
    python scripts/fuzz_hpack.py --count 1000000 --seed 7
    python scripts/fuzz_hpack.py --atheris -max_total_time=600
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.fuzzing import ROOT, Fuzzer
from tests.core.http2.hpack.blocks import damage, decode_both, encode_both, peer_blocks


def make(rng: random.Random) -> tuple[bool, list[bytes]]:
    """Return the blocks of a connection, and whether they are valid; none to encode instead."""
    kind = rng.randrange(8)
    if kind == 0:
        return True, []
    blocks = peer_blocks(rng, rng.randrange(1, 5))
    if kind == 1:
        return True, blocks
    if kind == 2:
        return False, [*blocks, rng.randbytes(rng.randrange(40))]
    # What comes before the damage fills the tables.
    return False, [*blocks[:-1], damage(rng, blocks[-1]), *blocks[:1]]


def check(case: tuple[bool, list[bytes]], rng: random.Random) -> None:
    """Run one case.

    Raises:
        AssertionError: The implementations disagree; or whatever leaves ours.
    """
    valid, blocks = case
    if not blocks:
        encode_both(rng, 8)
        return
    taken = decode_both(blocks)
    assert not valid or taken == len(blocks), "a valid block is refused"


def take(data: bytes) -> None:
    """Check any bytes, as one block and as two."""
    middle = len(data) // 2
    decode_both([data])
    decode_both([data[:middle], data[middle:]])


FUZZER = Fuzzer(
    "HPACK",
    make,
    check,
    take,
    ROOT / "tests/core/http2/hpack/corpus.txt",
    "granian_core.http2.hpack",
)

if __name__ == "__main__":
    sys.exit(FUZZER.main())

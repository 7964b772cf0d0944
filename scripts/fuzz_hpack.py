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

import argparse
import importlib
import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.core.http2.hpack.blocks import damage, decode_both, encode_both, peer_blocks

REPORT_EVERY = 10_000
"""Cases between two lines of progress."""


def check(rng: random.Random) -> None:
    """Run one case: a connection of a few blocks.

    Raises:
        AssertionError: The implementations disagree; or whatever leaves ours.
    """
    kind = rng.randrange(8)
    if kind == 0:
        encode_both(rng, 8)
        return
    blocks = peer_blocks(rng, rng.randrange(1, 5))
    if kind == 1:
        assert decode_both(blocks) == len(blocks), "a valid block is refused"
    elif kind == 2:
        decode_both([*blocks, rng.randbytes(rng.randrange(40))])
    else:
        # What comes before the damage fills the tables.
        decode_both([*blocks[:-1], damage(rng, blocks[-1]), *blocks[:1]])


def run(seed: int, count: int | None, seconds: float | None) -> int:
    """Fuzz until *count* cases or *seconds* are over; return how many failed."""
    start = time.monotonic()
    done = failures = 0
    while (count is None or done < count) and (
        seconds is None or time.monotonic() - start < seconds
    ):
        try:
            check(random.Random(f"{seed}:{done}"))  # noqa: S311 - repeatable, not secret
        except Exception as exc:  # anything that leaves a decoder is a finding
            failures += 1
            print(f"case {seed}:{done}: {type(exc).__name__}: {exc}", flush=True)
        done += 1
        if done % REPORT_EVERY == 0:
            print(f"{done} cases, {failures} failures", flush=True)
    print(f"{done} cases, {failures} failures, {time.monotonic() - start:.0f} s, seed {seed}")
    return failures


def run_atheris(arguments: list[str]) -> None:
    """Fuzz with coverage guidance; never returns."""
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        sys.exit("atheris is not installed")

    def one(data: bytes) -> None:
        middle = len(data) // 2
        decode_both([data])
        decode_both([data[:middle], data[middle:]])

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Differential fuzzing of HPACK.")
    parser.add_argument("--seconds", type=float, help="stop after this many seconds")
    parser.add_argument("--count", type=int, help="stop after this many cases")
    parser.add_argument("--seed", type=int, default=0, help="choose other cases")
    parser.add_argument("--atheris", action="store_true", help="pass the rest to atheris")
    options, rest = parser.parse_known_args()
    if options.atheris:
        run_atheris(rest)
    if rest:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    if options.count is None and options.seconds is None:
        options.count = 100_000
    return 1 if run(options.seed, options.count, options.seconds) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Hold the two WebSocket engines against each other for as long as you like.

Streams of frames are generated, damaged, cut and fed to both engines, which must make the
same calls after every piece, whether they are held in between or not, and never raise.
With atheris installed, its coverage-guided input takes the place of the random damage.
Every failure is printed with the bytes that show it::

    python scripts/fuzz_websocket.py --seconds 60
    python scripts/fuzz_websocket.py --count 1000000 --seed 7
    python scripts/fuzz_websocket.py --atheris -max_total_time=600
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.fuzzing import ROOT, Fuzzer
from tests.core.websocket import grammar
from tests.core.websocket.engines import CONFIGURATIONS, agree


def make(rng: random.Random) -> tuple[int, bytes]:
    """Return the number of a configuration, and what a client sends."""
    number = rng.randrange(len(CONFIGURATIONS))
    return number, grammar.mutate(rng, grammar.stream(rng, CONFIGURATIONS[number][1]))


def check(case: tuple[int, bytes], rng: random.Random) -> None:
    """Feed a case to both engines.

    Raises:
        AssertionError: They disagree; or whatever leaves an engine.
    """
    number, wire = case
    agree(wire, *CONFIGURATIONS[number], rng)


def take(data: bytes) -> None:
    """Check any bytes: the first chooses the configuration, all of them the cuts."""
    number = data[0] % len(CONFIGURATIONS) if data else 0
    check((number, data[1:]), random.Random(data))  # noqa: S311 - repeatable, not secret


FUZZER = Fuzzer(
    "the WebSocket engines",
    make,
    check,
    take,
    ROOT / "tests/core/websocket/corpus.txt",
    "granian_core.websocket",
)

if __name__ == "__main__":
    sys.exit(FUZZER.main())

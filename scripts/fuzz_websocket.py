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

import argparse
import importlib
import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.core.websocket import grammar
from tests.core.websocket.engines import CONFIGURATIONS, agree

REPORT_EVERY = 10_000
"""Cases between two lines of progress."""


def run(seed: int, count: int | None, seconds: float | None) -> int:
    """Fuzz until *count* cases or *seconds* are over; return how many failed."""
    start = time.monotonic()
    done = failures = 0
    while (count is None or done < count) and (
        seconds is None or time.monotonic() - start < seconds
    ):
        rng = random.Random(f"{seed}:{done}")  # noqa: S311 - repeatable, not secret
        settings, deflate = rng.choice(CONFIGURATIONS)
        wire = grammar.mutate(rng, grammar.stream(rng, deflate))
        try:
            agree(wire, settings, deflate, rng)
        except Exception as exc:  # anything that leaves an engine is a finding
            failures += 1
            print(f"case {seed}:{done}: {type(exc).__name__}: {exc}\n  {wire!r}", flush=True)
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
        rng = random.Random(len(data))  # noqa: S311 - repeatable, not secret
        agree(data, *rng.choice(CONFIGURATIONS), rng)

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Differential fuzzing of the WebSocket engines.")
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

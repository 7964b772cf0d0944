"""Hold the two HTTP/2 engines against each other for as long as you like.

Streams of frames are generated, damaged, cut and fed to both engines, which must make the
same calls, write frames of the same meaning, end alike and never raise. With atheris
installed, its coverage-guided input takes the place of the random damage. Every failure is
printed with the bytes that show it::

    python scripts/fuzz_http2.py --seconds 60
    python scripts/fuzz_http2.py --count 1000000 --seed 7
    python scripts/fuzz_http2.py --atheris -max_total_time=600
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

from granian_core.settings import HTTP2Settings, Limits
from tests.core.http2 import grammar
from tests.core.http2.engines import ENGINES, bytewise, drive, random_cuts

CONFIGURATIONS = (
    (HTTP2Settings(), Limits()),
    (
        HTTP2Settings(
            initial_stream_window_size=1024,
            initial_connection_window_size=65_535,
            max_concurrent_streams=10,
            max_fields=4,
        ),
        Limits(header_list_bytes=2048),
    ),
)
REPORT_EVERY = 10_000
"""Cases between two lines of progress."""


def check(wire: bytes, rng: random.Random) -> None:
    """Feed *wire* to both engines in several cuts.

    Raises:
        AssertionError: They disagree, or call after an error; or whatever leaves an engine.
    """
    configuration = rng.choice(CONFIGURATIONS)
    whole = drive(ENGINES["fast"], [wire], *configuration)
    assert drive(ENGINES["reference"], [wire], *configuration) == whole, "engines"
    pieces = random_cuts(wire, rng)
    assert drive(ENGINES["fast"], pieces, *configuration) == whole, "fast, cut"
    if rng.random() < 0.1:
        assert drive(ENGINES["reference"], pieces, *configuration) == whole, "reference, cut"
    if rng.random() < 0.02:
        assert drive(ENGINES["fast"], bytewise(wire), *configuration) == whole, "fast, bytes"


def run(seed: int, count: int | None, seconds: float | None) -> int:
    """Fuzz until *count* cases or *seconds* are over; return how many failed."""
    start = time.monotonic()
    done = failures = 0
    while (count is None or done < count) and (
        seconds is None or time.monotonic() - start < seconds
    ):
        rng = random.Random(f"{seed}:{done}")  # noqa: S311 - repeatable, not secret
        wire = grammar.mutate(rng, grammar.stream(rng))
        try:
            check(wire, rng)
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
        check(data, random.Random(len(data)))  # noqa: S311 - repeatable, not secret

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Differential fuzzing of the HTTP/2 engines.")
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

"""Hold the two HTTP/1.1 engines against each other for as long as you like.

Valid streams are generated, damaged, cut and fed to both engines, which must make the
same calls and never raise. A third of the cases are a client that asks again and again, each
time in a piece of its own: a head is then judged by the one before it. With atheris installed,
its coverage-guided input takes the place of the random damage. Every failure is printed with
the bytes that show it::

    python scripts/fuzz_http1.py --seconds 60
    python scripts/fuzz_http1.py --count 1000000 --seed 7
    python scripts/fuzz_http1.py --atheris -max_total_time=600
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from granian_core.settings import HTTP1Settings, Limits
from scripts.fuzzing import ROOT, Fuzzer
from tests.core.http1 import grammar
from tests.core.http1.engines import ENGINES, bytewise, drive, random_cuts

CONFIGURATIONS = (
    (HTTP1Settings(), Limits()),
    (HTTP1Settings(max_buffer_size=8192, max_fields=4), Limits(request_line=256)),
)


def make(rng: random.Random) -> list[bytes]:
    """Return what one client sends, in pieces."""
    if rng.random() < 0.33:
        return grammar.repeated(rng)
    return [grammar.mutate(rng, grammar.stream(rng, most=3)[0])]


def check(deliveries: list[bytes], rng: random.Random) -> None:
    """Feed a stream to both engines in several cuts.

    Raises:
        AssertionError: They disagree, or call after an error; or whatever leaves an engine.
    """
    configuration = rng.choice(CONFIGURATIONS)
    wire = b"".join(deliveries)
    whole = drive(ENGINES["fast"], [wire], *configuration, eof=True)
    assert drive(ENGINES["reference"], [wire], *configuration, eof=True) == whole, "engines"
    if len(deliveries) > 1:
        ours = drive(ENGINES["fast"], deliveries, *configuration, eof=True)
        assert ours == whole, "fast, as delivered"
    pieces = random_cuts(wire, rng)
    assert drive(ENGINES["fast"], pieces, *configuration, eof=True) == whole, "fast, cut"
    assert drive(ENGINES["reference"], pieces, *configuration, eof=True) == whole, "reference, cut"
    if rng.random() < 0.1:
        pieces = bytewise(wire)
        assert drive(ENGINES["fast"], pieces, *configuration, eof=True) == whole, "fast, bytes"


def take(data: bytes) -> None:
    """Check any bytes, cut where requests end."""
    deliveries = [part + b"\r\n\r\n" for part in data.split(b"\r\n\r\n")]
    deliveries[-1] = deliveries[-1][:-4]
    check(deliveries, random.Random(data))  # noqa: S311 - repeatable, not secret


FUZZER = Fuzzer(
    "the HTTP/1.1 engines",
    make,
    check,
    take,
    ROOT / "tests/core/http1/corpus.txt",
    "granian_core.http1",
)

if __name__ == "__main__":
    sys.exit(FUZZER.main())

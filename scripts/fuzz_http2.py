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

import logging
import random
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import hpack.hpack
from hpack.huffman import HuffmanEncoder

from granian_core.http2.contract import PREFACE
from granian_core.http2.frames import settings_frame
from granian_core.settings import HTTP2Settings, Limits
from scripts.fuzzing import ROOT, Fuzzer
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
HELLO = PREFACE + settings_frame([])
MOST = 8
"""Things that one client sends. Faults end most connections early, so longer ones test no more."""


def make(rng: random.Random) -> bytes:
    """Return what one client sends."""
    return grammar.mutate(rng, grammar.stream(rng, MOST))


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


def take(data: bytes) -> None:
    """Check bytes behind a preface, which no fuzzer finds by itself; cuts follow from them."""
    wire = data if data.startswith(PREFACE) else HELLO + data
    check(wire, random.Random(data[-8:]))  # noqa: S311 - repeatable, not secret


def hasten() -> None:
    """Let hpack, which takes half of the time, code each string once, and log nothing."""
    logging.disable()
    module: Any = hpack.hpack
    module.decode_huffman = lru_cache(4096)(module.decode_huffman)
    coder: Any = HuffmanEncoder
    coder.encode = lru_cache(4096)(coder.encode)


FUZZER = Fuzzer(
    "the HTTP/2 engines",
    make,
    check,
    take,
    ROOT / "tests/core/http2/corpus.txt",
    "granian_core.http2",
)

if __name__ == "__main__":
    hasten()
    sys.exit(FUZZER.main())

"""A short slice of what ``scripts/fuzz_*.py`` do for long, and the corpora they start from."""

from __future__ import annotations

import random

import pytest

from scripts import fuzz_hpack, fuzz_http1, fuzz_http2, fuzz_websocket
from scripts.fuzzing import Fuzzer, read_corpus

SLICES = [
    pytest.param(fuzz_http1.FUZZER, 300, id="http1"),
    pytest.param(fuzz_http2.FUZZER, 150, id="http2"),
    pytest.param(fuzz_websocket.FUZZER, 150, id="websocket"),
    pytest.param(fuzz_hpack.FUZZER, 300, id="hpack"),
]
FUZZERS = [pytest.param(slice_.values[0], id=slice_.id) for slice_ in SLICES]


@pytest.mark.parametrize(("fuzzer", "count"), SLICES)
def test_implementations_agree(
    fuzzer: Fuzzer, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = fuzzer.run(seed=1, count=count, seconds=None)
    assert not failures, capsys.readouterr().out


@pytest.mark.parametrize("fuzzer", FUZZERS)
def test_implementations_agree_on_the_corpus(fuzzer: Fuzzer) -> None:
    for wire in read_corpus(fuzzer.corpus):
        fuzzer.take(wire)


def test_failure_is_counted_and_says_what_repeats_it(capsys: pytest.CaptureFixture[str]) -> None:
    def make(rng: random.Random) -> int:
        return rng.randrange(1000)

    def check(case: int, rng: random.Random) -> None:
        assert case != wrong, "planted"

    wrong = make(random.Random("3:7"))
    fuzzer = Fuzzer("nothing", make, check, lambda data: None, fuzz_hpack.FUZZER.corpus, "")
    assert fuzzer.run(seed=3, count=4, seconds=None, first=5) == 1
    printed = capsys.readouterr().out
    assert "case 3:7: AssertionError: planted" in printed
    assert f"\n  {wrong}\n" in printed

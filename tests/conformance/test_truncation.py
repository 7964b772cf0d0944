"""Every case cut short at every byte: no hang, no second answer, both engines alike."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from tests.conformance.cases import TABLES
from tests.conformance.model import Case
from tests.conformance.runner import ENGINES, Harness, Outcome

SAMPLED = 12
"""Positions tried in the cases that are too long to try them all."""


def prefixes(cases: Sequence[Case]) -> dict[bytes, Case]:
    """Return every prefix worth trying once, with a case it comes from."""
    found: dict[bytes, Case] = {}
    for case in cases:
        size = len(case.data)
        offsets: Sequence[int] = range(size)
        if not case.small or size > 400:
            offsets = random.Random(case.id).sample(range(size), min(size, SAMPLED))
        for offset in offsets:
            found.setdefault(case.data[:offset], case)
    return found


async def cut_short(harness: Harness, table: str) -> None:
    for data, case in prefixes(TABLES[table]).items():
        outcomes: list[Outcome] = []
        for engine in ENGINES:
            target = await harness.target("core", engine, case)
            outcome = await harness.deliver(target, case, [data], fin=True)
            assert not outcome.reset, data
            assert len(outcome.responses) <= len(case.answers), data
            for response, answer in zip(outcome.responses, case.answers, strict=False):
                assert response.status in answer.statuses | {400}, data
                assert response.whole, data
            outcomes.append(outcome)
        assert outcomes[0].verdict() == outcomes[1].verdict(), data
        await asyncio.sleep(0)


@pytest.mark.parametrize("table", TABLES)
def test_truncated_case_never_hangs_and_never_gets_a_second_answer(
    harness: Harness, table: str
) -> None:
    harness.call(cut_short(harness, table))

"""The battery over real sockets: every case, both engines, three kinds of application."""

from __future__ import annotations

import random

import pytest

from tests.conformance.apps import APPS, missing_package
from tests.conformance.cases import ALL, TABLES
from tests.conformance.model import Case
from tests.conformance.runner import ENGINES, Harness, Outcome, cuts, judge, wire

RANDOM_CUTS = 3
"""Random deliveries of each case to each engine."""

cases = pytest.mark.parametrize("case", ALL.values(), ids=ALL)
engines = pytest.mark.parametrize("engine", ENGINES)
apps = pytest.mark.parametrize(
    "app",
    [
        pytest.param(
            app,
            marks=pytest.mark.skipif(
                missing_package(app) is not None, reason=f"{missing_package(app)} is not installed"
            ),
        )
        for app in APPS
    ],
)


def deliver(
    harness: Harness, app: str, engine: str, case: Case, pieces: list[bytes], *, fin: bool
) -> Outcome:
    async def main() -> Outcome:
        target = await harness.target(app, engine, case)
        return await harness.deliver(target, case, pieces, fin=fin)

    return harness.call(main())


def test_battery_is_large_and_its_names_are_unique() -> None:
    assert sum(len(cases) for cases in TABLES.values()) == len(ALL) >= 200
    for table, rows in TABLES.items():
        assert len({row.id for row in rows}) == len(rows), table
        assert all(row.spec for row in rows)


@apps
@engines
@cases
def test_case_is_answered_acceptably(harness: Harness, app: str, engine: str, case: Case) -> None:
    """The client does not half-close: the server must end the connection by itself."""
    judge(app, case, deliver(harness, app, engine, case, [wire(case)], fin=not case.probe))


@apps
@cases
def test_engines_agree_however_the_bytes_arrive(harness: Harness, app: str, case: Case) -> None:
    """Whole, and at random cuts, with the client's FIN right behind: one verdict."""
    data = wire(case)
    rng = random.Random(case.id)
    whole = deliver(harness, app, "fast", case, [data], fin=True)
    judge(app, case, whole)
    for engine in ENGINES:
        for _ in range(RANDOM_CUTS):
            pieces = cuts(data, rng)
            outcome = deliver(harness, app, engine, case, pieces, fin=True)
            judge(app, case, outcome)
            assert outcome.verdict() == whole.verdict(), (engine, pieces)


@engines
@cases
def test_case_byte_by_byte_gives_the_same_verdict(
    harness: Harness, engine: str, case: Case
) -> None:
    data = wire(case)
    step = 1 if case.small else 997
    pieces = [data[i : i + step] for i in range(0, len(data), step)]
    outcome = deliver(harness, "core", engine, case, pieces, fin=not case.probe)
    judge("core", case, outcome)
    whole = deliver(harness, "core", engine, case, [data], fin=not case.probe)
    assert outcome.verdict() == whole.verdict()

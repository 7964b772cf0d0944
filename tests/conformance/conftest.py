"""One harness for the whole battery: its servers are made once per configuration."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.runner import Harness


@pytest.fixture(scope="session")
def battery() -> Iterator[Harness]:
    with Harness() as harness:
        yield harness


@pytest.fixture
def harness(battery: Harness) -> Iterator[Harness]:
    """The harness; afterwards nothing may have been logged above debug."""
    battery.faults.records.clear()
    yield battery
    assert not battery.faults.records

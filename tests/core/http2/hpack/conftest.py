"""Nothing here has an engine: each test runs once."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def engine() -> None:
    """Take the place of the fixture that runs tests with each engine."""

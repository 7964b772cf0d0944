"""Every test here runs with both engines."""

from __future__ import annotations

import pytest

from granian_core.settings import EngineChoice
from tests.core.http2 import serving


@pytest.fixture(autouse=True, params=["fast", "reference"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> EngineChoice:
    """The engine of the servers that `serving` starts."""
    chosen: EngineChoice = request.param
    monkeypatch.setattr(serving, "ENGINE", chosen)
    return chosen

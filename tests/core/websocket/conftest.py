"""Fixtures of the WebSocket tests."""

from __future__ import annotations

import pytest

from tests.core.websocket import serving


@pytest.fixture(params=["fast", "reference"])
def each_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Serve with each of the engines in turn."""
    monkeypatch.setattr(serving, "ENGINE", request.param)
    engine: str = request.param
    return engine

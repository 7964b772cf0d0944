"""Whether the core under test is compiled, for tests that can not put their own in its place."""

from __future__ import annotations

import pytest

import granian_core.stream

COMPILED = not str(granian_core.stream.__file__).endswith(".py")

interpreted = pytest.mark.skipif(
    COMPILED, reason="puts something of its own in place of what is compiled"
)
"""For tests that replace a class or a coroutine of the core: where it is compiled they can not."""

"""Whether the packages under test are compiled, for tests that can not put their own in place.

``python tests/compiled.py`` makes sure that they are.
"""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

import granian_core.stream

COMPILED = not str(granian_core.stream.__file__).endswith(".py")

interpreted = pytest.mark.skipif(
    COMPILED, reason="puts something of its own in place of what is compiled"
)
"""For tests that replace a class or a coroutine of the core: where it is compiled they can not."""

SAMPLES = ("granian_core.stream", "granian_asgi.http", "granian_wsgi.response")
"""A module of each package that can be compiled, which is one of those that are."""

if __name__ == "__main__":
    files = [str(import_module(name).__file__) for name in SAMPLES]
    pure = [file for file in files if file.endswith(".py")]
    sys.exit(f"not compiled: {', '.join(pure)}" if pure else 0)

"""The drop-in Python API: `Granian`, `loops` and `__version__`."""

from __future__ import annotations

from granian.server import Server as Granian
from granian_cli import __version__
from granian_core.loops import loops

__all__ = ["Granian", "__version__", "loops"]

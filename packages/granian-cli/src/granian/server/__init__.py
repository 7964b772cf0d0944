"""The servers: `MPServer` with worker processes, `MTServer`, and `embed` for running loops."""

from __future__ import annotations

from granian.server import common, embed, mp, mt
from granian.server.mp import MPServer
from granian.server.mt import MTServer

__all__ = ["MPServer", "MTServer", "Server", "common", "embed", "mp", "mt"]

Server = MPServer
"""Deviation: `MPServer` on free-threaded builds too; processes work on both."""

"""The servers: with processes, with threads, and embedded in a running loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from granian.server import common, embed, mp, mt
from granian.server.mp import MPServer
from granian.server.mt import MTServer
from granian_cli.threads import workers_are_threads
from granian_core.errors import ConfigurationError

__all__ = ["MPServer", "MTServer", "Server", "common", "embed", "mp", "mt"]


def _default() -> type[MPServer | MTServer]:
    """Return `MTServer` where workers are threads, which is on free-threaded Python."""
    try:
        return MTServer if workers_are_threads() else MPServer
    except ConfigurationError:  # said again by serve(), where somebody can handle it
        return MPServer


if TYPE_CHECKING:
    Server = MPServer  # so that it is a type to type checkers
else:
    Server = _default()

"""The server whose workers are processes."""

from __future__ import annotations

from granian.server.common import AbstractServer

__all__ = ["MPServer"]


class MPServer(AbstractServer):
    """A server for one application, with worker processes; see `AbstractServer`."""

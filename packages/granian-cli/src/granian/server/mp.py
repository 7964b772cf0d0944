"""The server whose workers are processes."""

from __future__ import annotations

from granian.server.common import AbstractServer
from granian_cli.process import start_method
from granian_cli.threads import is_free_threaded

__all__ = ["MPServer"]


class MPServer(AbstractServer):
    """A server for one application, with worker processes; see `AbstractServer`."""

    def _start_method(self) -> str | None:
        # With the GIL processes are the default, and the environment may say otherwise.
        return start_method() if is_free_threaded() else None

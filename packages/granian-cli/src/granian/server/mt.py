"""The server whose workers are threads, for free-threaded Python."""

from __future__ import annotations

import os

from granian.server.common import AbstractServer
from granian_cli.threads import VARIABLE, is_gil_enabled
from granian_core.errors import FatalError

__all__ = ["MTServer"]


class MTServer(AbstractServer):
    """A server for one application, with worker threads; see `AbstractServer`.

    Its ``serve()`` raises `FatalError` where the GIL is enabled.
    """

    def _start_method(self) -> str | None:
        if is_gil_enabled() and os.environ.get(VARIABLE) != "threads":
            raise FatalError("MTServer needs a free-threaded Python with the GIL disabled")
        return "thread"

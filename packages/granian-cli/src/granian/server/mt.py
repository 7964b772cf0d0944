"""The server for free-threaded Python."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from granian.server.common import AbstractServer
from granian_core.errors import FatalError

if TYPE_CHECKING:
    from granian_cli.control import WorkerSpec

__all__ = ["MTServer"]


class MTServer(AbstractServer):
    """A server that insists on a Python without the GIL; see `AbstractServer`."""

    def serve(
        self,
        spawn_target: Callable[[WorkerSpec], None] | None = None,
        target_loader: Callable[..., object] | None = None,
        wrap_loader: bool = True,
    ) -> None:
        """Serve until stopped, as `AbstractServer.serve` does.

        Raises:
            FatalError: The GIL is enabled, or the server can not run so.
            SystemExit: A worker was lost, or did not become ready.
        """
        if getattr(sys, "_is_gil_enabled", lambda: True)():
            raise FatalError("MTServer needs a free-threaded Python with the GIL disabled")
        super().serve(spawn_target, target_loader, wrap_loader)

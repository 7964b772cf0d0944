"""Names that programs import from Granian's native module, and that exist without one."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Sequence

from granian.net import SocketHolder
from granian.net import SocketSpec as ListenerSpec
from granian.net import UnixSocketSpec as UnixListenerSpec
from granian_cli import __version__
from granian_cli.memory import resident_bytes
from granian_rsgi import Headers as RSGIHeaders
from granian_rsgi import HTTPProtocol as RSGIHTTPProtocol
from granian_rsgi import HTTPScope as RSGIHTTPScope
from granian_rsgi import HTTPStreamTransport as RSGIHTTPStreamTransport
from granian_rsgi import ProtocolClosed as RSGIProtocolClosed
from granian_rsgi import ProtocolError as RSGIProtocolError
from granian_rsgi import WebsocketProtocol as RSGIWebsocketProtocol
from granian_rsgi import WebsocketScope as RSGIWebsocketScope
from granian_rsgi import WebsocketTransport as RSGIWebsocketTransport

__all__ = [
    "BUILD_GIL",
    "ListenerSpec",
    "ProcInfoCollector",
    "RSGIHTTPProtocol",
    "RSGIHTTPScope",
    "RSGIHTTPStreamTransport",
    "RSGIHeaders",
    "RSGIProtocolClosed",
    "RSGIProtocolError",
    "RSGIWebsocketProtocol",
    "RSGIWebsocketScope",
    "RSGIWebsocketTransport",
    "SocketHolder",
    "UnixListenerSpec",
    "__version__",
]

BUILD_GIL = not sysconfig.get_config_var("Py_GIL_DISABLED")
"""Whether this Python was built with the GIL."""


class ProcInfoCollector:
    """Reads the memory of processes."""

    def memory(self, pids: Sequence[int] | None = None) -> dict[int, int]:
        """Return the resident bytes of processes by pid; of this one if *pids* is None.

        Raises:
            ProcessLookupError: One of them is gone, or may not be looked at.
        """
        return {pid: resident_bytes(pid) for pid in ([os.getpid()] if pids is None else pids)}

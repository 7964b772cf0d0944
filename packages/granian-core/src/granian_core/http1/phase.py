"""The phases of an HTTP/1.1 connection; `granian_core.http1.connection` draws them."""

from __future__ import annotations

from typing import Final

IDLE: Final = 0
HEAD_PHASE: Final = 1
BUSY: Final = 2
HELD: Final = 3
UNREAD: Final = 4
LINGER: Final = 5
GONE: Final = 6

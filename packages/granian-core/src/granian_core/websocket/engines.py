"""Which engine reads and writes the frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from granian_core.websocket.fast import FastEngine
from granian_core.websocket.reference import ReferenceEngine

if TYPE_CHECKING:
    from granian_core.websocket.contract import WebSocketEngine


def engine_class(choice: str) -> type[WebSocketEngine]:
    """Return the WebSocket engine that a setting names."""
    return ReferenceEngine if choice == "reference" else FastEngine

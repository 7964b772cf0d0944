"""Which engine reads and writes the frames.

The reference engine is loaded where it is chosen: the library below it takes memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from granian_core.websocket.fast import FastEngine

if TYPE_CHECKING:
    from granian_core.websocket.contract import WebSocketEngine


def engine_class(choice: str) -> type[WebSocketEngine]:
    """Return the WebSocket engine that a setting names."""
    if choice == "reference":
        from granian_core.websocket.reference import ReferenceEngine  # noqa: PLC0415

        return ReferenceEngine
    return FastEngine

"""The adaptive window: as much credit as the path holds, found out with PING.

While a PING is under way the DATA that arrives is counted: so much fits the path in one
round trip. When that comes near the window, the window is what holds the sender back,
and it is doubled. There is no clock here: the PING is the clock.
"""

from __future__ import annotations

from typing import Final

from granian_core.http2.contract import DEFAULT_WINDOW

MAX_ADAPTIVE: Final = 16 * 1024 * 1024
"""Largest window that is reached, in bytes."""


class WindowEstimator:
    """Watches one connection's incoming DATA.

    Attributes:
        window: The window, in bytes, for each stream and for the connection.
    """

    __slots__ = ("_counted", "_since", "measuring", "window")

    def __init__(self) -> None:
        self.window = DEFAULT_WINDOW
        self.measuring = False
        self._counted = 0
        self._since = 0

    def data_received(self, size: int) -> bool:
        """Count DATA; say whether a PING should be sent now."""
        if self.measuring:
            self._counted += size
            return False
        self._since += size
        if self.window >= MAX_ADAPTIVE or self._since < self.window // 2:
            return False
        # Bounded: at most one PING for every half window of DATA.
        self.measuring = True
        self._counted = size
        self._since = 0
        return True

    def ping_acknowledged(self) -> int:
        """Return by how many bytes the window grows."""
        self.measuring = False
        if 3 * self._counted < 2 * self.window:
            return 0
        grown = min(2 * self.window, MAX_ADAPTIVE)
        growth = grown - self.window
        self.window = grown
        return growth

"""What one HTTP/2 peer may make us do: buckets and counters, for whichever engine runs.

Every frame is cheap for its sender. What does nothing useful is paid from one token
bucket; resets are counted against the streams that were opened. An empty bucket ends the
connection with ENHANCE_YOUR_CALM (RFC 9113 10.5).

There is no clock here: the owner sets `Budget.now` before it feeds bytes to an engine.
"""

from __future__ import annotations

from typing import Final

from granian_core.http2.contract import ENHANCE_YOUR_CALM, ConnectionFault

USELESS_FRAMES: Final = 1000
"""Frames that do nothing useful, per `PERIOD`; also the most that are taken at once."""
PERIOD: Final = 10.0
"""Seconds over which frames and resets are counted."""
MAX_RESETS: Final = 200
"""Resets per `PERIOD`, above which they must stay a minority of the streams opened."""
MAX_ORPHANS: Final = 100
"""Streams that were reset and whose application still runs."""
BYTES_PER_CREDIT: Final = 4096
"""A WINDOW_UPDATE is free for every so many bytes of DATA that we have sent."""
CREDITS_PER_FRAME: Final = 2
"""Those that are free for every DATA frame sent: one for the stream, one for the connection."""
CREDITS_PER_STREAM: Final = 100
"""WINDOW_UPDATE frames that are free for every stream opened."""
SIGNALS_PER_STREAM: Final = 10
"""PRIORITY, PRIORITY_UPDATE and SETTINGS frames that are free for every stream opened."""

_SLICES: Final = 10


class TokenBucket:
    """A bucket of *capacity* tokens that fills up once per *period*."""

    __slots__ = ("_capacity", "_filled_at", "_rate", "_tokens")

    def __init__(self, capacity: float, period: float) -> None:
        self._capacity = capacity
        self._rate = capacity / period
        self._tokens = capacity
        self._filled_at = 0.0

    def take(self, now: float) -> bool:
        """Take one token; say whether there was one."""
        if now > self._filled_at:
            grown = self._tokens + (now - self._filled_at) * self._rate
            self._tokens = min(self._capacity, grown)
            self._filled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class RecentCount:
    """How often something happened within the last `PERIOD`, to a tenth of it."""

    __slots__ = ("_counts", "_slice", "_until", "total")

    def __init__(self) -> None:
        self._counts = [0] * _SLICES
        self._slice = 0
        self._until = PERIOD / _SLICES
        self.total = 0

    def add(self, now: float) -> None:
        """Count one."""
        if now >= self._until:
            self.advance(now)
        self._counts[self._slice % _SLICES] += 1
        self.total += 1

    def advance(self, now: float) -> None:
        """Forget what is older than `PERIOD`."""
        current = int(now * _SLICES / PERIOD)
        passed = min(current - self._slice, _SLICES)
        for step in range(1, passed + 1):
            index = (current - passed + step) % _SLICES
            self.total -= self._counts[index]
            self._counts[index] = 0
        self._slice = max(self._slice, current)
        self._until = (self._slice + 1) * PERIOD / _SLICES


class Budget:
    """The account of one connection.

    Every method may raise `ConnectionFault`.

    Attributes:
        now: Seconds of the owner's clock.
        data_sent: Bytes of DATA that we have sent.
        data_frames: In how many frames; counted by the connection.
        frames: Frames received, for tests and debug logs.
    """

    __slots__ = (
        "_bucket",
        "_credits",
        "_opened",
        "_resets",
        "_signals",
        "_streams",
        "data_frames",
        "data_sent",
        "frames",
        "now",
    )

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.data_sent = 0
        self.data_frames = 0
        self.frames = 0
        self._bucket = TokenBucket(USELESS_FRAMES, PERIOD)
        self._opened = RecentCount()
        self._resets = RecentCount()
        self._streams = 0
        self._credits = 0
        self._signals = 0

    def useless(self, what: str) -> None:
        """Pay for a frame that does nothing useful."""
        if not self._bucket.take(self.now):
            raise ConnectionFault(ENHANCE_YOUR_CALM, f"too many {what} frames")

    def credit_received(self) -> None:
        """Pay for a WINDOW_UPDATE, unless it is in proportion to what we send."""
        self._credits += 1
        free = (
            self.data_sent // BYTES_PER_CREDIT
            + CREDITS_PER_FRAME * self.data_frames
            + CREDITS_PER_STREAM * (self._streams + 1)
        )
        if self._credits > free:
            self.useless("WINDOW_UPDATE")

    def signal_received(self, what: str) -> None:
        """Pay for PRIORITY or SETTINGS, unless they are in proportion to the streams."""
        self._signals += 1
        if self._signals > SIGNALS_PER_STREAM * (self._streams + 1):
            self.useless(what)

    def stream_opened(self) -> None:
        """Note a new stream."""
        self._streams += 1
        self._opened.add(self.now)

    def stream_reset(self) -> None:
        """Note a reset by the peer, or one that it made us send (MadeYouReset)."""
        self._resets.add(self.now)
        self._opened.advance(self.now)
        resets = self._resets.total
        # A proxy that multiplexes many users resets a few of very many streams.
        if resets > MAX_RESETS and 2 * resets > self._opened.total:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many streams were reset")

    def orphans(self, count: int) -> None:
        """Check how many applications run whose streams were reset."""
        if count >= MAX_ORPHANS:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many reset streams still run")

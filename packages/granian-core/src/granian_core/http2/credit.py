"""What one HTTP/2 connection lets its peer send: the credit of RFC 9113 5.2.

A stream's window is given back as its application reads; the connection's is given back as
bytes arrive, unless too much lies unread on all streams together. Both are returned a
quarter at a time. `--http2-adaptive-window` lets them grow with the path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from granian_core.http2.adaptive import WindowEstimator

if TYPE_CHECKING:
    from granian_core.http2.contract import HTTP2Engine
    from granian_core.http2.exchange import Exchange
    from granian_core.settings import HTTP2Settings

HELD_WINDOWS: Final = 4
"""How many connection windows of unread bodies there may be before uploads wait for each other."""
WINDOW_PING: Final = b"granianW"
"""The PING that measures the path."""


class Credit:
    """See the module."""

    __slots__ = (
        "_connection_threshold",
        "_estimator",
        "_held",
        "_held_limit",
        "_owed",
        "_stream_threshold",
        "engine",
    )

    engine: HTTP2Engine

    def __init__(self, settings: HTTP2Settings) -> None:
        self._estimator = WindowEstimator() if settings.adaptive_window else None
        self._stream_threshold = max(1, settings.stream_window // 4)
        self._connection_threshold = max(1, settings.connection_window // 4)
        self._owed = 0
        self._held = 0
        self._held_limit = HELD_WINDOWS * settings.connection_window

    @property
    def exhausted(self) -> bool:
        """Whether so much lies unread that the peer may not send anything."""
        return self._held >= self._held_limit

    def measure(self, size: int) -> None:
        """Note that *size* bytes of DATA have arrived."""
        if self._estimator is not None and self._estimator.data_received(size):
            self.engine.send_ping(WINDOW_PING)

    def ping_acknowledged(self) -> None:
        """Grow the windows by what the answer to our PING has shown."""
        estimator = self._estimator
        if estimator is None or not estimator.measuring:
            return
        growth = estimator.ping_acknowledged()
        if growth:
            self._stream_threshold = self._connection_threshold = estimator.window // 4
            self._held_limit = HELD_WINDOWS * estimator.window
            self.engine.send_window_setting(estimator.window)
            self.engine.credit(0, growth)

    def hold(self, exchange: Exchange, size: int) -> None:
        """Note that *size* bytes lie unread on an exchange."""
        exchange.held_bytes += size
        self._held += size

    def forget(self, exchange: Exchange) -> None:
        """Nothing lies unread on an exchange any more."""
        self._held -= exchange.held_bytes
        exchange.held_bytes = 0

    def release(self, exchange: Exchange) -> None:
        """The application has read what was held."""
        self.forget(exchange)
        self.give_stream(exchange)
        self.give_connection(0)

    def give_stream(self, exchange: Exchange) -> None:
        """Give a stream's window back, if there is enough of it."""
        if exchange.uncredited >= self._stream_threshold and exchange.remote_open:
            self.engine.credit(exchange.stream_id, exchange.uncredited)
            exchange.uncredited = 0

    def give_connection(self, size: int) -> None:
        """Give the connection's window back, unless too much lies unread on its streams.

        Not tied to the reading of each stream: one application that does not read would
        stop the uploads to all others.
        """
        self._owed += size
        if self._owed >= self._connection_threshold and self._held < self._held_limit:
            self.engine.credit(0, self._owed)
            self._owed = 0

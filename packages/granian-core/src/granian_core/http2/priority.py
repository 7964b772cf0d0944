"""Extensible priorities (RFC 9218): reading the signal, and whose turn it is to send.

A lower urgency goes first, always. Streams of one urgency take turns, one frame each.
Deviation: RFC 9218 10 recommends to serve non-incremental responses of one urgency one
after another; since that is the default for every request, two large downloads of one
client would then not be fair to each other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from granian_core.http2.exchange import Exchange

DEFAULT_URGENCY: Final = 3
LEVELS: Final = 8

_URGENCY: Final = re.compile(rb"(?:^|,)[ \t]*u[ \t]*=[ \t]*([0-7])[ \t]*(?=[,;]|$)")


def read_urgency(value: bytes) -> int:
    """Return the urgency, 0 (most) to 7 (least), that a priority field value names.

    What can not be read counts as absent (RFC 9218 4); the last one of several is it.
    """
    found = _URGENCY.findall(value[:256])
    return int(found[-1]) if found else DEFAULT_URGENCY


class SendOrder:
    """The exchanges that have something to send and may send it."""

    __slots__ = ("_levels", "_size")

    def __init__(self) -> None:
        # Dictionaries keep their order: each is a queue that can lose any member.
        self._levels: list[dict[Exchange, None]] = [{} for _ in range(LEVELS)]
        self._size = 0

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return self._size > 0

    def add(self, exchange: Exchange) -> None:
        """Let *exchange* wait for its turn, at the end of its level if it does not yet."""
        level = self._levels[exchange.urgency]
        if exchange not in level:
            level[exchange] = None
            self._size += 1

    def discard(self, exchange: Exchange) -> None:
        """Let *exchange* wait no more."""
        level = self._levels[exchange.urgency]
        if exchange in level:
            del level[exchange]
            self._size -= 1

    def take(self) -> Exchange | None:
        """Return whose turn it is, who then waits no more; None if nobody does."""
        if not self._size:
            return None
        for level in self._levels:
            if level:
                exchange = next(iter(level))
                del level[exchange]
                self._size -= 1
                return exchange
        return None

    def clear(self) -> None:
        """Forget everybody."""
        for level in self._levels:
            level.clear()
        self._size = 0

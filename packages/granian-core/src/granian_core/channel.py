"""Calls from other threads to one loop, in order, with one wake-up for many.

Waking a loop costs a system call and a switch of threads, which is more than most calls
cost themselves. So only the first call that finds the queue at rest wakes the loop; those
that come before the loop gets to it go along.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import asyncio
    import contextvars

logger = logging.getLogger("_granian.serve")

Call: TypeAlias = tuple[Callable[..., object], tuple[Any, ...]]


class Channel:
    """Calls for one loop. `post` may be called from any thread.

    Args:
        loop: Where the calls run, in the order of posting.
        context: The context variables that they see; the poster's if None.

    Attributes:
        awake: The loop has been woken and has not taken the calls yet: another costs no wake-up.
    """

    __slots__ = ("_calls", "_context", "_loop", "awake")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, context: contextvars.Context | None = None
    ) -> None:
        self._loop = loop
        self._context = context
        self._calls: deque[Call] = deque()
        self.awake = False

    def post(self, call: Callable[..., object], *args: Any) -> None:
        """Have *call* run on the loop; forgotten if the loop has closed."""
        self._calls.append((call, args))
        # Two posters may both see False: then the second wake-up finds nothing to do.
        if not self.awake:
            self.awake = True
            self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._run, context=self._context)
        except RuntimeError:  # closed: the server that owned it has ended
            self.awake = False
            self._calls.clear()
            logger.debug("a loop is gone; calls to it are dropped")

    def _run(self) -> None:
        # First this: who posts from now on wakes the loop again, for its next turn.
        self.awake = False
        calls = self._calls
        try:
            for _ in range(len(calls)):
                call, args = calls.popleft()
                call(*args)
        except BaseException:
            if calls:  # the others did nothing wrong
                self._wake()
            raise
        # Without the GIL the length may have been read before posters could see the flag.
        if calls and not self.awake:
            self.awake = True
            self._wake()

"""An event loop whose clock a test owns, so that deadlines pass without waiting."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import FileDescriptorLike


class ClockEventLoop(asyncio.SelectorEventLoop):
    """asyncio's selector loop on a clock that does not run by itself.

    Time stands still while anything is ready. When the loop would sleep until its next
    timer, the clock jumps there instead (*autojump*); when no timer is armed the loop
    really waits for I/O. So ``await asyncio.sleep(75)`` takes no time at all, and
    ``loop.time()`` says that 75 seconds have passed.

    Do not autojump while other threads work: the clock would not wait for them.

    Args:
        autojump: Whether the clock jumps; otherwise it moves by `advance` only.
    """

    def __init__(self, *, autojump: bool = True) -> None:
        self._now = 1000.0
        super().__init__(_JumpingSelector(self))
        self.autojump = autojump

    def time(self) -> float:
        """Return the seconds of the test's clock."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock; timers that are due by then fire on the loop's next turns."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._now += seconds


class _JumpingSelector(selectors.BaseSelector):
    """A selector that moves its loop's clock where another one would sleep."""

    def __init__(self, loop: ClockEventLoop) -> None:
        self._loop = loop
        self._inner = selectors.DefaultSelector()

    def register(
        self, fileobj: FileDescriptorLike, events: int, data: object = None
    ) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(
        self, fileobj: FileDescriptorLike, events: int, data: object = None
    ) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._inner.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None or not self._loop.autojump:
            # Without autojump nothing but I/O can make progress: timers need `advance`.
            return self._inner.select(None)
        self._loop.advance(timeout)
        return []

    def close(self) -> None:
        self._inner.close()

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return self._inner.get_map()

"""Awaitables for work that is done already.

What an interface's ``send`` returns is often complete when it is returned. It must still
do what a coroutine does: be awaited, and be given to `asyncio.ensure_future`,
`asyncio.create_task` and `asyncio.wait_for`; but it may be dropped in silence.

Measured for ``await f()`` on CPython 3.11 (3.13), in ns: a shared object with a Python
``__await__`` 150 (160); `COMPLETED` 100 (140); a shared finished `asyncio.Future` 65
(220), which `asyncio.create_task` refuses; `completed` 125 (125); an object of ours
that carries a value 330 (310).
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class Settled(Coroutine[Any, Any, None]):
    """Base: an outcome that is known. Holds no state, so one object serves all."""

    __slots__ = ()

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: object = None,
    ) -> NoReturn:
        """Let the exception out, as a coroutine that does not catch it."""
        if isinstance(typ, BaseException):
            raise typ
        raise val if isinstance(val, BaseException) else typ()

    def close(self) -> None:
        """Do nothing: there is nothing to clean up."""


class Completed(Settled):
    """A coroutine that has nothing left to do; it may be awaited any number of times."""

    __slots__ = ()

    # A bound method of the empty tuple: awaiting makes no Python frame.
    __await__ = ().__iter__  # type: ignore[assignment]

    def send(self, value: object) -> NoReturn:
        """End at once."""
        raise StopIteration


COMPLETED = Completed()
"""What a ``send`` returns when it need not wait."""


async def completed(value: T) -> T:
    """Return *value*: a native coroutine is the cheapest awaitable that carries one."""
    return value

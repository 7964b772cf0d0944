"""The threads of file I/O: opening and reading may block for as long as a disk likes.

They are one bounded set for the process, apart from the loop's executor (which belongs to the
application) and from the pool of blocking interfaces: a slow network share holds up neither.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from granian_core.pool import BlockingPool

T = TypeVar("T")

DEFAULT_THREADS: Final = 512
"""Most threads where nothing else was said; they start on demand and leave when idle."""
IDLE_TIMEOUT: Final = 30.0
"""Seconds after which an idle thread leaves; the first stays."""

_pool = BlockingPool(DEFAULT_THREADS, IDLE_TIMEOUT, "granian-file")


def limit_file_threads(count: int) -> None:
    """Let at most *count* threads of this process open and read files at a time.

    Raises:
        ValueError: *count* is below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    # Jobs that were queued under a lower limit follow as threads become free.
    _pool.max_threads = count


def in_file_thread(function: Callable[..., T], *args: object) -> asyncio.Future[T]:
    """Call *function* in a thread; return the future of its result, on the running loop.

    A call that has begun runs to its end, whoever waits for it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    _pool.submit(_call, loop, future, function, args)
    return future


def _call(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[T],
    function: Callable[..., T],
    args: tuple[object, ...],
) -> None:
    try:
        settle = partial(_settle, future, function(*args), None)
    except BaseException as exc:  # it belongs to whoever waits
        settle = partial(_settle, future, None, exc)
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(settle)


def _settle(future: asyncio.Future[Any], result: object, exc: BaseException | None) -> None:
    if future.done():
        return
    if exc is not None:
        future.set_exception(exc)
    else:
        future.set_result(result)

"""A thread that runs an event loop, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar

from granian_core.pool import name_thread

logger = logging.getLogger("_granian.runtime")

T = TypeVar("T")

NewLoop: TypeAlias = Callable[[], asyncio.AbstractEventLoop]
"""Makes the loop of a thread, on that thread."""


class IOThread:
    """One thread with its loop. It is daemonic: it never keeps the process alive.

    Args:
        number: For its name, from 0.
        new_loop: Makes its loop.
    """

    def __init__(self, number: int, new_loop: NewLoop) -> None:
        self._new_loop = new_loop
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name=f"granian-io-{number}", daemon=True)

    async def start(self) -> asyncio.AbstractEventLoop:
        """Start the thread; return its loop once that runs."""
        self._thread.start()
        return await asyncio.wrap_future(self._started)

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the thread's loop, and wait for it here.

        Cancelling the wait cancels the coroutine.
        """
        running = asyncio.run_coroutine_threadsafe(coroutine, self._started.result())
        return await asyncio.wrap_future(running)

    async def stop(self) -> None:
        """Stop the loop, and wait until the thread has ended."""
        if not self._started.done() or self._started.exception() is not None:
            return  # it never ran
        loop = self._started.result()
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.wrap_future(self._ended)
        self._thread.join()  # nothing is left to it but to return

    # -- on the thread -------------------------------------------------------------------

    def _run(self) -> None:
        name_thread(self._thread.name)
        try:
            loop = self._new_loop()
        except BaseException as exc:  # whatever it is: somebody waits for the loop
            self._started.set_exception(exc)
            return
        asyncio.set_event_loop(loop)
        loop.call_soon(self._started.set_result, loop)
        try:
            loop.run_forever()
            _cancel_all(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            self._ended.set_result(None)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    """End what is left; there is nothing unless it would not end before the deadline."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

"""The threads of file I/O: how many, whose, and what becomes of results nobody waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from granian_core import filethreads
from granian_core.filethreads import DEFAULT_THREADS, in_file_thread, limit_file_threads

PATIENCE = 30.0


@pytest.fixture(autouse=True)
def _default_limit() -> Iterator[None]:
    yield
    limit_file_threads(DEFAULT_THREADS)


def test_results_and_errors_come_back_from_threads_of_their_own() -> None:
    async def main() -> None:
        assert (await in_file_thread(threading.current_thread)).name.startswith("granian-file-")
        assert await in_file_thread(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError, match="division"):
            await in_file_thread(divmod, 7, 0)

    asyncio.run(main())


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_run_at_a_time_than_allowed(limit: int) -> None:
    filethreads._pool = filethreads.BlockingPool(DEFAULT_THREADS, name="granian-file")
    limit_file_threads(limit)
    running = threading.Semaphore(0)
    go = threading.Event()

    def wait() -> None:
        running.release()
        assert go.wait(PATIENCE)

    async def main() -> None:
        waiting = [in_file_thread(wait) for _ in range(5)]
        for _ in range(limit):
            assert await asyncio.to_thread(running.acquire, timeout=PATIENCE)
        assert filethreads._pool.threads == limit
        assert filethreads._pool.queued == 5 - limit
        go.set()
        await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE)

    asyncio.run(main())


def test_a_future_that_was_cancelled_is_left_alone() -> None:
    go = threading.Event()

    async def main() -> None:
        waiting = in_file_thread(go.wait, PATIENCE)
        waiting.cancel()
        go.set()
        assert await in_file_thread(int, "5") == 5
        assert waiting.cancelled()

    asyncio.run(main())


def test_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        limit_file_threads(0)

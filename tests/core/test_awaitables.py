"""Outcomes that are known already do all that a coroutine does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

import pytest

from granian_core import COMPLETED, completed


def test_completed_may_be_awaited_again_and_again() -> None:
    async def main() -> None:
        for _ in range(3):
            assert await COMPLETED is None  # type: ignore[func-returns-value]

    asyncio.run(main())


WAYS: list[Callable[[Coroutine[None, None, object]], Awaitable[object]]] = [
    asyncio.create_task,
    asyncio.ensure_future,
    asyncio.gather,
    lambda awaitable: asyncio.wait_for(awaitable, 10),
    lambda awaitable: asyncio.wait([asyncio.ensure_future(awaitable)]),
]


@pytest.mark.parametrize(
    "wrap", WAYS, ids=["create_task", "ensure_future", "gather", "wait_for", "wait"]
)
@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_awaitables_are_taken_wherever_a_coroutine_is(
    wrap: Callable[[Coroutine[None, None, object]], Awaitable[object]], debug: bool
) -> None:
    async def main() -> None:
        await wrap(COMPLETED)
        await wrap(completed({"type": "http.request"}))

    asyncio.run(main(), debug=debug)


def test_completed_gives_its_value() -> None:
    async def main() -> None:
        message = {"type": "http.disconnect"}

        assert await completed(message) is message
        assert await asyncio.create_task(completed(message)) is message

    asyncio.run(main())


def test_a_cancelled_task_around_completed_ends_as_cancelled() -> None:
    async def main() -> None:
        task = asyncio.create_task(COMPLETED)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_throw_lets_the_exception_out_in_every_form() -> None:
    with pytest.raises(ValueError, match="instance"):
        COMPLETED.throw(ValueError("instance"))
    with pytest.raises(ValueError, match="value"):
        COMPLETED.throw(ValueError, ValueError("value"))
    with pytest.raises(ValueError, match="^$"):
        COMPLETED.throw(ValueError)


def test_closing_changes_nothing() -> None:
    COMPLETED.close()

    with pytest.raises(StopIteration):
        COMPLETED.send(None)

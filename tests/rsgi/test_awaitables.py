"""Outcomes that are known at the call can be used like any coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from granian_rsgi import ProtocolClosed, ProtocolError
from granian_rsgi.awaitables import CLOSED, DONE


def test_done_can_be_awaited_any_number_of_times() -> None:
    async def main() -> list[None]:
        return [await DONE for _ in range(3)]

    assert asyncio.run(main()) == [None, None, None]


def test_done_works_with_all_ways_of_asyncio() -> None:
    async def main() -> list[None]:
        task = asyncio.create_task(DONE)
        future = asyncio.ensure_future(DONE)
        gathered = await asyncio.gather(DONE, DONE)
        return [await task, await future, await asyncio.wait_for(DONE, 5), *gathered]

    assert asyncio.run(main()) == [None] * 5


def test_closed_raises_when_it_is_awaited() -> None:
    async def main() -> None:
        for awaitable in (CLOSED, asyncio.create_task(CLOSED), asyncio.wait_for(CLOSED, 5)):
            with pytest.raises(ProtocolClosed, match="^RSGI transport is closed$"):
                await awaitable

    asyncio.run(main())


@pytest.mark.parametrize("awaitable", [DONE, CLOSED], ids=["done", "closed"])
def test_what_is_thrown_in_comes_out(awaitable: Coroutine[Any, Any, None]) -> None:
    awaitable.close()
    with pytest.raises(KeyError, match="mine"):
        awaitable.throw(KeyError("mine"))
    with pytest.raises(asyncio.CancelledError):
        awaitable.throw(asyncio.CancelledError)


def test_a_cancelled_task_of_done_is_cancelled() -> None:
    async def main() -> None:
        task = asyncio.create_task(DONE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_errors_are_runtime_errors_with_the_messages_people_match() -> None:
    assert isinstance(ProtocolError(), RuntimeError)
    assert isinstance(ProtocolClosed(), RuntimeError)
    assert str(ProtocolError()) == "RSGI protocol error"
    assert str(ProtocolClosed()) == "RSGI transport is closed"
    assert ProtocolClosed().status_hint == 400

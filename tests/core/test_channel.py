"""The queue between two loops: order, wake-ups, and what happens to the rest."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from granian_core.channel import Channel


class Recording:
    """A loop that runs nothing by itself, and counts how often it was woken."""

    def __init__(self) -> None:
        self.woken: list[Callable[[], None]] = []
        self.closed = False

    def call_soon_threadsafe(
        self, callback: Callable[[], None], *, context: contextvars.Context | None = None
    ) -> None:
        if self.closed:
            raise RuntimeError("Event loop is closed")
        self.woken.append(callback)

    def turn(self) -> None:
        """Run what has gathered."""
        woken, self.woken = self.woken, []
        for callback in woken:
            callback()


def channel(loop: Recording) -> Channel:
    return Channel(cast("asyncio.AbstractEventLoop", loop))


def test_many_calls_take_one_wake_up_and_keep_their_order() -> None:
    loop, seen = Recording(), list[int]()
    subject = channel(loop)
    for number in range(1000):
        subject.post(seen.append, number)

    assert len(loop.woken) == 1
    loop.turn()
    assert seen == list(range(1000))


def test_every_turn_takes_one_wake_up() -> None:
    loop, seen = Recording(), list[int]()
    subject = channel(loop)
    for turn in range(5):
        for number in range(10):
            subject.post(seen.append, 10 * turn + number)
        assert len(loop.woken) == 1
        loop.turn()
    assert seen == list(range(50))


def test_what_a_call_posts_comes_in_the_next_turn() -> None:
    """Two loops that answer each other must let others have their turn."""
    loop, seen = Recording(), list[str]()
    subject = channel(loop)

    def first() -> None:
        seen.append("first")
        subject.post(seen.append, "second")

    subject.post(first)
    loop.turn()
    assert seen == ["first"]
    assert len(loop.woken) == 1
    loop.turn()
    assert seen == ["first", "second"]


@pytest.mark.parametrize("error", [ValueError, IndexError, KeyboardInterrupt])
def test_a_failing_call_does_not_take_the_others_along(error: type[BaseException]) -> None:
    loop, seen = Recording(), list[str]()
    subject = channel(loop)

    def fail() -> None:
        raise error

    subject.post(fail)
    subject.post(seen.append, "other")
    with pytest.raises(error):
        loop.turn()
    loop.turn()
    assert seen == ["other"]


def test_a_loop_that_looked_too_early_looks_again() -> None:
    """Without the GIL a processor may read the queue before others see that it was let go."""

    class Late(deque[Any]):
        looked = False

        def __len__(self) -> int:
            seen, self.looked = self.looked, True
            return super().__len__() if seen else 0

    loop, seen = Recording(), list[str]()
    subject = channel(loop)
    subject._calls = Late()
    subject.post(seen.append, "call")
    loop.turn()
    loop.turn()
    assert seen == ["call"]
    loop.turn()
    assert not loop.woken


def test_calls_to_a_closed_loop_are_dropped() -> None:
    loop = Recording()
    loop.closed = True
    subject = channel(loop)
    for _ in range(3):  # none is kept, for nobody will ever take it
        subject.post(pytest.fail, "nobody runs this")
        assert not loop.woken
        assert not subject._calls


def test_calls_see_the_context_variables_of_the_channel() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: list[str] = []

    async def main() -> None:
        variable.set("the loop's")
        loop = asyncio.get_running_loop()
        subject = Channel(loop, contextvars.copy_context())
        done = asyncio.Event()

        def look() -> None:
            seen.append(variable.get())
            done.set()

        thread = threading.Thread(target=subject.post, args=(look,))
        thread.start()
        await asyncio.wait_for(done.wait(), 10)
        thread.join()

    asyncio.run(main())
    assert seen == ["the loop's"]


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_switches")
def test_no_call_is_lost_between_posting_and_running() -> None:
    """Several posters, and a loop that runs meanwhile; each poster's order is kept."""
    posters, count = 4, 2000
    seen: list[list[int]] = [[] for _ in range(posters)]

    async def main() -> None:
        subject = Channel(asyncio.get_running_loop())
        done = asyncio.Event()
        left = posters

        def ended() -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set()

        def poster(number: int) -> None:
            for value in range(count):
                subject.post(seen[number].append, value)
            subject.post(ended)

        threads = [threading.Thread(target=poster, args=(one,)) for one in range(posters)]
        for thread in threads:
            thread.start()
        await asyncio.wait_for(done.wait(), 60)
        for thread in threads:
            thread.join()

    asyncio.run(main())
    assert seen == [list(range(count))] * posters

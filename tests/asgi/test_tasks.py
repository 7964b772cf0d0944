"""Both task implementations give an application all that asyncio promises of a task.

``rust`` is an eager start on CPython 3.12 and later, and a plain task with one line in the
log below; the promises are the same everywhere.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import sys
import warnings
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from granian_core import ServerConfig, loops
from granian_core.testing import MemoryClient, MemoryResponse
from tests.asgi.support import ERROR, Receive, Scope, Send, respond, serve

T = TypeVar("T")

both_impls = pytest.mark.parametrize("impl", ["rust", "asyncio"])
EAGER = sys.version_info >= (3, 12)
new_in_311 = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="asyncio.timeout and TaskGroup are new in Python 3.11"
)
name = contextvars.ContextVar("name", default="nobody")


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[T]], T]:
    """Run a coroutine on each kind of loop."""
    if request.param not in loops:
        pytest.skip(f"{request.param} is not installed")

    def run_on(coro: Any) -> Any:
        loop = loops.get(request.param)
        try:
            return loop.run_until_complete(coro)
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    return run_on


async def answer(impl: str, app: object, path: str = "/") -> MemoryResponse:
    """Serve *app* with that implementation, and make one request."""
    async with serve(app, config=ServerConfig(task_impl=impl)) as server:  # type: ignore[arg-type]
        return await server.connect().request("GET", path)


Run = Callable[[Awaitable[T]], T]


@both_impls
@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after a while"])
def test_current_task_is_one_and_the_same(impl: str, waits: bool, run: Run[Any]) -> None:
    seen: list[asyncio.Task[Any] | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(asyncio.current_task())
        if waits:
            await asyncio.sleep(0)
        seen.append(asyncio.current_task())
        assert seen[0] in asyncio.all_tasks()
        await respond(send, b"done")

    assert run(answer(impl, app)).body == b"done"
    assert seen[0] is seen[1] is not None


@both_impls
def test_eager_start_runs_before_the_next_turn_of_the_loop(
    impl: str, run: Run[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The effect of ``--task-impl rust``, where there is one; and the line, where not."""
    started: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        started.append(True)
        await respond(send)

    async def main() -> None:
        config = ServerConfig(task_impl=impl)  # type: ignore[arg-type]
        async with serve(app, config=config) as server:
            client = server.connect()
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert bool(started) == (EAGER and impl == "rust")
            assert (await client.receive_response()).status == 200

    with caplog.at_level(logging.INFO):
        run(main())
    lines = [line for line in caplog.messages if "task implementation" in line]
    assert lines == (
        ["task implementation 'rust' needs CPython 3.12; using plain tasks"]
        if impl == "rust" and not EAGER
        else []
    )


@both_impls
@new_in_311
def test_timeout_and_wait_for(impl: str, run: Run[Any]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        words = []
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(60)
        except TimeoutError:
            words.append(b"timeout")
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        except (TimeoutError, asyncio.TimeoutError):
            words.append(b"wait_for")
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await respond(send, b" ".join(words))

    assert run(answer(impl, app)).body == b"timeout wait_for"


@both_impls
@new_in_311
def test_task_group(impl: str, run: Run[Any]) -> None:
    async def fail() -> None:
        raise ValueError("one of two")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(asyncio.sleep(0, b"both"))
            second = group.create_task(asyncio.sleep(0.001, b"done"))
        word = b"cancelled"
        with pytest.raises(BaseException, match="unhandled errors") as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.sleep(60)
        assert [str(one) for one in caught.value.exceptions] == ["one of two"]  # type: ignore[attr-defined]
        await respond(send, b" ".join((first.result(), second.result(), word)))

    assert run(answer(impl, app)).body == b"both done cancelled"


@both_impls
def test_context_of_one_request_is_no_other_ones(impl: str, run: Run[Any]) -> None:
    """What a request sets is seen by its children, and by nobody else."""

    async def child() -> str:
        return name.get()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        before = name.get()
        name.set(scope["path"])
        if scope["path"] == "/waits":
            await asyncio.sleep(0.001)
        inherited = await asyncio.create_task(child())
        await respond(send, f"{before} {name.get()} {inherited}".encode())

    async def main() -> list[bytes]:
        config = ServerConfig(task_impl=impl)  # type: ignore[arg-type]
        async with serve(app, config=config) as server:
            clients = [server.connect() for _ in range(3)]
            paths = ["/waits", "/first", "/second"]
            asked = (
                client.request("GET", path) for client, path in zip(clients, paths, strict=True)
            )
            again = await clients[0].request("GET", "/again")
            return [*(one.body for one in await asyncio.gather(*asked)), again.body]

    assert run(main()) == [
        b"nobody /waits /waits",
        b"nobody /first /first",
        b"nobody /second /second",
        b"nobody /again /again",
    ]
    assert name.get() == "nobody"


@both_impls
@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after a while"])
def test_exception_is_logged_once_with_its_traceback(
    impl: str, waits: bool, run: Run[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if waits:
            await asyncio.sleep(0)
        raise ValueError("the reason")

    response = run(answer(impl, app))
    assert (response.status, response.body) == ERROR
    (record,) = (one for one in caplog.records if one.levelno >= logging.ERROR)
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "the reason"


@both_impls
@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after a while"])
def test_application_that_cancels_itself_is_an_error_of_its_own(
    impl: str, waits: bool, run: Run[Any]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if waits:
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        await respond(send)

    response = run(answer(impl, app))
    assert (response.status, response.body) == ERROR


@both_impls
def test_stop_cancels_what_does_not_end(impl: str, run: Run[Any]) -> None:
    outcome: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            outcome.append("cancelled")
            raise

    async def main() -> None:
        config = ServerConfig(task_impl=impl)  # type: ignore[arg-type]
        async with serve(app, config=config) as server:
            client = server.connect()
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.sleep(0)
            await server.server.stop(timeout=0)

    run(main())
    assert outcome == ["cancelled"]


@both_impls
def test_coroutine_that_is_never_awaited_is_warned_of(impl: str, run: Run[Any]) -> None:
    async def forgotten() -> None: ...

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        forgotten()  # type: ignore[unused-coroutine]
        gc.collect()
        await respond(send, b"done")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert run(answer(impl, app)).body == b"done"
    assert [str(one.message) for one in caught if "never awaited" in str(one.message)]


@both_impls
def test_thousand_pipelined_requests_answered_at_once_do_not_recurse(
    impl: str, run: Run[Any]
) -> None:
    """An eager task may answer, and so begin the next request, before it has a name."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, scope["path"].encode())

    async def main() -> None:
        config = ServerConfig(task_impl=impl)  # type: ignore[arg-type]
        async with serve(app, config=config) as server:
            client: MemoryClient = server.connect()
            heads = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(1000)]
            client.send(b"".join(heads))
            for number in range(1000):
                assert (await client.receive_response()).body == b"/%d" % number

    run(main())


@both_impls
def test_tasks_that_are_done_are_kept_by_nobody(impl: str, run: Run[Any]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send)

    async def main() -> None:
        config = ServerConfig(task_impl=impl)  # type: ignore[arg-type]
        async with serve(app, config=config) as server:
            client = server.connect()
            await client.request("GET", "/")
            before = len(asyncio.all_tasks())
            for _ in range(50):
                await client.request("GET", "/")
            assert len(asyncio.all_tasks()) == before
            assert not server.server.context.streams

    run(main())

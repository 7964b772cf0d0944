"""Frameworks under both task implementations, in memory: anyio, sniffio, Starlette.

They look at tasks more closely than applications do. Needs starlette and anyio beside the
core and the ASGI adapter, so that CI runs it on every Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest

pytest.importorskip("starlette", reason="starlette is not installed")

import anyio
import anyio.lowlevel
import sniffio
from anyio import from_thread, to_thread
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from granian_asgi import asgi
from granian_core import InterfaceOptions, ServerConfig, loops
from granian_core.testing import MemoryServer

user = contextvars.ContextVar("user", default="nobody")
done: list[str] = []
Next = Callable[[Request], Awaitable[Response]]


@pytest.fixture(params=["rust", "asyncio"])
def impl(request: pytest.FixtureRequest) -> Any:
    """Each word of ``--task-impl``."""
    done.clear()
    return request.param


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_name(request: pytest.FixtureRequest) -> str:
    if request.param not in loops:
        pytest.skip(f"{request.param} is not installed")
    return cast(str, request.param)


class SetUser(BaseHTTPMiddleware):
    """Sets a variable for whatever it wraps; reads the answer piece by piece."""

    async def dispatch(self, request: Request, call_next: Next) -> Response:
        token = user.set(request.headers.get("x-user", "guest"))
        try:
            response = await call_next(request)
            response.headers["x-task"] = type(asyncio.current_task()).__name__
            return response
        finally:
            user.reset(token)


class Plain:
    """An ASGI middleware without a task of its own."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        with anyio.CancelScope():
            await self.app(scope, receive, send)


async def context(request: Request) -> Response:
    inside = user.get()
    in_thread = await run_in_threadpool(user.get)
    in_task = await asyncio.create_task(_get())
    return PlainTextResponse(f"{inside} {in_thread} {in_task}")


async def _get() -> str:
    return user.get()


async def background(request: Request) -> Response:
    async def later(word: str) -> None:
        await anyio.sleep(0.001)
        done.append(f"{word} {asyncio.current_task() is not None}")

    return PlainTextResponse("accepted", background=BackgroundTask(later, "sent"))


async def groups(request: Request) -> Response:
    words: list[str] = []

    async def child(word: str) -> None:
        await anyio.lowlevel.checkpoint()
        words.append(word)

    async with anyio.create_task_group() as group:
        for word in ("a", "b", "c"):
            group.start_soon(child, word)
    with anyio.move_on_after(0.001) as scope:
        await anyio.sleep(60)
    with contextlib.suppress(TimeoutError):
        with anyio.fail_after(0.001):
            await anyio.sleep(60)
        words.append("never")
    words.append(str(scope.cancelled_caught))
    words.append(sniffio.current_async_library())
    words.append(await to_thread.run_sync(lambda: from_thread.run(_get)))
    return PlainTextResponse(" ".join(words))


async def stream(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            await anyio.lowlevel.checkpoint()
            yield b"%d" % number

    return StreamingResponse(pieces())


async def failing(request: Request) -> Response:
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 60)
            raise RuntimeError("in a group")
    except Exception as exc:
        raise LookupError(type(exc).__name__) from exc
    raise AssertionError


async def handle(request: Request, exc: Exception) -> Response:
    return PlainTextResponse(str(exc), status_code=418)


app = Starlette(
    routes=[
        Route("/context", context),
        Route("/background", background),
        Route("/groups", groups),
        Route("/stream", stream),
        Route("/failing", failing),
    ],
    middleware=[Middleware(SetUser), Middleware(Plain)],
    exception_handlers={LookupError: handle},
)


def serve(impl: Any, loop_name: str, scenario: Callable[[MemoryServer], Awaitable[None]]) -> None:
    async def main() -> None:
        interface = asgi(app, InterfaceOptions())
        async with MemoryServer(interface, ServerConfig(task_impl=impl)) as server:
            await scenario(server)

    loop = loops.get(loop_name)
    try:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_context_of_a_middleware_reaches_endpoint_thread_and_task(
    impl: Any, loop_name: str
) -> None:
    async def scenario(server: MemoryServer) -> None:
        async def ask(name: str) -> bytes:
            response = await server.connect().request(
                "GET", "/context", headers=[(b"x-user", name.encode())]
            )
            assert response.header(b"x-task") == b"Task"
            return response.body

        names = ["ann", "bob", "cy"]
        bodies = await asyncio.gather(*map(ask, names))
        assert bodies == [f"{name} {name} {name}".encode() for name in names]

    serve(impl, loop_name, scenario)
    assert user.get() == "nobody"


def test_background_task_runs_after_the_answer(impl: Any, loop_name: str) -> None:
    async def scenario(server: MemoryServer) -> None:
        response = await server.connect().request("GET", "/background")
        assert response.body == b"accepted"
        while not done:
            await asyncio.sleep(0.001)

    serve(impl, loop_name, scenario)
    assert done == ["sent True"]


def test_task_groups_scopes_and_threads_of_anyio(impl: Any, loop_name: str) -> None:
    async def scenario(server: MemoryServer) -> None:
        response = await server.connect().request("GET", "/groups")
        assert response.body == b"a b c True asyncio guest"

    serve(impl, loop_name, scenario)


def test_streams_and_errors_pass_the_middleware(impl: Any, loop_name: str) -> None:
    async def scenario(server: MemoryServer) -> None:
        client = server.connect()
        assert (await client.request("GET", "/stream")).body == b"012"
        response = await client.request("GET", "/failing")
        assert (response.status, response.body) == (418, b"ExceptionGroup")

    serve(impl, loop_name, scenario)

"""An ASGI application that shows what its process does, for the tests of the supervisor.

``/`` answers at once, ``/slow?SECONDS`` after a while, ``/block?SECONDS`` blocks the loop,
``/modules?NAME`` says whether a module is imported, ``/env?NAME`` shows a variable,
``/leak?MIB`` keeps memory, ``/large?MIB`` answers so much, ``/engine`` names the parser,
``/exit?CODE`` ends the process, ``/events`` streams for ever, ``/poll`` waits for the client to
leave. Every answer carries the worker's pid.

While the file ``LIFECYCLE_BROKEN`` exists, a worker that boots fails in the way that the
file names: ``import``, ``lifespan``, ``exit`` or ``hang``.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from granian_core.http1.engine import BaseEngine

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

leaked: list[bytearray] = []
boot_time = float(os.environ.get("LIFECYCLE_BOOT_TIME", "0"))
broken = Path(os.environ.get("LIFECYCLE_BROKEN", "/nonexistent"))
fault = broken.read_text(encoding="utf-8") if broken.exists() else ""
if fault == "import":
    raise RuntimeError("the second boot fails")


def say(text: str) -> None:
    """Write one line that the test can wait for."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one connection scope."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    argument = scope["query_string"].decode()
    handler = handlers.get(scope["path"].strip("/"))
    if handler is not None:
        body = await handler(argument, receive, send)
        if body is None:
            return
    else:
        body = "hello"
    await answer(send, body)


async def lifespan(receive: Receive, send: Send) -> None:
    """Start and stop, telling about it."""
    await receive()
    await asyncio.sleep(boot_time)
    if fault == "exit":
        os._exit(9)
    if fault == "hang":
        await asyncio.sleep(3600)
    if fault == "lifespan":
        await send({"type": "lifespan.startup.failed", "message": "the second boot fails"})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    say(f"lifespan shutdown in {os.getpid()}")
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send: Send, text: str) -> None:
    """Send a whole response."""
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", b"%d" % len(body)),
        (b"x-pid", b"%d" % os.getpid()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def slow(argument: str, receive: Receive, send: Send) -> str:
    say(f"slow begins in {os.getpid()}")
    await asyncio.sleep(float(argument))
    say(f"slow ends in {os.getpid()}")
    return "slow done"


async def block(argument: str, receive: Receive, send: Send) -> str:
    say(f"block begins in {os.getpid()}")
    time.sleep(float(argument))  # noqa: ASYNC251 - blocking is the point
    return "block done"


async def modules(argument: str, receive: Receive, send: Send) -> str:
    return str(argument in sys.modules)


async def env(argument: str, receive: Receive, send: Send) -> str:
    return os.environ.get(argument, "")


async def leak(argument: str, receive: Receive, send: Send) -> str:
    leaked.append(bytearray(os.urandom(1)) * (int(argument) << 20))
    return "leaked"


async def large(argument: str, receive: Receive, send: Send) -> str:
    say(f"large begins in {os.getpid()}")
    return "a" * (int(argument) << 20)


async def engine(argument: str, receive: Receive, send: Send) -> str:
    (found,) = {type(one).__name__ for one in gc.get_objects() if isinstance(one, BaseEngine)}
    return found


async def leave(argument: str, receive: Receive, send: Send) -> str:
    os._exit(int(argument))


async def events(argument: str, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"data: hello\n\n", "more_body": True})
    await wait_for_disconnect(receive, "events")
    await send({"type": "http.response.body", "body": b""})


async def poll(argument: str, receive: Receive, send: Send) -> None:
    await wait_for_disconnect(receive, "poll")


async def wait_for_disconnect(receive: Receive, name: str) -> None:
    say(f"{name} waits in {os.getpid()}")
    while (await receive())["type"] != "http.disconnect":
        pass
    say(f"{name} saw the disconnect")


handlers: dict[str, Callable[[str, Receive, Send], Awaitable[str | None]]] = {
    "slow": slow,
    "block": block,
    "modules": modules,
    "env": env,
    "leak": leak,
    "large": large,
    "engine": engine,
    "exit": leave,
    "events": events,
    "poll": poll,
}


async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse to start, as an application without its database does."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    """Start, and raise while at it."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    raise RuntimeError("lifespan has a bug")


async def scope_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the root path."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    else:
        await answer(send, scope["root_path"])


def make_app() -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return the application, as factories do."""
    return app

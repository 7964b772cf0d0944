"""The lifespan protocol and every way in which it can go wrong."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable
from typing import Any

import pytest

from granian_asgi.lifespan import MESSAGES, TRANSITIONS, Lifespan, Phase
from granian_asgi.types import ASGIApplication, Message, Receive, Scope, Send
from granian_core import LocalProtocolError, StartupError

LOGGER = "_granian.asgi.lifespan"

COMPLETE: Message = {"type": "lifespan.startup.complete"}
STOPPED: Message = {"type": "lifespan.shutdown.complete"}


def make(app: ASGIApplication) -> tuple[Lifespan, dict[str, Any]]:
    state: dict[str, Any] = {}
    return Lifespan(app, state), state


def run(app: ASGIApplication) -> Lifespan:
    """Start and stop *app*; return its lifespan."""

    async def main() -> Lifespan:
        lifespan, _ = make(app)
        await lifespan.startup()
        await lifespan.shutdown()
        return lifespan

    return asyncio.run(main())


async def well_behaved(scope: Scope, receive: Receive, send: Send) -> None:
    assert await receive() == {"type": "lifespan.startup"}
    await send(COMPLETE)
    assert await receive() == {"type": "lifespan.shutdown"}
    await send(STOPPED)


def test_a_whole_life() -> None:
    seen: list[object] = []
    phases: list[Phase] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(dict(scope))
        seen.append(await receive())
        scope["state"]["pool"] = "open"
        await send(COMPLETE)
        seen.append(await receive())
        seen.append(dict(scope["state"]))
        await send(STOPPED)

    async def main() -> None:
        lifespan, state = make(app)
        phases.append(lifespan.phase)
        await lifespan.startup()
        phases.append(lifespan.phase)
        assert state == {"pool": "open"}
        await lifespan.shutdown()
        phases.append(lifespan.phase)

    asyncio.run(main())

    assert phases == [Phase.IDLE, Phase.SERVING, Phase.STOPPED]
    assert seen == [
        {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.3"}, "state": {}},
        {"type": "lifespan.startup"},
        {"type": "lifespan.shutdown"},
        {},  # cleared before the shutdown event, so that nothing keeps its values alive
    ]


def test_a_plain_function_that_returns_an_awaitable_has_a_lifespan_too() -> None:
    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return well_behaved(scope, receive, send)

    assert run(app).phase is Phase.STOPPED


def test_receive_and_send_may_be_given_to_tasks() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.create_task(receive())  # type: ignore[arg-type]
        await asyncio.ensure_future(send(COMPLETE))
        await asyncio.wait_for(receive(), 10)
        await asyncio.create_task(send(STOPPED))  # type: ignore[arg-type]

    assert run(app).phase is Phase.STOPPED


def test_a_cancelled_receive_loses_no_event() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        task = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        task.cancel()
        await send(COMPLETE)
        assert await receive() == {"type": "lifespan.shutdown"}
        await send(STOPPED)

    assert run(app).phase is Phase.STOPPED


def test_an_early_return_counts_as_started(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        return

    assert run(app).phase is Phase.LEFT
    assert caplog.records == []


def test_an_early_raise_is_logged_with_its_traceback_and_survived(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError(scope["type"])

    assert run(app).phase is Phase.LEFT
    (record,) = caplog.records
    assert (record.name, record.levelname) == (LOGGER, "WARNING")
    assert "ASGI lifespan errored, continuing without it" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)
    assert "raise KeyError" in caplog.text


def test_a_raise_while_serving_is_logged_and_no_shutdown_follows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(COMPLETE)
        await asyncio.sleep(0)
        raise RuntimeError("later")

    async def main() -> None:
        lifespan, _ = make(app)
        await lifespan.startup()
        assert lifespan.phase is Phase.SERVING
        while lifespan.phase is Phase.SERVING:
            await asyncio.sleep(0)
        await lifespan.shutdown()
        assert lifespan.phase is Phase.LEFT

    asyncio.run(main())

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == "ASGI lifespan errored, it will see no shutdown"
    assert 'RuntimeError("later")' in caplog.text


def test_a_return_after_complete_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(COMPLETE)

    lifespan = run(app)

    assert lifespan.phase is Phase.LEFT
    assert caplog.records == []


def test_a_failed_startup_stops_the_server(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(StartupError, match="^ASGI lifespan startup failed: no database$"):
        run(app)

    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [("ERROR", "no database")]


def test_a_failed_startup_that_then_raises_shows_the_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.failed"})
        raise ConnectionError("refused")

    with pytest.raises(StartupError, match="^ASGI lifespan startup failed$"):
        run(app)

    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "ASGI lifespan startup failed")
    assert 'raise ConnectionError("refused")' in caplog.text


@pytest.mark.parametrize("kind", ["lifespan.startup.failed", "lifespan.shutdown.failed"])
def test_an_application_that_waits_on_after_its_failure_is_ended(kind: str) -> None:
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if "shutdown" in kind:
            await send(COMPLETE)
            await receive()
        await send({"type": kind})
        try:
            await receive()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    if "shutdown" in kind:
        assert run(app).phase is Phase.STOP_FAILED
    else:
        with pytest.raises(StartupError, match="startup failed"):
            run(app)
    assert ended == ["cancelled"]


def test_an_application_that_reads_on_after_its_shutdown_is_ended() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})

    assert run(app).phase is Phase.STOPPED


def test_work_after_shutdown_complete_is_waited_for() -> None:
    done: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await well_behaved(scope, receive, send)
        for _ in range(3):
            await asyncio.sleep(0)
        done.append("closed")

    run(app)

    assert done == ["closed"]


def test_a_failed_shutdown_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(COMPLETE)
        await receive()
        await receive()  # the shutdown: the first one was the startup
        await send({"type": "lifespan.shutdown.failed", "message": "still busy"})
        raise RuntimeError("details")

    assert run(app).phase is Phase.STOP_FAILED
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("ERROR", "still busy"),
        ("ERROR", "ASGI lifespan shutdown failed"),
    ]
    assert 'raise RuntimeError("details")' in caplog.text


def test_a_raise_instead_of_shutdown_complete_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(COMPLETE)
        await receive()
        await receive()
        raise RuntimeError("in cleanup")

    assert run(app).phase is Phase.LEFT
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert 'raise RuntimeError("in cleanup")' in caplog.text


def test_unknown_messages_raise_in_the_application() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(LocalProtocolError, match="^Unsupported ASGI message$"):
            await send({"type": "http.response.start", "status": 200})
        with pytest.raises(RuntimeError, match="^Unsupported ASGI message$"):
            await send({"type": "lifespan.startup.done"})
        await well_behaved(scope, receive, send)

    assert run(app).phase is Phase.STOPPED


@pytest.mark.parametrize(
    ("phase", "kind"), sorted(itertools.product(Phase, MESSAGES), key=str), ids=str
)
def test_every_message_in_every_phase(phase: Phase, kind: str) -> None:
    """The full product of phases and messages: the table says all that is allowed."""
    lifespan, _ = make(well_behaved)
    lifespan.phase = phase
    expected = TRANSITIONS.get((phase, kind))

    if expected is None:
        with pytest.raises(AssertionError, match="^Invalid lifespan state transition$"):
            lifespan._send({"type": kind})
        assert lifespan.phase is phase
    else:
        lifespan._send({"type": kind})
        assert lifespan.phase is expected


def test_system_exit_during_startup_is_a_startup_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise SystemExit(7)

    with pytest.raises(StartupError, match=r"exited during its lifespan startup \(7\)"):
        run(app)


def test_system_exit_while_serving_ends_the_process() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(COMPLETE)
        await asyncio.sleep(0)
        raise SystemExit(7)

    async def main() -> None:
        lifespan, _ = make(app)
        await lifespan.startup()
        await asyncio.Event().wait()

    with pytest.raises(SystemExit, match="7"):
        asyncio.run(main())


def test_a_cancelled_error_of_the_application_counts_as_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    assert run(app).phase is Phase.LEFT
    (record,) = caplog.records
    assert record.levelname == "WARNING"


@pytest.mark.parametrize("when", ["startup", "shutdown"])
def test_cancelling_the_wait_cancels_the_application(
    when: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, LOGGER)
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if when == "startup":
            await hang()
        await send(COMPLETE)
        await receive()
        await hang()

    async def main() -> None:
        lifespan, _ = make(app)
        if when == "shutdown":
            await lifespan.startup()
        waiting = asyncio.ensure_future(getattr(lifespan, when)())
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(cancelled.wait(), 10)

    asyncio.run(main())


def test_a_lifespan_that_never_started_has_nothing_to_stop() -> None:
    async def main() -> None:
        lifespan, _ = make(well_behaved)
        await lifespan.shutdown()
        assert lifespan.phase is Phase.IDLE

    asyncio.run(main())

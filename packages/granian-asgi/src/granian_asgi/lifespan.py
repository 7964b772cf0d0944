"""The lifespan protocol: one task that lives beside the server.

The application's messages move the phase along `TRANSITIONS`, and nothing else is
accepted from it. The other moves are ours: it is asked to start, asked to stop, or
has left by itself, which is its right: an application without a lifespan returns or
raises when it sees a scope that it does not know::

    IDLE ──▶ STARTING ──▶ SERVING ──▶ STOPPING ──▶ STOPPED
                │                        └───────▶ STOP_FAILED
                ├───────▶ START_FAILED
                └───────▶ LEFT, also from SERVING and STOPPING

No wait here has a deadline: how long a start or a stop may take is the server's
decision, which cancels `Lifespan.startup` or `Lifespan.shutdown`, and the
application's task with it.

Spec: ASGI 3.0, "Lifespan Protocol" 2.0.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from granian_asgi.http import UNSUPPORTED_MESSAGE
from granian_core import COMPLETED, LocalProtocolError, StartupError

if TYPE_CHECKING:
    from granian_asgi.types import ASGIApplication, Message, Scope

logger = logging.getLogger("_granian.asgi.lifespan")

INVALID_TRANSITION = "Invalid lifespan state transition"


class Phase(enum.Enum):
    """Where the application is in its life."""

    IDLE = "idle"
    STARTING = "starting"
    START_FAILED = "start failed"
    SERVING = "serving"
    STOPPING = "stopping"
    STOPPED = "stopped"
    STOP_FAILED = "stop failed"
    LEFT = "left"


TRANSITIONS: dict[tuple[Phase, str], Phase] = {
    (Phase.STARTING, "lifespan.startup.complete"): Phase.SERVING,
    (Phase.STARTING, "lifespan.startup.failed"): Phase.START_FAILED,
    (Phase.STOPPING, "lifespan.shutdown.complete"): Phase.STOPPED,
    (Phase.STOPPING, "lifespan.shutdown.failed"): Phase.STOP_FAILED,
}
"""What each message of the application does; in any other phase it is refused."""

MESSAGES = frozenset(kind for _, kind in TRANSITIONS)
FAILURES = (Phase.START_FAILED, Phase.STOP_FAILED)
MAY_LEAVE = (Phase.STARTING, Phase.SERVING, Phase.STOPPING)


class Lifespan:
    """The lifespan of one application in one worker.

    Args:
        app: The application.
        state: The dictionary that the application fills; requests get copies of it.

    Attributes:
        phase: Where the application is.
    """

    def __init__(self, app: ASGIApplication, state: dict[str, Any]) -> None:
        self.phase = Phase.IDLE
        self._app = app
        self._state = state
        self._task: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._progress = asyncio.Event()
        self._waiting_for_event = False
        self._failure: BaseException | None = None
        self._reason = ""

    # -- called by the server ----------------------------------------------------

    async def startup(self) -> None:
        """Start the application and wait until it is ready, or has left.

        Cancelling it cancels the application.

        Raises:
            StartupError: It said that it can not start, or tried to end the process.
        """
        self.phase = Phase.STARTING
        self._events.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.create_task(self._run(), name="asgi-lifespan")
        self._task.add_done_callback(self._task_done)
        while self.phase is Phase.STARTING:
            await self._wait_progress()
        if self.phase is Phase.START_FAILED:
            await self._end_task()
            if self._failure is not None:
                logger.error("ASGI lifespan startup failed", exc_info=self._failure)
            raise StartupError(f"ASGI lifespan startup failed{self._reason}")
        if isinstance(self._failure, SystemExit):
            code = self._failure.code
            raise StartupError(f"application exited during its lifespan startup ({code})")

    async def shutdown(self) -> None:
        """Ask the application to stop and wait until it has, or has left.

        Cancelling it cancels the application.
        """
        if self.phase is not Phase.SERVING:
            return
        self.phase = Phase.STOPPING
        self._state.clear()
        self._events.put_nowait({"type": "lifespan.shutdown"})
        while self.phase is Phase.STOPPING:
            await self._wait_progress()
        await self._end_task()
        if self.phase in FAILURES and self._failure is not None:
            logger.error("ASGI lifespan shutdown failed", exc_info=self._failure)

    async def _end_task(self) -> None:
        """Wait until the application returns, or waits for an event that never comes."""
        assert self._task is not None, "startup came first"
        while not self._task.done():
            if self._waiting_for_event:
                self._task.cancel()
            await self._wait_progress()

    async def _wait_progress(self) -> None:
        assert self._task is not None, "startup came first"
        try:
            await self._progress.wait()
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        self._progress.clear()

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # a SystemExit has left by the loop; asyncio need not report it
        self._progress.set()

    # -- the application's side --------------------------------------------------

    async def _run(self) -> None:
        scope: Scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "state": self._state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except asyncio.CancelledError as exc:
            if self.phase in MAY_LEAVE:
                self._leave(exc)
            raise
        except SystemExit as exc:
            if self.phase is not Phase.STARTING:
                raise  # it ends the process, as in any other task
            self.phase, self._failure = Phase.LEFT, exc
        except Exception as exc:
            if self.phase in MAY_LEAVE:
                self._leave(exc)
            else:
                self._failure = exc
        else:
            if self.phase in MAY_LEAVE:
                self.phase = Phase.LEFT

    def _leave(self, exc: BaseException) -> None:
        starting = self.phase is Phase.STARTING
        self.phase = Phase.LEFT
        logger.warning(
            "ASGI lifespan errored, continuing without it (asginl is ASGI without lifespan)"
            if starting
            else "ASGI lifespan errored, it will see no shutdown",
            exc_info=exc,
        )

    async def _receive(self) -> Message:
        self._waiting_for_event = self._events.empty()
        self._progress.set()
        try:
            return await self._events.get()
        finally:
            self._waiting_for_event = False

    def _send(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind not in MESSAGES:
            raise LocalProtocolError(UNSUPPORTED_MESSAGE)
        phase = TRANSITIONS.get((self.phase, kind))
        if phase is None:
            raise AssertionError(INVALID_TRANSITION)
        self.phase = phase
        if phase in FAILURES and (text := message.get("message")):
            logger.error("%s", text)
            self._reason = f": {text}"
        self._progress.set()
        return COMPLETED

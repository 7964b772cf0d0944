"""A WebSocket whose application runs on another loop: the I/O loop's half.

See `granian_core.runtime.websocket`, the other one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from granian_core.errors import LocalProtocolError, WebSocketClosed
from granian_core.runtime.carrier import SEND_WINDOW
from granian_core.runtime.relay import HTTPRelay
from granian_core.runtime.websocket import MESSAGE_COST, RECEIVE_WINDOW, RemoteWebSocket
from granian_core.websocket.contract import ABNORMAL_CLOSURE
from granian_core.websocket.session import CLOSED

if TYPE_CHECKING:
    from granian_core.channel import Channel
    from granian_core.runtime.application import ApplicationContext
    from granian_core.stream import Address, Fields, HTTPStream
    from granian_core.websocket.stream import WebSocketStream

logger = logging.getLogger("_granian.runtime")


class HandshakeRelay(HTTPRelay):
    """The I/O loop's half of a handshake; it ends with the WebSocket."""

    __slots__ = ()

    def __init__(self, stream: HTTPStream, context: ApplicationContext, io: Channel) -> None:
        super().__init__(stream, context, io)
        self._body_ended = True  # what follows is the WebSocket's

    def done(self, client: Address | None, scheme: str, watched: bool) -> None:
        """Only the log has to know: the WebSocket itself says when its application is done."""
        self.stream.log_client = client
        self.stream.log_scheme = scheme


class WebSocketRelay:
    """The I/O loop's half: does to the WebSocket what the application does to its own.

    Args:
        websocket: The connection's.
        context: The application's.
        io: To the I/O loop.

    Attributes:
        handshake: The half of the handshake.
        far: The application's half.
    """

    __slots__ = (
        "_application",
        "_context",
        "_done",
        "_draining",
        "_received_all",
        "_receiving",
        "_room",
        "_taken",
        "_told_closing",
        "_unread",
        "_websocket",
        "far",
        "handshake",
    )

    def __init__(
        self, websocket: WebSocketStream, context: ApplicationContext, io: Channel
    ) -> None:
        self._websocket = websocket
        self._context = context
        self._application = context.channel
        loop = websocket.request.carrier.loop
        self._done: asyncio.Future[None] = loop.create_future()
        self._receiving: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._unread = 0
        self._taken = 0
        self._told_closing = False
        self._received_all = False
        self.handshake = HandshakeRelay(websocket.request, context, io)
        self.far = RemoteWebSocket(self, context, io)
        websocket.watcher = self._changed

    async def run(self) -> None:
        """Stand in for the application until that is done."""
        self.handshake.begin(self._context.begin_websocket, self.far)
        try:
            await self._done
        except asyncio.CancelledError:
            self._application.post(self.far.cancel)
            raise
        finally:
            self._websocket.watcher = None
            self.handshake.end()
            for task in (self._receiving, self._draining):
                if task is not None:
                    task.cancel()

    # -- from the application -----------------------------------------------------------------

    def accept(
        self, subprotocol: str | None, headers: Fields, client: Address | None, scheme: str
    ) -> None:
        """Complete the handshake."""
        websocket = self._websocket
        websocket.log_client = client
        websocket.log_scheme = scheme
        try:
            websocket.accept(subprotocol, headers)
        except LocalProtocolError as exc:
            logger.debug("%s: %s", websocket.client, exc)
        if websocket.session is None:
            self._application.post(self.far.end, ABNORMAL_CLOSURE, "", False)
            return
        loop = websocket.request.carrier.loop
        self._receiving = loop.create_task(self._receive())

    def send(self, message: str | bytes) -> None:
        """Send a message; give credit for it when the transport has taken it."""
        websocket = self._websocket
        try:
            websocket.send(message)
        except LocalProtocolError as exc:
            logger.debug("%s: %s", websocket.client, exc)
        self._taken += len(message)
        if self._draining is not None:
            return
        if websocket.write_blocked:
            loop = websocket.request.carrier.loop
            self._draining = loop.create_task(self._drain())
        elif self._taken >= SEND_WINDOW // 4:
            self._give_credit()

    async def _drain(self) -> None:
        await self._websocket.drain()
        self._draining = None
        self._give_credit()

    def _give_credit(self) -> None:
        size, self._taken = self._taken, 0
        self._application.post(self.far.credit, size)

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""
        try:
            self._websocket.close(code, reason)
        except LocalProtocolError as exc:
            logger.debug("%s: %s", self._websocket.client, exc)

    def credit(self, size: int) -> None:
        """The application has received that much."""
        self._unread -= size
        if self._room is not None and not self._room.done() and self._unread < RECEIVE_WINDOW:
            self._room.set_result(None)

    def done(self) -> None:
        """The application has returned."""
        if not self._done.done():
            self._done.set_result(None)

    # -- from the peer ------------------------------------------------------------------------

    async def _receive(self) -> None:
        """Pass messages on, as many at a time as there are, within the window."""
        websocket = self._websocket
        try:
            while True:
                messages = [await websocket.receive()]
                self._gather(messages)
                size = sum(map(len, messages)) + MESSAGE_COST * len(messages)
                self._unread += size
                self._application.post(self.far.take, messages, size)
                while self._unread >= RECEIVE_WINDOW:
                    self._room = websocket.request.carrier.loop.create_future()
                    await self._room
        except WebSocketClosed:
            # After a close of the application's own, the end is still to come.
            self._received_all = True
            self._changed()

    def _changed(self) -> None:
        """Pass on that nothing can be sent any more, and the end behind all messages."""
        session = self._websocket.session
        assert session is not None
        if session.state == CLOSED and self._received_all:
            self._application.post(self.far.end, session.code, session.reason, session.peer_closed)
        elif not session.closed_here and not self._told_closing:
            self._told_closing = True
            self._application.post(self.far.closing)

    def _gather(self, messages: list[str | bytes]) -> None:
        size = len(messages[0])
        while size < RECEIVE_WINDOW // 2:
            try:
                message = self._websocket.receive_nowait()
            except WebSocketClosed:
                return  # said after the messages that came before it
            if message is None:
                return
            size += len(message) + MESSAGE_COST
            messages.append(message)

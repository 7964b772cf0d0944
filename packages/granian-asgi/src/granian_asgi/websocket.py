"""One WebSocket as an ASGI application sees it: ``receive`` and ``send``.

The rules of `granian_asgi.http` hold here too. What is sent after the WebSocket has ended
is dropped, as is what is sent before it was accepted.

Phases move one way only::

    CONNECTING ── accept ──▶ OPEN ── close, or the client is gone ──▶ CLOSED
        ├── http.response.start ──▶ DENYING ── body, the last one ──▶ CLOSED
        └── close ────────────────────────────────────────────────▶ CLOSED

Spec: ASGI 3.0, "HTTP & WebSocket ASGI Message Format" 2.3, and the extension
``websocket.http.response``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from granian_asgi.http import UNSUPPORTED_MESSAGE
from granian_core import COMPLETED, LocalProtocolError, WebSocketClosed, completed

if TYPE_CHECKING:
    from granian_asgi.types import Message
    from granian_core import Fields, WebSocketStream

CONNECTING, OPEN, DENYING, CLOSED = range(4)

ALREADY_UPGRADED = "ASGI flow error: Connection already upgraded"
ALREADY_STARTED = "ASGI flow error: Response already started"
ALREADY_FINISHED = "ASGI flow error: Response already finished"
NOT_STARTED_YET = "ASGI flow error: Response not initialised"

NO_STATUS = 1005


class WebSocketExchange:
    """The two callables of one WebSocket.

    Args:
        stream: The WebSocket.
        before_accept: Called once the application accepts, for the access log.
    """

    __slots__ = ("_before_accept", "_connected", "_denial", "_phase", "_started", "_stream")

    def __init__(
        self, stream: WebSocketStream, before_accept: Callable[[], None] | None = None
    ) -> None:
        self._stream = stream
        self._before_accept = before_accept
        self._phase = CONNECTING
        self._connected = False
        self._denial: tuple[int, Fields] | None = None
        self._started = False

    # -- receive -----------------------------------------------------------------

    def receive(self) -> Awaitable[Message]:
        """Return the next event: ``websocket.connect`` first, ``websocket.disconnect`` last.

        Cancelling is safe; no message is lost.

        Raises:
            LocalProtocolError: Another ``receive`` waits already.
        """
        if not self._connected:
            self._connected = True
            return completed({"type": "websocket.connect"})
        stream = self._stream
        if self._phase != OPEN and not stream.accepted:
            return self._wait_answer()
        try:
            message = stream.receive_nowait()
        except WebSocketClosed as exc:
            return completed(_disconnect(exc))
        if message is None:
            return self._receive()
        return completed(_event(message))

    async def _receive(self) -> Message:
        stream = self._stream
        try:
            # Once more: a message may have come between the call and this first step.
            while (message := stream.receive_nowait()) is None:
                await stream.wait_message()
        except WebSocketClosed as exc:
            return _disconnect(exc)
        return _event(message)

    async def _wait_answer(self) -> Message:
        """Wait for what follows ``websocket.connect`` while the handshake is undecided.

        An application that never accepts gets its disconnection when the client leaves, or
        when it has refused.
        """
        stream = self._stream
        if self._phase == CONNECTING:
            await stream.wait_answer()
            if stream.accepted:
                return await self.receive()
        return {"type": "websocket.disconnect", "code": NO_STATUS, "reason": ""}

    # -- send --------------------------------------------------------------------

    def send(self, message: Message) -> Awaitable[None]:
        """Take an event; wait on what is returned for the peer to keep up.

        Raises:
            LocalProtocolError: The event is malformed, unknown or out of order, or the
                protocol does not allow what it says (it is a `RuntimeError` too).
            TypeError: *message* is not a dictionary.
        """
        try:
            kind = message["type"]
        except KeyError:
            raise LocalProtocolError(UNSUPPORTED_MESSAGE) from None
        if kind == "websocket.send":
            return self._send(message)
        if kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            self._close(message)
        elif kind == "websocket.http.response.start" or kind == "http.response.start":
            self._start_denial(message)
        elif kind == "websocket.http.response.body" or kind == "http.response.body":
            return self._deny(message)
        else:
            raise LocalProtocolError(UNSUPPORTED_MESSAGE)
        return COMPLETED

    def _send(self, message: Message) -> Awaitable[None]:
        text, data = message.get("text"), message.get("bytes")
        if (text is None) == (data is None):
            raise LocalProtocolError(UNSUPPORTED_MESSAGE)
        content = data if text is None else text
        if not isinstance(content, str if data is None else (bytes, bytearray, memoryview)):
            raise LocalProtocolError(UNSUPPORTED_MESSAGE)
        stream = self._stream
        if self._phase != OPEN or stream.closed:
            return COMPLETED
        return stream.drain() if stream.send(content) else COMPLETED

    def _accept(self, message: Message) -> None:
        if self._phase != CONNECTING:
            raise LocalProtocolError(ALREADY_UPGRADED if self._stream.accepted else ALREADY_STARTED)
        try:
            subprotocol = message.get("subprotocol")
            headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            if subprotocol is not None and not isinstance(subprotocol, str):
                raise TypeError("the subprotocol is not text")
        except (TypeError, ValueError) as exc:
            raise LocalProtocolError(UNSUPPORTED_MESSAGE) from exc
        if self._before_accept is not None:
            self._before_accept()
        self._stream.accept(subprotocol, headers)
        self._phase = OPEN

    def _close(self, message: Message) -> None:
        code, reason = message.get("code", 1000), message.get("reason") or ""
        if code is None:
            code = 1000
        if not isinstance(code, int) or not isinstance(reason, str):
            raise LocalProtocolError(UNSUPPORTED_MESSAGE)
        if self._phase == OPEN:
            self._stream.close(int(code), reason)
        elif self._phase == CONNECTING:
            self._stream.reject(403)
        elif self._phase == DENYING:
            raise LocalProtocolError(ALREADY_STARTED)
        self._phase = CLOSED

    # -- denial ------------------------------------------------------------------

    def _start_denial(self, message: Message) -> None:
        if self._phase != CONNECTING:
            raise LocalProtocolError(ALREADY_UPGRADED if self._stream.accepted else ALREADY_STARTED)
        try:
            status = message["status"]
            headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            if not isinstance(status, int):
                raise TypeError("the status is not an integer")
        except (KeyError, TypeError, ValueError) as exc:
            raise LocalProtocolError(UNSUPPORTED_MESSAGE) from exc
        self._denial = (int(status), headers)
        self._phase = DENYING

    def _deny(self, message: Message) -> Awaitable[None]:
        if self._denial is None:
            raise LocalProtocolError(ALREADY_UPGRADED if self._stream.accepted else NOT_STARTED_YET)
        if self._phase != DENYING:
            raise LocalProtocolError(ALREADY_FINISHED)
        body = message.get("body", b"")
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise LocalProtocolError(UNSUPPORTED_MESSAGE)
        status, headers = self._denial
        response = self._stream.request
        if not message.get("more_body", False) and not self._started:
            self._phase = CLOSED
            self._stream.reject(status, headers, body)
            return COMPLETED
        if not self._started:
            response.start(status, headers)
            self._started = True
        response.write(body)
        if not message.get("more_body", False):
            self._phase = CLOSED
            response.finish()
            return COMPLETED
        return response.drain() if response.write_blocked else COMPLETED


def _event(message: str | bytes) -> Message:
    if isinstance(message, str):
        return {"type": "websocket.receive", "text": message}
    return {"type": "websocket.receive", "bytes": message}


def _disconnect(exc: WebSocketClosed) -> Message:
    # 1006 says "no close frame"; ASGI wants 1005 where no code was received.
    code = NO_STATUS if exc.code == 1006 else exc.code
    return {"type": "websocket.disconnect", "code": code, "reason": exc.reason}

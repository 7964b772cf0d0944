"""The RSGI protocol object of a WebSocket, its transport and its messages."""

from __future__ import annotations

import enum
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from granian_core import COMPLETED, LocalProtocolError, Settled, WebSocketClosed
from granian_rsgi.errors import ProtocolClosed, ProtocolError
from granian_rsgi.transport import CLOSED

if TYPE_CHECKING:
    from granian_core import Data, WebSocketStream

NO_STATUS = 1005


class WebsocketMessageType(enum.IntEnum):
    """What a message is."""

    close = 0
    bytes = 1
    string = 2


_CLOSE, _BYTES, _STRING = WebsocketMessageType


class WebsocketCloseMessage:
    """The client has closed. It has no ``data``."""

    __slots__ = ()

    kind = int(_CLOSE)


class WebsocketBytesMessage:
    """A binary message."""

    __slots__ = ("data",)

    kind = int(_BYTES)

    def __init__(self, data: bytes) -> None:
        self.data = data


class WebsocketTextMessage:
    """A text message."""

    __slots__ = ("data",)

    kind = int(_STRING)

    def __init__(self, data: str) -> None:
        self.data = data


WebsocketMessage: TypeAlias = WebsocketCloseMessage | WebsocketBytesMessage | WebsocketTextMessage


class _Misused(Settled):
    """Raises `ProtocolError` when it is awaited, and is silent when it is not."""

    __slots__ = ()

    def __await__(self) -> NoReturn:
        raise ProtocolError

    def send(self, value: object) -> NoReturn:
        """Fail at once."""
        raise ProtocolError


_MISUSED = _Misused()


class WebsocketTransport:
    """Receives and sends the messages of an accepted WebSocket."""

    __slots__ = ("_over", "_receiving", "_stream")

    def __init__(self, stream: WebSocketStream) -> None:
        self._stream = stream
        self._receiving = False
        self._over = False

    async def receive(self) -> WebsocketMessage:
        """Return the next message; a close message once the client has closed.

        Cancelling is safe; no message is lost.

        Raises:
            ProtocolError: Another ``receive`` waits already.
            ProtocolClosed: The close message was received already, or the connection
                ended without one.
        """
        if self._receiving:
            raise ProtocolError
        if self._over:
            raise ProtocolClosed
        self._receiving = True
        stream = self._stream
        try:
            while (message := stream.receive_nowait()) is None:
                await stream.wait_message()
        except WebSocketClosed as exc:
            self._over = True
            if exc.clean:
                return WebsocketCloseMessage()
            raise ProtocolClosed from None
        finally:
            self._receiving = False
        if isinstance(message, str):
            return WebsocketTextMessage(message)
        return WebsocketBytesMessage(message)

    def send_bytes(self, data: Data) -> Coroutine[Any, Any, None]:
        """Queue a binary message.

        Returns:
            An awaitable that ends when more may be sent. It raises `ProtocolClosed` if
            the client has closed, `ProtocolError` if the application has.

        Raises:
            TypeError: *data* is not bytes, bytearray or memoryview.
        """
        if type(data) is not bytes and not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data must be bytes, not {type(data).__name__}")
        return self._send(data)

    def send_str(self, data: str) -> Coroutine[Any, Any, None]:
        """Queue a text message. The rest is as in `send_bytes`."""
        if not isinstance(data, str):
            raise TypeError(f"data must be str, not {type(data).__name__}")
        return self._send(data)

    def _send(self, data: str | Data) -> Coroutine[Any, Any, None]:
        stream = self._stream
        if stream.closed_here:
            return _MISUSED
        if stream.closed:
            return CLOSED
        return self._drain() if stream.send(data) else COMPLETED

    async def _drain(self) -> None:
        stream = self._stream
        await stream.drain()
        if stream.closed and not stream.closed_here:
            raise ProtocolClosed


class WebsocketProtocol:
    """Accepts or refuses one WebSocket, and closes it."""

    __slots__ = ("_answered", "_stream")

    def __init__(self, stream: WebSocketStream) -> None:
        self._stream = stream
        self._answered = False

    async def accept(self) -> WebsocketTransport:
        """Complete the handshake.

        Raises:
            ProtocolError: The handshake was answered already, or the client has left.
        """
        if self._answered:
            raise ProtocolError
        self._answered = True
        try:
            self._stream.accept()
        except LocalProtocolError as exc:
            raise ProtocolError from exc
        if not self._stream.accepted:
            raise ProtocolError
        return WebsocketTransport(self._stream)

    def close(self, status: int | None = None) -> None:
        """Refuse the handshake, or close the WebSocket. A second call does nothing.

        Args:
            status: HTTP status of the refusal, 403 by default. Once the WebSocket is
                accepted it is not used: RSGI closes with an empty frame.

        Raises:
            LocalProtocolError: The status is out of range.
        """
        stream = self._stream
        if stream.accepted:
            stream.close(NO_STATUS)
        elif not self._answered:
            stream.reject(403 if status is None else status)
            self._answered = True

"""The transport of a streamed RSGI response."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, NoReturn

from granian_core import COMPLETED, Settled
from granian_rsgi.errors import ProtocolClosed

if TYPE_CHECKING:
    from granian_core import Data, HTTPStream


class _Closed(Settled):
    """Raises `ProtocolClosed` when it is awaited, and is silent when it is not."""

    __slots__ = ()

    def __await__(self) -> NoReturn:
        raise ProtocolClosed

    def send(self, value: object) -> NoReturn:
        """Fail at once."""
        raise ProtocolClosed


CLOSED = _Closed()


class HTTPStreamTransport:
    """Sends a response piece by piece.

    Data is queued when a method is called. Awaiting what it returns waits while the
    client is slower than the application; an application that streams more than a
    little has to, or the data piles up in memory.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: HTTPStream) -> None:
        self._stream = stream

    def send_bytes(self, data: Data) -> Coroutine[Any, Any, None]:
        """Queue *data*.

        Returns:
            An awaitable that ends when more may be sent. It raises `ProtocolClosed`
            if the client is gone or the response has ended.

        Raises:
            TypeError: *data* is not bytes, bytearray or memoryview.
            LocalProtocolError: The body is longer than its Content-Length.
        """
        if type(data) is not bytes and not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data must be bytes, not {type(data).__name__}")
        return self._send(data)

    def send_str(self, data: str) -> Coroutine[Any, Any, None]:
        """Queue *data*, encoded as UTF-8. The rest is as in `send_bytes`."""
        if not isinstance(data, str):
            raise TypeError(f"data must be str, not {type(data).__name__}")
        return self._send(data.encode())

    def _send(self, data: Data) -> Coroutine[Any, Any, None]:
        stream = self._stream
        if stream.response_complete:
            return CLOSED
        stream.write(data)
        return self._drain() if stream.write_blocked else COMPLETED

    async def _drain(self) -> None:
        stream = self._stream
        await stream.drain()
        if stream.response_complete:
            raise ProtocolClosed

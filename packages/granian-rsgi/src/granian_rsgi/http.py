"""The RSGI protocol object of an HTTP request.

The body is read once, whole or piece by piece. The response is sent by the first
responder that is called; each does its work at the call, except the file responders:
they start a task, which the exchange waits for before it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from granian_core import ClientDisconnected, send_file
from granian_rsgi.errors import ProtocolClosed, ProtocolError
from granian_rsgi.headers import HeaderPairs, encode_headers
from granian_rsgi.transport import HTTPStreamTransport

if TYPE_CHECKING:
    from granian_core import Data, HTTPStream

# The body: nobody has asked for it / it is read whole / it is iterated over / the
# iteration met its end / the iteration met a truncated body.
_UNREAD, _WHOLE, _ITERATED, _ENDED, _TRUNCATED = range(5)


class HTTPProtocol:
    """Reads the body of one request and sends its response."""

    __slots__ = ("_body", "_responded", "_stream")

    def __init__(self, stream: HTTPStream) -> None:
        self._stream = stream
        self._body = _UNREAD
        self._responded = False

    # -- body in ---------------------------------------------------------------

    def __call__(self) -> Coroutine[Any, Any, bytes]:
        """Read the whole body.

        Returns:
            An awaitable of the body. It raises `ProtocolClosed` if the body is truncated.

        Raises:
            ProtocolError: The body has been asked for already.
        """
        if self._body != _UNREAD:
            raise ProtocolError
        self._body = _WHOLE
        return self._read_whole()

    async def _read_whole(self) -> bytes:
        stream = self._stream
        try:
            data = stream.read_nowait()
            if data is None:
                data = await stream.read()
            if stream.body_complete:
                return data  # a read takes all that is there
            parts = [data]
            while data := await stream.read():
                parts.append(data)
        except ClientDisconnected:
            raise ProtocolClosed from None
        return b"".join(parts)

    def __aiter__(self) -> HTTPProtocol:
        """Iterate over the body as it arrives; the last chunk is empty.

        A truncated body ends with an empty chunk too; then `ProtocolClosed` is raised.

        Raises:
            ProtocolError: The body has been asked for already.
        """
        if self._body != _UNREAD:
            raise ProtocolError
        self._body = _ITERATED
        return self

    def __anext__(self) -> Coroutine[Any, Any, bytes]:
        if self._body == _ITERATED:
            return self._read_chunk()
        if self._body == _TRUNCATED:
            self._body = _ENDED
            raise ProtocolClosed
        raise StopAsyncIteration("stream exhausted")

    async def _read_chunk(self) -> bytes:
        stream = self._stream
        try:
            data = stream.read_nowait()
            if data is None:
                data = await stream.read()
        except ClientDisconnected:
            self._body = _TRUNCATED
            return b""
        if not data:
            self._body = _ENDED
        return data

    def client_disconnect(self) -> asyncio.Future[None]:
        """Return a future that ends when the client is gone; cancel it to stop waiting."""
        return self._stream.wait_disconnect()

    # -- response out ----------------------------------------------------------
    #
    # A second response is ignored, as RSGI servers do; only `response_stream`, which
    # has a transport to return, raises. Faults in the arguments leave the response
    # unsent, so that an error handler of the application can still answer.

    def early_hints(self, headers: HeaderPairs) -> None:
        """Send 103 Early Hints (RFC 8297) before the response; nothing once that was sent.

        Clients of HTTP/1.0 get none. (Deviation: RSGI has no such method.)

        Raises:
            TypeError: *headers* is not a sequence of 2-tuples of str.
            LocalProtocolError: A field is invalid.
        """
        fields = encode_headers(headers)
        if not self._responded:
            self._stream.inform(103, fields)

    def response_empty(self, status: int = 200, headers: HeaderPairs = ()) -> None:
        """Send a response without a body.

        Raises:
            TypeError: *headers* is not a sequence of 2-tuples of str.
            LocalProtocolError: The status or a field is invalid.
        """
        if not self._responded:
            self._stream.respond(status, encode_headers(headers))
            self._responded = True

    def response_str(self, status: int = 200, headers: HeaderPairs = (), body: str = "") -> None:
        """Send *body*, encoded as UTF-8. The errors are those of `response_bytes`."""
        if not isinstance(body, str):
            raise TypeError(f"body must be str, not {type(body).__name__}")
        if not self._responded:
            self._stream.respond(status, encode_headers(headers), body.encode())
            self._responded = True

    def response_bytes(
        self, status: int = 200, headers: HeaderPairs = (), body: Data = b""
    ) -> None:
        """Send *body*.

        Raises:
            TypeError: *body* is not bytes, bytearray or memoryview, or *headers* is not
                a sequence of 2-tuples of str.
            LocalProtocolError: The status or a field is invalid, or the body is longer
                than its Content-Length.
        """
        if type(body) is not bytes and not isinstance(body, (bytes, bytearray, memoryview)):
            raise TypeError(f"body must be bytes, not {type(body).__name__}")
        if not self._responded:
            self._stream.respond(status, encode_headers(headers), body)
            self._responded = True

    def response_file(self, status: int, headers: HeaderPairs, file: str) -> None:
        """Send the file at the path *file*; 404 if it can not be opened.

        Sending starts at once and goes on beside the application.

        Raises:
            TypeError: *file* is not str, or *headers* is not a sequence of 2-tuples of str.
        """
        self._respond_file(status, headers, file, 0, None)

    def response_file_range(
        self, status: int, headers: HeaderPairs, file: str, start: int, end: int
    ) -> None:
        """Send the bytes from *start* to before *end* of the file at the path *file*.

        The rest is as in `response_file`. The fields that describe the range
        (Content-Range) are the application's.

        Raises:
            ValueError: The range is empty or negative.
        """
        if not 0 <= start < end:
            raise ValueError("Invalid range")
        self._respond_file(status, headers, file, start, end)

    def _respond_file(
        self, status: int, headers: HeaderPairs, file: str, start: int, end: int | None
    ) -> None:
        if not isinstance(file, str):
            raise TypeError(f"file must be str, not {type(file).__name__}")
        if not self._responded:
            fields = encode_headers(headers)
            sending = send_file(self._stream, status, fields, file, start, end)
            self._stream.sending = asyncio.get_running_loop().create_task(sending)
            self._responded = True

    def response_stream(self, status: int = 200, headers: HeaderPairs = ()) -> HTTPStreamTransport:
        """Send a response head; the body follows through the transport returned.

        The response ends when the application returns. If the application raises, it
        is cut off, so that the client can not take it for complete.

        Raises:
            ProtocolError: A response has been sent already.
            TypeError: *headers* is not a sequence of 2-tuples of str.
            LocalProtocolError: The status or a field is invalid.
        """
        if self._responded:
            raise ProtocolError
        stream = self._stream
        stream.start(status, encode_headers(headers))
        stream.finish_on_return = True
        self._responded = True
        return HTTPStreamTransport(stream)

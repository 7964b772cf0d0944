"""The client's end of an in-memory connection, with a response parser."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import h11

from granian_core.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from granian_core.testing.memory import MemoryTransport

Pairs = list[tuple[bytes, bytes]]

DEFAULT_TIMEOUT = 30.0
"""Seconds after which a wait gives up, so that a broken test fails rather than hangs."""

MAX_HEAD = 1 << 20
"""Largest response head, in bytes, that the parser takes."""


@dataclass(slots=True)
class MemoryResponse:
    """One HTTP/1.1 response as the client parsed it."""

    status: int
    headers: Pairs
    """``(name, value)`` pairs, names lower-case, wire order, repeats kept."""
    reason: bytes
    http_version: str
    """``"1.1"`` or ``"1.0"``."""
    body: bytes = b""
    """The whole content, chunked framing removed."""
    trailers: Pairs = field(default_factory=list)
    informational: list[MemoryResponse] = field(default_factory=list)
    """The 1xx responses that came before this one."""

    def header(self, name: bytes) -> bytes | None:
        """Return the value of the first field called *name*, or None."""
        lower = name.lower()
        return next((value for key, value in self.headers if key == lower), None)

    def header_values(self, name: bytes) -> list[bytes]:
        """Return the values of all fields called *name*, in order."""
        lower = name.lower()
        return [value for key, value in self.headers if key == lower]


class MemoryClient:
    """A client on one in-memory connection.

    Args:
        transport: The server's end, already joined to its protocol.
        timeout: Seconds that one wait may take; None for no bound (with a clock that
            jumps, see `granian_core.testing.ClockEventLoop`).
    """

    def __init__(
        self, transport: MemoryTransport, *, timeout: float | None = DEFAULT_TIMEOUT
    ) -> None:
        self.transport = transport
        self.timeout = timeout
        self._position = 0

    # -- sending -----------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send bytes as one segment; the server has seen them when this returns.

        (Unless it has paused reading: then it sees them when it resumes.)
        """
        self.transport.feed(data)

    def send_bytewise(self, data: bytes) -> None:
        """Send every byte in a segment of its own."""
        for index in range(len(data)):
            self.transport.feed(data[index : index + 1])

    def send_request(
        self,
        method: str = "GET",
        target: str = "/",
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
    ) -> None:
        """Send a well-formed HTTP/1.1 request.

        ``Host`` is added if it is absent, and ``Content-Length`` if there is a body and
        no framing of the caller's.
        """
        names = {name.lower() for name, _ in headers}
        lines = [f"{method} {target} HTTP/1.1".encode("latin-1")]
        if b"host" not in names:
            lines.append(b"Host: testserver")
        lines += [b"%b: %b" % pair for pair in headers]
        if body and not names & {b"content-length", b"transfer-encoding"}:
            lines.append(b"Content-Length: %d" % len(body))
        self.send(b"\r\n".join([*lines, b"", body]))

    def send_eof(self) -> None:
        """Half-close: send FIN and go on reading."""
        self.transport.feed_eof()

    def close(self) -> None:
        """Send FIN and read nothing any more; the server's next write is reset."""
        self.transport.feed_eof(closed=True)

    def abort(self) -> None:
        """Reset the connection."""
        self.transport.reset()

    # -- receiving ---------------------------------------------------------------

    @property
    def output(self) -> bytes:
        """Every byte that the server has sent so far, read or not."""
        return bytes(self.transport.output)

    @property
    def unread(self) -> bytes:
        """The bytes that no `receive_response` or `read_until_close` has consumed."""
        return bytes(self.transport.output[self._position :])

    @property
    def closed(self) -> bool:
        """Whether the server has ended its side (a close, or a half-close)."""
        return self.transport.output_ended

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* is true; it is tried whenever the transport changes.

        Raises:
            TimeoutError: It did not become true within `timeout`.
        """
        try:
            await asyncio.wait_for(self._wait_for(condition), self.timeout)
        except asyncio.TimeoutError:  # before 3.11 not the built-in one
            raise TimeoutError(f"no progress; unread so far: {self.unread[:500]!r}") from None

    async def _wait_for(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self.transport.wait_changed()

    async def read_until_close(self) -> bytes:
        """Wait for the server's end of file; return what was unread until then."""
        await self.wait_for(lambda: self.closed)
        data = self.unread
        self._position += len(data)
        return data

    async def wait_ended(self) -> None:
        """Wait until the server's protocol was told ``connection_lost``."""
        await self.wait_for(lambda: self.transport.ended)

    async def receive_response(self, method: str = "GET") -> MemoryResponse:
        """Wait for one response and return it.

        Args:
            method: The method of the request that it answers: a response to HEAD has no
                content whatever its fields say.

        Raises:
            RemoteProtocolError: The server sent something that is not HTTP/1.1, cut the
                response short, or closed without one.
            TimeoutError: The response was not complete within `timeout`.
        """
        parser = _ResponseParser(method)
        while True:
            data = self.unread
            self._position += len(data)
            response = parser.receive(data, ended=self.closed)
            if response is not None:
                self._position -= len(parser.rest)
                return response
            await self.wait_for(lambda: bool(self.unread) or self.closed)

    async def request(
        self,
        method: str = "GET",
        target: str = "/",
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
    ) -> MemoryResponse:
        """Send a request (see `send_request`) and wait for its response."""
        self.send_request(method, target, headers, body)
        return await self.receive_response(method)


class _ResponseParser:
    """One response, parsed by h11 in the client's role."""

    def __init__(self, method: str) -> None:
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        request = h11.Request(method=method, target="/", headers=[("Host", "testserver")])
        self._connection.send(request)
        self._connection.send(h11.EndOfMessage())
        self._informational: list[MemoryResponse] = []
        self._response: MemoryResponse | None = None
        self._body = bytearray()

    @property
    def rest(self) -> bytes:
        """The bytes after the response."""
        return self._connection.trailing_data[0]

    def receive(self, data: bytes, *, ended: bool) -> MemoryResponse | None:
        """Parse more bytes; return the response once it is complete."""
        try:
            complete = self._parse(data) if data else None
            if complete is None and ended:
                complete = self._parse_end()
        except h11.RemoteProtocolError as exc:
            raise RemoteProtocolError(str(exc)) from exc
        return complete

    def _parse_end(self) -> MemoryResponse | None:
        if self._response is None and not self.rest:
            raise RemoteProtocolError("the server closed without a response")
        return self._parse(b"")

    def _parse(self, data: bytes) -> MemoryResponse | None:
        self._connection.receive_data(data)
        while True:
            event = self._connection.next_event()
            if isinstance(event, h11.InformationalResponse):
                self._informational.append(_response(event))
            elif isinstance(event, h11.Response):
                self._response = _response(event)
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return self._complete(event)
            else:  # NEED_DATA
                return None

    def _complete(self, event: h11.EndOfMessage) -> MemoryResponse:
        response = self._response
        assert response is not None, "h11 ends a message only after its head"
        response.body = bytes(self._body)
        response.trailers = list(event.headers)
        response.informational = self._informational
        return response


def _response(event: h11.Response | h11.InformationalResponse) -> MemoryResponse:
    return MemoryResponse(
        status=event.status_code,
        headers=list(event.headers),
        reason=bytes(event.reason),
        http_version=event.http_version.decode("ascii"),
    )

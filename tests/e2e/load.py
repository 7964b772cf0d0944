"""A load client that knows for each request whether any byte of its answer came.

`Load` keeps connections busy with GETs. What may happen to a request without any fault of
the server: it is answered; or it was sent on a *reused* connection that then closes without
a byte of answer, and is tried again (RFC 9112 §9.3.1); or nobody listens any more. Everything
else, a fresh connection that is reset or an answer that is cut, is a fault and is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from dataclasses import dataclass, field

READ_TIMEOUT = 60.0
"""Seconds after which a silent server counts as a fault; a test's last resort."""


@dataclass
class Result:
    """What became of the requests.

    Attributes:
        answered: Whole answers with status 200.
        retried: Requests on a reused connection that closed without a byte of answer.
        refused: Connections that nobody accepted.
        faults: Everything that should not have happened, in words.
        pids: Answers by the worker that gave them.
    """

    answered: int = 0
    retried: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)
    pids: Counter[str] = field(default_factory=Counter)


class Load:
    """Keeps *connections* connections to the server busy.

    Args:
        host: Where.
        port: Where.
        connections: How many at a time.
        path: What is asked for.
        reuse: Requests on one connection before the client opens another.
        tls: Speak TLS, trusting what this does.
        may_be_refused: Whether "connection refused" ends the load instead of being a fault.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        connections: int = 16,
        path: str = "/",
        reuse: int = 50,
        tls: ssl.SSLContext | None = None,
        may_be_refused: bool = False,
    ) -> None:
        self.result = Result()
        self.may_be_refused = may_be_refused
        self._address = (host, port)
        self._connections = connections
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._reuse = reuse
        self._tls = tls
        self._name = "localhost" if tls is not None else None
        self._ending = False
        self._tasks: list[asyncio.Task[None]] = []
        self._progress = asyncio.Condition()

    async def __aenter__(self) -> Load:
        """Start."""
        self._tasks = [asyncio.ensure_future(self._client()) for _ in range(self._connections)]
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Let every client finish the request that it is at."""
        await self.end()

    async def end(self) -> Result:
        """Stop after the requests that are on their way; return what became of all."""
        self._ending = True
        await asyncio.gather(*self._tasks)
        return self.result

    async def wait_answered(self, more: int) -> None:
        """Wait until *more* further answers have come."""
        goal = self.result.answered + more
        async with self._progress:
            await self._progress.wait_for(lambda: self.result.answered >= goal)

    async def wait_workers(self, count: int) -> None:
        """Wait until *count* workers have answered; which one accepts a client is chance."""
        async with self._progress:
            seen = self._progress.wait_for(lambda: len(self.result.pids) >= count)
            await asyncio.wait_for(seen, READ_TIMEOUT)

    async def wait_refused(self) -> None:
        """Wait until every client has found that nobody listens."""
        await asyncio.gather(*self._tasks)

    async def _client(self) -> None:
        while not self._ending:
            try:
                reader, writer = await asyncio.open_connection(
                    *self._address, ssl=self._tls, server_hostname=self._name
                )
            except OSError as exc:
                self.result.refused += 1
                if not self.may_be_refused:
                    self.result.faults.append(f"refused: {exc!r}")
                return
            try:
                await self._connection(reader, writer)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(self._reuse):
            if self._ending:
                return
            received = bytearray()
            try:
                writer.write(self._request)
                again = await asyncio.wait_for(self._answer(reader, received), READ_TIMEOUT)
            except (OSError, EOFError, asyncio.TimeoutError) as exc:
                if received:
                    self.result.faults.append(f"cut after {bytes(received)!r}: {exc!r}")
                elif number == 0:
                    self.result.faults.append(f"no answer on a fresh connection: {exc!r}")
                elif isinstance(exc, asyncio.TimeoutError):
                    self.result.faults.append("no answer in time")
                else:
                    self.result.retried += 1
                return
            if not again:
                return

    async def _answer(self, reader: asyncio.StreamReader, received: bytearray) -> bool:
        """Read one answer; say whether the connection may be used again."""
        while not received.endswith(b"\r\n\r\n"):
            byte = await reader.read(1) if len(received) < 4 else await reader.readline()
            if not byte:
                raise EOFError
            received += byte
        head = bytes(received).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        while length:
            data = await reader.read(length)
            if not data:
                raise EOFError
            received += data
            length -= len(data)
        if not head.startswith(b"http/1.1 200 "):
            self.result.faults.append(f"not 200: {head!r}")
        self.result.pids[head.partition(b"x-pid:")[2].partition(b"\r\n")[0].strip().decode()] += 1
        self.result.answered += 1
        async with self._progress:
            self._progress.notify_all()
        return b"connection: close" not in head

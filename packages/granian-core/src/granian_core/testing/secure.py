"""A connection in memory whose bytes are encrypted on their way, as they are over TLS."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from granian_core.testing.memory import DEFAULT_LOCAL, DEFAULT_PEER, MemoryTransport

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping


class MemoryTLSTransport(MemoryTransport):
    """The server's end of a TLS connection in memory; the client's session is inside.

    `feed` and `output` are in the clear, so that a client need not know; `writes`, the write
    buffer and `take` are what would be on the wire.

    Args:
        loop: As for `MemoryTransport`.
        context: What the client trusts and offers.
        peername: As for `MemoryTransport`.
        sockname: The same.
        extra: The same.
    """

    scheme = "https"

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext,
        *,
        peername: object = DEFAULT_PEER,
        sockname: object = DEFAULT_LOCAL,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(loop, peername=peername, sockname=sockname, extra=extra)
        self._from_server, self._to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(
            self._from_server, self._to_server, server_hostname="localhost"
        )
        self._open = False
        self._notified = False

    def connect(self, protocol: asyncio.Protocol) -> None:
        """Join *protocol* to this transport, and shake hands.

        Raises:
            ssl.SSLError: The server refused, or is not to be trusted.
        """
        super().connect(protocol)
        while not self._open:
            try:
                self._session.do_handshake()
            except ssl.SSLWantReadError:
                pass
            else:
                self._open = True
            super().feed(self._to_server.read())
            if not self._open and not self._from_server.pending:
                raise ssl.SSLError("the server left the handshake")

    @property
    def output_ended(self) -> bool:
        """Whether the client has seen the end of what the server sends: its close_notify too."""
        return self._notified or super().output_ended

    def feed(self, data: bytes) -> None:
        """Deliver bytes from the client, encrypted."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._session.write(rest) :]
        super().feed(self._to_server.read())

    def _receive(self, data: bytes) -> None:
        self._from_server.write(data)
        if not self._open:
            return
        try:
            while content := self._session.read(65_536):
                self.output += content
            self._notified = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._notified = True

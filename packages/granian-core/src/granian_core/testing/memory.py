"""A client and a server joined in memory: no sockets, no sleeping, no ports.

`MemoryTransport` stands where asyncio's socket transport would; `MemoryClient` is the
other end of it; `MemoryServer` runs a real `granian_core.Server` whose connections are
joined that way. What a client sends reaches the protocol at once, in the caller's frame;
what the server writes is in `MemoryClient.output` at once.

The transport keeps asyncio's rules: reading may be paused, writing past the high-water
mark pauses the protocol, ``connection_lost`` comes once and never in the caller's frame.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT_PEER = ("127.0.0.1", 50_000)
DEFAULT_LOCAL = ("127.0.0.1", 8000)

HIGH_WATER = 65_536
"""Default write buffer limit in bytes, the same as asyncio's."""


class MemoryTransport(asyncio.Transport):
    """The server's end of a connection that exists in memory only.

    Bytes that are written are taken by the client at once. While `stalled` is true the
    client takes none: they stay in the write buffer, and the protocol is paused and
    resumed at the buffer's limits, as for a peer that does not read.

    Args:
        loop: The loop on which ``connection_lost`` is called.
        peername: What ``get_extra_info("peername")`` returns.
        sockname: What ``get_extra_info("sockname")`` returns.
        extra: Further values for ``get_extra_info`` (``ssl_object`` …). There is never a
            ``socket``.

    Attributes:
        output: Every byte that the client took so far.
        writes: Every call of `write` in order; joined it is `output` plus what is buffered.
        discarded: How many bytes were written after the connection had ended.
        reading_paused: Whether the protocol has paused reading.
        writing_paused: Whether the protocol was asked to pause writing.
        eof_written: Whether the server has half-closed its side.
        peer_eof: Whether the client has half-closed its own.
    """

    scheme = "http"

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        peername: object = DEFAULT_PEER,
        sockname: object = DEFAULT_LOCAL,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__({"peername": peername, "sockname": sockname, **(extra or {})})
        self.output = bytearray()
        self.writes: list[bytes] = []
        self.discarded = 0
        self.reading_paused = False
        self.writing_paused = False
        self.eof_written = False
        self._loop = loop
        self._protocol: asyncio.Protocol | None = None
        self._incoming: deque[bytes | None] = deque()
        self._delivering = False
        self.peer_eof = False
        self._peer_closed = False
        self._buffer = bytearray()
        self._stalled = False
        self._high = HIGH_WATER
        self._low = HIGH_WATER // 4
        self._closing = False
        self._lost = False
        self._ended = False
        self._changed = asyncio.Event()

    # -- what the protocol calls -------------------------------------------------

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that was attached with `connect`."""
        assert self._protocol is not None, "the transport is not connected"
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection over to another protocol (an upgrade)."""
        if not hasattr(protocol, "data_received"):
            raise TypeError("MemoryTransport needs the methods of asyncio.Protocol")
        self._protocol = cast("asyncio.Protocol", protocol)

    def is_reading(self) -> bool:
        """Whether bytes from the client reach the protocol."""
        return not self.reading_paused and not self._closing

    def pause_reading(self) -> None:
        """Keep what the client sends until `resume_reading`."""
        self.reading_paused = True
        self._changed.set()

    def resume_reading(self) -> None:
        """Deliver what was kept, on the next turn of the loop."""
        if not self.reading_paused:
            return
        self.reading_paused = False
        self._changed.set()
        if self._incoming:
            self._loop.call_soon(self._deliver)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hand bytes to the client, or keep them while it is `stalled`."""
        if self.eof_written:
            raise RuntimeError("cannot write after write_eof")
        if not data:
            return
        if self._closing:
            self.discarded += len(data)
            return
        if self._peer_closed:  # what a real peer answers with a reset
            self.discarded += len(data)
            self._lose(ConnectionResetError("the client has closed the connection"))
            return
        self.writes.append(bytes(data))
        self._buffer += data
        if not self._stalled:
            self.take()
        self._check_limits()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Write the pieces as one."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Half-closing is supported, unless the connection poses as TLS."""
        return self.get_extra_info("ssl_object") is None

    def write_eof(self) -> None:
        """Half-close: the client sees the end once it has taken what is buffered."""
        self.eof_written = True
        self._changed.set()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limits in bytes, with asyncio's rules for what is left out."""
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be >= low ({low}) must be >= 0")
        self._high, self._low = high, low
        self._check_limits()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return ``(low, high)`` in bytes."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the client has not taken yet."""
        return len(self._buffer)

    def is_closing(self) -> bool:
        """Whether the connection is closing or has ended."""
        return self._closing

    def close(self) -> None:
        """End the connection once the client has taken what is buffered."""
        if self._closing:
            return
        self._closing = True
        self._changed.set()
        if not self._buffer:
            self._lose(None)

    def abort(self) -> None:
        """End the connection at once; what is buffered is lost."""
        self._lose(None)

    # -- what the test calls -----------------------------------------------------

    def connect(self, protocol: asyncio.Protocol) -> None:
        """Join *protocol* to this transport and tell it so."""
        self._protocol = protocol
        protocol.connection_made(self)

    @property
    def stalled(self) -> bool:
        """Whether the client takes nothing. Setting it to False lets everything flow."""
        return self._stalled

    @stalled.setter
    def stalled(self, value: bool) -> None:
        self._stalled = value
        if not value:
            self.take()

    @property
    def ended(self) -> bool:
        """Whether ``connection_lost`` was called."""
        return self._ended

    @property
    def output_ended(self) -> bool:
        """Whether the client has seen the end of what the server sends."""
        return self._lost or (self.eof_written and not self._buffer)

    def take(self, count: int | None = None) -> bytes:
        """Let the client take *count* bytes of the write buffer; all of it if None."""
        taken = bytes(self._buffer if count is None else self._buffer[:count])
        if taken:
            del self._buffer[: len(taken)]
            self._receive(taken)
            self._changed.set()
        self._check_limits()
        if self._closing and not self._buffer:
            self._lose(None)
        return taken

    def feed(self, data: bytes) -> None:
        """Deliver bytes from the client, now or when reading is resumed."""
        if self.peer_eof:
            raise RuntimeError("the client has already sent its end of file")
        if data:
            self._incoming.append(data)
            self._deliver()

    def feed_eof(self, *, closed: bool = False) -> None:
        """Deliver the client's FIN.

        Args:
            closed: The client reads nothing any more either: the first write of the
                server ends the connection with `ConnectionResetError`.
        """
        self._peer_closed = self._peer_closed or closed
        if not self.peer_eof:
            self.peer_eof = True
            self._incoming.append(None)
            self._deliver()

    def reset(self) -> None:
        """End the connection as a peer's RST does."""
        self._lose(ConnectionResetError("the client has reset the connection"))

    async def wait_changed(self) -> None:
        """Wait until bytes were taken or a flag of this transport has changed."""
        self._changed.clear()
        await self._changed.wait()

    # -- inside ------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        """Take what has left the write buffer, as the client."""
        self.output += data

    def _deliver(self) -> None:
        if self._delivering:  # the protocol made the client send more: keep the order
            return
        self._delivering = True
        try:
            while self._incoming and self.is_reading():
                self._deliver_one(self._incoming.popleft())
        finally:
            self._delivering = False

    def _deliver_one(self, data: bytes | None) -> None:
        assert self._protocol is not None, "the transport is not connected"
        if data is not None:
            self._protocol.data_received(data)
        elif not self._protocol.eof_received():
            self.close()

    def _check_limits(self) -> None:
        if self._protocol is None or self._lost:
            return
        size = len(self._buffer)
        if size > self._high and not self.writing_paused:
            self.writing_paused = True
            self._changed.set()
            self._protocol.pause_writing()
        elif size <= self._low and self.writing_paused:
            self.writing_paused = False
            self._changed.set()
            self._protocol.resume_writing()

    def _lose(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._buffer.clear()
        self._incoming.clear()
        self._changed.set()
        self._loop.call_soon(self._call_connection_lost, exc)

    def _call_connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._changed.set()
        if self._protocol is not None:
            self._protocol.connection_lost(exc)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the constructor was given for *name*."""
        return super().get_extra_info(name, default)

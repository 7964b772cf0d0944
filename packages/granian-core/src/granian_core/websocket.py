"""The WebSocket half of the interface protocol API: what an adapter will be handed.

No connection of this version hands one out: a factory whose ``websockets`` is False is
never asked, and upgrade requests are served as plain HTTP (RFC 9110 7.8 allows a
server to ignore Upgrade).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from granian_core.stream import Address, Fields, Headers
    from granian_core.tls import TLSInfo


class WebSocketStream(Protocol):
    """One WebSocket, from its handshake to its close (RFC 6455, RFC 8441)."""

    http_version: str
    scheme: str
    path: str
    raw_path: bytes
    query_string: bytes
    headers: Fields
    subprotocols: list[str]
    client: Address | None
    server: Address | None
    tls: TLSInfo | None

    def accept(self, subprotocol: str | None = None, headers: Headers = ()) -> None:
        """Complete the handshake."""

    def reject(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        """Answer the handshake with an ordinary response."""

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            ClientDisconnected: The WebSocket is closed.
        """

    def send(self, message: str | bytes) -> None:
        """Queue a message. Follow it with `drain`."""

    async def drain(self) -> None:
        """Wait until the peer has taken enough of what was queued."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Start, or answer, the closing handshake."""

"""Facts about the TLS session of a connection, as streams carry them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TLSInfo:
    """What the handshake settled; the fields follow the ASGI TLS extension."""

    version: int | None
    """The protocol version number: 0x0303 is TLS 1.2, 0x0304 is TLS 1.3."""
    cipher_suite: int | None
    """The IANA number of the cipher suite."""
    server_cert: str | None
    """Our own certificate, PEM."""
    client_cert_chain: tuple[str, ...] = ()
    """The peer's certificates, PEM, its own first; empty if it sent none."""
    client_cert_name: str | None = None
    """The distinguished name of the peer's certificate (RFC 4514)."""
    client_cert_error: str | None = None
    """Why the peer's certificate did not verify, where that is tolerated."""

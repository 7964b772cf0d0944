"""A real server without sockets, for the tests of adapters."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from typing import TYPE_CHECKING

from granian_core.server import Server
from granian_core.settings import ServerConfig, TLSSettings
from granian_core.testing.client import DEFAULT_TIMEOUT, MemoryClient
from granian_core.testing.http2 import MemoryHTTP2Client
from granian_core.testing.memory import DEFAULT_LOCAL, DEFAULT_PEER, MemoryTransport
from granian_core.testing.remote import RemoteInterface
from granian_core.testing.secure import MemoryTLSTransport

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from granian_core.interface import Interface
    from granian_core.testing.certs import CertificateFiles

_CLIENTS = {"1.1": MemoryClient, "2": MemoryHTTP2Client}
_ALPN = {"1.1": "http/1.1", "2": "h2"}


class MemoryServer:
    """Run an interface in a `granian_core.Server` that listens nowhere.

    Use it as an asynchronous context manager inside a running loop::

        async with MemoryServer(Echo()) as server:
            response = await server.connect().request("POST", "/", body=b"hello")

    Deadlines are those of the loop's clock: on a `ClockEventLoop` they pass at once (give
    ``timeout=None`` there, else the client's patience jumps by too).

    Args:
        interface: The interface under test.
        config: The server's settings.
        timeout: Seconds that one wait of a client may take, see `MemoryClient`.
        http_version: What the clients speak: ``"1.1"`` or ``"2"``.
        tls: A certificate to serve TLS with, or None; clients agree on the version by ALPN.

    Attributes:
        http_version: The default of the argument; tests may set it for all of a suite.
        remote: Keep the application apart from the connections, as I/O threads do; tests
            may set it for all of a suite.
        tls: The default of the argument; the same.
        server: The server itself, for what this class has no method for.
        clients: Every client that was connected, in order.
    """

    http_version = "1.1"
    remote = False
    tls: CertificateFiles | None = None

    def __init__(
        self,
        interface: Interface,
        config: ServerConfig | None = None,
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        http_version: str | None = None,
        tls: CertificateFiles | None = None,
    ) -> None:
        config = config or ServerConfig()
        version = http_version or self.http_version
        self._trust: ssl.SSLContext | None = None
        if (files := tls or self.tls) is not None:
            settings = TLSSettings(certificate=(files.certificate,), keyfile=(files.key,))
            config = dataclasses.replace(config, tls=settings)
            self._trust = ssl.create_default_context(cafile=str(files.authority))
            self._trust.set_alpn_protocols([_ALPN[version]])
        if self.remote:
            interface = RemoteInterface(interface, config)
        self.server = Server(interface, config=config)
        self.clients: list[MemoryClient] = []
        self._timeout = timeout
        self._client_class = _CLIENTS[version]

    async def __aenter__(self) -> MemoryServer:
        await self.server.__aenter__()
        # Deadlines follow the loop's clock, which a `ClockEventLoop` lets jump; the sweep
        # starts them anew.
        clock = asyncio.get_running_loop().time
        self.server.context.clock = clock
        self.server.sweep(clock())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A test that wants to see the grace stops the server itself.
        self.server.idle_grace = 0.0
        if exc is not None:
            # A test that failed leaves requests half sent: nobody waits for their rest.
            for client in self.clients:
                client.abort()
        await self.server.__aexit__(exc_type, exc, traceback)

    def connect(
        self,
        *,
        peername: object = DEFAULT_PEER,
        sockname: object = DEFAULT_LOCAL,
        extra: Mapping[str, object] | None = None,
    ) -> MemoryClient:
        """Open a connection.

        Args:
            peername: The client's address; ``""`` poses as a unix socket's client.
            sockname: The listener's address; a path poses as a unix socket.
            extra: Further values for the transport's ``get_extra_info``.
        """
        loop = asyncio.get_running_loop()
        transport: MemoryTransport
        if self._trust is None:
            transport = MemoryTransport(loop, peername=peername, sockname=sockname, extra=extra)
        else:
            transport = MemoryTLSTransport(
                loop, self._trust, peername=peername, sockname=sockname, extra=extra
            )
        transport.connect(self.server.connection_factory())
        client = self._client_class(transport, timeout=self._timeout)
        self.clients.append(client)
        return client

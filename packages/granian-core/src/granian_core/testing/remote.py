"""An interface whose application is kept apart from its connections, on one loop.

Everything that I/O threads do to an exchange happens, without a thread: what differs from an
application on the connections' own loop, differs here too, and every time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from granian_core.channel import Channel
from granian_core.interface import BaseInterface
from granian_core.runtime.application import ApplicationContext, BridgedInterface
from granian_core.server import task_spawner

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from granian_core.interface import Interface
    from granian_core.settings import ServerConfig
    from granian_core.stream import HTTPStream
    from granian_core.websocket import WebSocketStream


class RemoteInterface(BaseInterface):
    """See the module.

    Args:
        interface: The interface under test.
        config: The server's settings.
    """

    _bridge: BridgedInterface

    def __init__(self, interface: Interface, config: ServerConfig) -> None:
        self._interface = interface
        self._config = config
        self.websockets = interface.websockets

    def setup(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pass on."""
        self._interface.setup(loop)

    async def startup(self) -> None:
        """Pass on; from then on there is an application."""
        await self._interface.startup()
        loop = asyncio.get_running_loop()
        spawn = task_spawner(loop, self._config.task_impl)
        context = ApplicationContext(loop, self._interface, self._config, spawn)
        self._bridge = BridgedInterface(context, Channel(loop), websockets=self.websockets)

    def handle_http(self, stream: HTTPStream) -> None:
        """Hand an exchange over."""
        self._bridge.handle_http(stream)

    def handle_websocket(self, stream: WebSocketStream) -> Awaitable[None]:
        """Hand a WebSocket over."""
        return self._bridge.handle_websocket(stream)

    async def shutdown(self) -> None:
        """Pass on."""
        await self._interface.shutdown()

    def teardown(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pass on."""
        self._interface.teardown(loop)

"""What the connections of one worker share although they live on several loops.

Permits are the streams in one set. All contexts are *pressed* together, and let go together:
the flags change under one lock, while what a request does (put itself into the set, look at
a flag) takes none. Two loops may take the last permit in the same instant, so that there can
be as many requests above the limit as there are further loops; not more.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from granian_core.context import ConnectionContext

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from granian_core.access import AccessLogger
    from granian_core.interface import Interface
    from granian_core.server import Spawn
    from granian_core.settings import ServerConfig
    from granian_core.stream import HTTPStream
    from granian_core.websocket.stream import WebSocketStream


class Permits:
    """The permits of a worker.

    Args:
        limit: How many there are.

    Attributes:
        streams: The requests that hold them.
        contexts: Those of all loops.
    """

    __slots__ = ("_limit", "_lock", "contexts", "streams")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self.streams: set[HTTPStream] = set()
        self.contexts: list[SharedContext] = []

    def press(self) -> None:
        """No permit is left: let every loop know."""
        with self._lock:
            for context in self.contexts:
                context.pressed = context.attention = True
        # A permit may have been given back by somebody who could not see the flags yet.
        for context in self.contexts:
            context.call(context.relieve)

    def settle(self) -> bool:
        """Lift the pressure if there is a permit that nobody waits for; say if that was so."""
        with self._lock:
            if len(self.streams) >= self._limit or any(one.waiting for one in self.contexts):
                return False
            for context in self.contexts:
                context.pressed = False
                context.attention = context.draining
                if context.draining:  # since we looked; its loop has asked for attention
                    context.attention = True
            if len(self.streams) < self._limit:
                return True
            # Taken meanwhile, by somebody who may have seen the flags still set.
            for context in self.contexts:
                context.pressed = context.attention = True
            return False


class SharedContext(ConnectionContext):
    """The context of one I/O loop: its permits are the worker's."""

    __slots__ = ("_permits",)

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interface: Interface,
        config: ServerConfig,
        spawn: Spawn,
        access_log: AccessLogger | None,
        permits: Permits,
    ) -> None:
        super().__init__(loop, interface, config, spawn, access_log)
        self._permits = permits
        self.streams = permits.streams
        permits.contexts.append(self)

    @property
    def exchanges(self) -> list[HTTPStream | WebSocketStream]:
        """Whatever on this loop has an application that is not done."""
        own = [one for one in list(self.streams) if one.carrier.loop is self.loop]
        return [*own, *self.websockets]

    def call(self, function: Callable[[], None]) -> None:
        """Have *function* called on this loop; not at all once it has closed."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(function)

    def _press(self) -> None:
        if not self.pressed:
            self._permits.press()

    def relieve(self) -> None:
        """Let held-back requests go on while permits are free, here and on the other loops."""
        while self.waiting and len(self.streams) < self.limit:
            self.waiting.popleft().admit()
        was_pressed = self.pressed
        settled = self._permits.settle()
        for context in self._permits.contexts:
            if context is not self:
                if context.waiting and len(self.streams) < self.limit:
                    context.call(context.relieve)
                elif settled and was_pressed:
                    context.call(context.change)
        self.on_change()

    def change(self) -> None:
        """Look at what has changed."""
        self.on_change()

"""What an ASGI application looks like to a type checker.

Scopes and messages are dictionaries whose values depend on their ``type``; the
specification calls for dictionaries, so the values stay `Any`.

Spec: ASGI 3.0, "Applications".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
"""What a connection is: an HTTP request, or the lifespan of the process."""
Message: TypeAlias = MutableMapping[str, Any]
"""One event, in either direction; ``type`` says which."""
Receive: TypeAlias = Callable[[], Awaitable[Message]]
"""Gives the application its next event."""
Send: TypeAlias = Callable[[Message], Awaitable[None]]
"""Takes an event from the application."""
ASGIApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI 3 application; a plain function that returns an awaitable is one too."""

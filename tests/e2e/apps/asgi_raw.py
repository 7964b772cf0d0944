"""ASGI applications without a framework, for what frameworks do not do."""

from __future__ import annotations

import json

from granian_asgi import Receive, Scope, Send


async def refuses_to_start(scope: Scope, receive: Receive, send: Send) -> None:
    """Fail in the lifespan's startup."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database here"})


async def exits_at_start(scope: Scope, receive: Receive, send: Send) -> None:
    """Try to end the process in the lifespan's startup."""
    raise SystemExit(9)


async def no_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what the scope says of both ends; know nothing of lifespans."""
    assert scope["type"] == "http", "only http here"
    content = f"{scope['server']!r} {scope['client']!r}".encode()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": content})


async def tls_facts(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with scheme and TLS extension, as JSON."""
    assert scope["type"] == "http", "only http here"
    facts = {"scheme": scope["scheme"], "tls": scope["extensions"].get("tls")}
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": json.dumps(facts).encode()})


def takes_too_little(scope: Scope) -> None:
    """Look like ASGI 2."""

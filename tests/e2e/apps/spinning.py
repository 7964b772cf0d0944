"""Applications that compute without a pause while the file ``SPINNING`` exists.

``/spin`` computes; anything else is answered at once.
"""

from __future__ import annotations

import os
import sys
from typing import Any


def spin() -> None:
    """Compute, and never let anybody else of the thread have a turn."""
    path = os.environ["SPINNING"]
    sys.stdout.write("spinning\n")
    sys.stdout.flush()
    count = 0
    while count % 10_000 or os.path.exists(path):
        count += 1


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve ASGI."""
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    if scope["path"] == "/spin":
        spin()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answered"})


async def rsgi(scope: Any, protocol: Any) -> None:
    """Serve RSGI."""
    if scope.path == "/spin":
        spin()
    protocol.response_bytes(200, [], b"answered")

"""RSGI: ``granian --interface rsgi --working-dir examples rsgi_app:app``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from granian_rsgi import HTTPProtocol, Scope


async def app(scope: Scope, protocol: HTTPProtocol) -> None:
    """Say hello, or send a posted body back."""
    headers = [("content-type", "text/plain; charset=utf-8")]
    if scope.method == "POST":
        protocol.response_bytes(200, headers, await protocol())
    else:
        protocol.response_str(200, headers, "Hello from RSGI\n")

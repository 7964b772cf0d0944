"""Emmett55: ``granian --interface rsgi --working-dir examples emmett_app:app``."""

from __future__ import annotations

from emmett55 import App, request

app = App(__name__)


@app.route("/", methods=["get", "post"], output="bytes")
async def hello() -> bytes:
    """Say hello, or send a posted body back."""
    if request.method == "POST":
        return bytes(await request.body)
    return b"Hello from Emmett\n"

"""Falcon: ``granian --interface wsgi --working-dir examples falcon_app:app``."""

from __future__ import annotations

import falcon


class Hello:
    """The one resource."""

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Say hello."""
        response.content_type = falcon.MEDIA_TEXT
        response.text = "Hello from Falcon\n"

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Send a posted body back."""
        response.data = request.bounded_stream.read()


app = falcon.App()
app.add_route("/", Hello())

"""Early hints: ``environ["wsgi.early_hints"]``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from granian_core import LocalProtocolError
from tests.wsgi.serving import fetch

LINK = ("Link", "</a.css>; rel=preload; as=style")


@pytest.mark.usefixtures("wire")
def test_hints_come_before_the_response(transport: str) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["wsgi.early_hints"]([LINK])
        start_response("200 OK", [])
        environ["wsgi.early_hints"]([LINK, ("X-A", "1")])  # the head has not left yet
        return [b"body"]

    reply = asyncio.run(fetch(application, transport))

    assert reply.informational == [103, 103]
    assert (reply.status, reply.body, reply.complete) == (200, b"body", True)


def test_wrong_hints_raise_and_can_be_made_good() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        hint = environ["wsgi.early_hints"]
        with pytest.raises(LocalProtocolError, match="control character"):
            hint([("Link", "a\r\nb")])
        with pytest.raises(TypeError, match="must be a list"):
            hint((LINK,))
        start_response("200 OK", [])
        yield b"body"
        with pytest.raises(LocalProtocolError, match="already started"):
            hint([LINK])

    reply = asyncio.run(fetch(application))

    assert (reply.informational, reply.body, reply.complete) == ([], b"body", True)

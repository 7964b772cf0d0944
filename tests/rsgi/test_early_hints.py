"""Early hints: ``protocol.early_hints``."""

from __future__ import annotations

import pytest

from granian_core import LocalProtocolError
from granian_rsgi import HTTPProtocol, HTTPScope
from tests.rsgi.support import exchange, fetch

pytestmark = pytest.mark.usefixtures("wire")

LINK = ("Link", "</a.css>; rel=preload; as=style")


async def hinting(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    protocol.early_hints([LINK])
    protocol.early_hints([("link", "</b>"), ("X-A", "1")])
    protocol.response_str(200, [], "x")
    protocol.early_hints([LINK])  # too late: nothing


def test_hints_come_before_the_response() -> None:
    response = fetch(hinting)

    first, second = response.informational
    assert (first.status, first.headers) == (103, [(b"link", LINK[1].encode())])
    assert second.headers == [(b"link", b"</b>"), (b"x-a", b"1")]
    assert response.body == b"x"


def test_a_client_of_http_1_0_gets_none() -> None:
    wire = exchange(hinting, b"GET / HTTP/1.0\r\n\r\n")

    assert b"103" not in wire.partition(b"\r\n")[0]
    assert b"link" not in wire


def test_wrong_fields_raise_and_can_be_made_good() -> None:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        with pytest.raises(LocalProtocolError, match="CR, LF"):
            protocol.early_hints([("link", "a\r\nb")])
        with pytest.raises(TypeError):
            protocol.early_hints([(b"link", b"a")])  # type: ignore[list-item]
        protocol.response_str(200, [], "recovered")

    response = fetch(application)

    assert (response.informational, response.body) == ([], b"recovered")

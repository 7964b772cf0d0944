"""Extensions of the response: trailers, early hints, zero-copy send, debug, push."""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path
from typing import Any

import pytest

from granian_asgi import Receive, Scope, Send
from granian_core import LocalProtocolError, RemoteProtocolError
from granian_core.files import BLOCK_SIZE
from granian_core.testing import MemoryClient
from tests.asgi.support import body, request, respond, start, with_client
from tests.wires import over_cleartext_http1, over_http1

pytestmark = pytest.mark.usefixtures("wire")

TRAILERS = [(b"grpc-status", b"0"), (b"grpc-message", b"")]


def sending(*messages: dict[str, Any]) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def refused(text: str, *messages: dict[str, Any]) -> None:
    """The last message raises; the application can still answer if nothing was sent."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages[:-1]:
            await send(message)
        with pytest.raises(LocalProtocolError, match=text):
            await send(messages[-1])
        ended.append(True)

    ended: list[bool] = []
    with_client(app, _one_request)
    assert ended == [True]


async def _one_request(client: MemoryClient) -> None:
    client.send_request()
    with contextlib.suppress(RemoteProtocolError):  # what was begun may be cut
        await client.receive_response()


def trailers(*fields: tuple[bytes, bytes], more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.trailers", "headers": list(fields), "more_trailers": more}


def zero_copy(file: object, **more: object) -> dict[str, Any]:
    return {"type": "http.response.zerocopysend", "file": file, **more}


# -- what is advertised ----------------------------------------------------------


def extensions_of(version: bytes) -> set[str]:
    seen: list[set[str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(set(scope["extensions"]))
        await respond(send)

    async def scenario(client: MemoryClient) -> None:
        client.send(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version)
        await client.receive_response()

    with_client(app, scenario)
    return seen[0]


@over_cleartext_http1
def test_only_what_works_is_advertised() -> None:
    both = {"http.response.pathsend", "http.response.zerocopysend"}

    assert extensions_of(b"1.0") == both
    assert extensions_of(b"1.1") == both | {"http.response.trailers", "http.response.early_hint"}


def test_debug_is_advertised_where_it_is_written(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="_granian.asgi"):
        assert "http.response.debug" in extensions_of(b"1.1")
        info = {"type": "http.response.debug", "info": {"template": "a.html"}}
        assert request(sending(info, start(), body(b"x"))).body == b"x"
    assert "a.html" in caplog.text


def test_push_is_refused_with_a_reason() -> None:
    refused("push is not supported", {"type": "http.response.push", "path": "/", "headers": []})


# -- trailers --------------------------------------------------------------------


def test_trailers_follow_the_body() -> None:
    response = request(sending(start(trailers=True), body(b"x"), trailers(*TRAILERS)))

    assert response.body == b"x"
    assert response.trailers == TRAILERS


def test_trailers_may_be_lists_with_other_bytes() -> None:
    fields: Any = [[name, bytearray(value)] for name, value in TRAILERS]
    response = request(sending(start(trailers=True), body(b"x"), trailers(*fields)))

    assert response.trailers == TRAILERS


def test_trailers_may_come_in_several_messages() -> None:
    response = request(
        sending(
            start(trailers=True),
            body(b"x", more=True),
            body(b"y"),
            trailers(TRAILERS[0], more=True),
            trailers(TRAILERS[1]),
        )
    )

    assert (response.body, response.trailers) == (b"xy", TRAILERS)


@over_http1
def test_trailers_that_have_no_place_are_dropped() -> None:
    app = sending(
        start(200, [(b"content-length", b"1")], trailers=True), body(b"x"), trailers(*TRAILERS)
    )

    response = request(app)

    assert (response.body, response.trailers) == (b"x", [])


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("No trailers announced", [trailers()]),
        ("No trailers announced", [start(), body(b"x"), trailers()]),
        ("No trailers announced", [start(trailers=True), trailers()]),
        ("trailers are due", [start(trailers=True), body(b"x"), body(b"y")]),
        ("No trailers announced", [start(trailers=True), body(), trailers(), trailers()]),
        ("Unsupported", [start(trailers=True), body(), {"type": "http.response.trailers"}]),
        ("pairs of bytes", [start(trailers=True), body(), trailers((b"a", None))]),  # type: ignore[arg-type]
        ("must not stand", [start(trailers=True), body(), trailers((b"content-length", b"1"))]),
    ],
)
def test_trailers_out_of_order_or_malformed(text: str, messages: list[dict[str, Any]]) -> None:
    refused(text, *messages)


# -- early hints -----------------------------------------------------------------


def hint(*links: object) -> dict[str, Any]:
    return {"type": "http.response.early_hint", "links": list(links)}


def test_early_hints_come_before_the_response() -> None:
    response = request(sending(hint(b"</a>; rel=preload", b"</b>"), hint(), start(), body(b"x")))

    (informational,) = response.informational
    assert informational.status == 103
    assert informational.headers == [(b"link", b"</a>; rel=preload"), (b"link", b"</b>")]
    assert response.body == b"x"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("already started", [start(), hint(b"</a>")]),
        ("already finished", [start(), body(b"x"), hint(b"</a>")]),
        ("Unsupported", [{"type": "http.response.early_hint"}]),
        ("Unsupported", [hint("</a>")]),
        ("Unsupported", [hint(5)]),
        ("CR, LF", [hint(b"</a>\r\nx: y")]),
    ],
)
def test_early_hints_out_of_order_or_malformed(text: str, messages: list[dict[str, Any]]) -> None:
    refused(text, *messages)


# -- zero-copy send --------------------------------------------------------------

CONTENT = bytes(range(256)) * (2 * BLOCK_SIZE // 256) + b"rest"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "content.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize(
    ("offset", "count", "expected"),
    [
        (None, None, CONTENT),
        (0, 5, CONTENT[:5]),
        (7, None, CONTENT[7:]),
        (3, BLOCK_SIZE, CONTENT[3 : 3 + BLOCK_SIZE]),
        (len(CONTENT), None, b""),
        (5, 0, b""),
    ],
)
def test_parts_of_a_file(
    file: Path, offset: int | None, count: int | None, expected: bytes
) -> None:
    with file.open("rb") as opened:
        response = request(sending(start(), zero_copy(opened, offset=offset, count=count)))

    assert response.body == expected
    assert response.header(b"content-length") == b"%d" % len(expected)


def test_without_an_offset_it_begins_where_the_file_stands(file: Path) -> None:
    with file.open("rb") as opened:
        opened.read(10)
        assert request(sending(start(), zero_copy(opened))).body == CONTENT[10:]
        assert request(sending(start(), zero_copy(opened.fileno(), offset=1))).body == CONTENT[1:]


def test_fields_before_a_file_may_be_lists(file: Path) -> None:
    fields: Any = [[b"x-kind", b"list"]]
    with file.open("rb") as opened:
        response = request(sending(start(200, fields), zero_copy(opened)))

    assert (response.header(b"x-kind"), response.body) == (b"list", CONTENT)


def test_it_mixes_with_other_pieces_of_the_body(file: Path) -> None:
    with file.open("rb") as opened:
        app = sending(
            start(),
            body(b"<", more=True),
            zero_copy(opened, count=3, offset=0, more_body=True),
            zero_copy(opened, count=2, offset=9, more_body=True),
            body(b">"),
        )
        response = request(app)

    assert response.body == b"<" + CONTENT[:3] + CONTENT[9:11] + b">"


def test_head_sends_no_content(file: Path) -> None:
    with file.open("rb") as opened:
        response = request(sending(start(), zero_copy(opened)), "HEAD")

    assert response.header(b"content-length") == b"%d" % len(CONTENT)
    assert response.body == b""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("descriptor", zero_copy(io.BytesIO(b"x"))),
        ("descriptor", zero_copy(None)),
        ("descriptor", {"type": "http.response.zerocopysend"}),
        ("Unsupported", zero_copy(0, offset=-1)),
        ("Unsupported", zero_copy(0, count="all")),
    ],
)
def test_malformed_zero_copy(text: str, message: dict[str, Any]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        with pytest.raises(LocalProtocolError, match=text):
            await send(message)
        await send(body(b"recovered"))

    assert request(app).body == b"recovered"


@over_http1
def test_a_file_shorter_than_promised_cuts_the_response(file: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with file.open("rb") as opened:
            await send(start(200, [(b"content-length", b"%d" % (len(CONTENT) + 1))]))
            try:
                await send(zero_copy(opened, count=len(CONTENT) + 1, offset=0))
            except LocalProtocolError as exc:
                errors.append(str(exc))

    errors: list[str] = []

    async def scenario(client: MemoryClient) -> bytes:
        client.send_request()
        return await client.read_until_close()

    wire = with_client(app, scenario)

    assert wire.endswith(CONTENT)
    assert errors == ["the response body is shorter than its Content-Length"]


def test_before_the_start_it_is_refused(file: Path) -> None:
    with file.open("rb") as opened:
        refused("not started", zero_copy(opened))

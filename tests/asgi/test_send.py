"""``send``: how the response leaves."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable, Sequence

import pytest

from granian_asgi import Receive, Scope, Send
from granian_core.testing import MemoryClient, MemoryResponse
from tests.asgi.support import body, read_body, request, respond, serve, start, with_client
from tests.wires import on_one_loop, over_cleartext_http1, over_http1

pytestmark = pytest.mark.usefixtures("wire")


def answering(*messages: dict[str, object]) -> object:
    """Return an application that sends *messages*."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


@over_cleartext_http1
def test_one_body_message_makes_one_write_with_its_length() -> None:
    async def scenario(client: MemoryClient) -> tuple[MemoryResponse, int]:
        response = await client.request()
        return response, len(client.transport.writes)

    app = answering(start(201, [(b"content-type", b"text/plain")]), body(b"hello"))
    response, writes = with_client(app, scenario)

    assert (response.status, response.body) == (201, b"hello")
    assert response.header(b"content-length") == b"5"
    assert response.header(b"content-type") == b"text/plain"
    assert response.header(b"server") == b"granian"
    assert response.header(b"date") is not None
    assert writes == 1


@over_http1
@on_one_loop
def test_the_head_waits_for_the_first_body_message() -> None:
    outputs: list[bytes] = []

    async def scenario(client: MemoryClient) -> None:
        clients.append(client)
        await client.request()

    clients: list[MemoryClient] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        outputs.append(clients[0].output)
        await asyncio.sleep(0)
        await send(body(more=True))
        await asyncio.sleep(0)  # what one turn of the loop sends leaves together
        outputs.append(clients[0].output)
        await send(body())

    with_client(app, scenario)

    assert outputs[0] == b""
    assert outputs[1].startswith(b"HTTP/1.1 200 OK\r\n")


@over_http1
@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-type", b"text/event-stream")],
        [(b"x", b"y"), (b"Content-Type", b"Text/Event-Stream; charset=utf-8")],
        [(b"content-type", b"TEXT/EVENT-STREAM"), (b"y", b"12345e78901234567890")],
    ],
)
def test_the_head_of_an_event_stream_leaves_at_once(headers: list[tuple[bytes, bytes]]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, headers))
        await read_head.wait()
        await send(body(b"data: 1\n\n", more=True))
        await send(body())

    read_head = asyncio.Event()

    async def scenario(client: MemoryClient) -> bytes:
        client.send_request()
        await client.wait_for(lambda: client.output.endswith(b"\r\n\r\n"))
        read_head.set()
        return (await client.receive_response()).body

    assert with_client(app, scenario) == b"data: 1\n\n"


@pytest.mark.parametrize(
    "field",
    [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-type", b"text/enriched; x=abcdefgh"),
        (b"content-type", b"text/event-strea"),
        (b"accept", b"text/event-stream"),
        (b"x", b"     e           "),
    ],
)
def test_the_head_of_anything_else_waits(field: tuple[bytes, bytes]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, [field]))
        raise ValueError("before a byte has left")

    assert request(app).status == 500


@over_http1
def test_a_body_in_pieces_is_chunked() -> None:
    app = answering(start(), body(b"one ", more=True), body(b"two ", more=True), body(b"three"))

    response = request(app)

    assert response.body == b"one two three"
    assert response.header(b"transfer-encoding") == b"chunked"
    assert response.header(b"content-length") is None


def test_a_declared_length_frames_a_body_in_pieces() -> None:
    app = answering(
        start(200, [(b"content-length", b"8")]), body(b"one ", more=True), body(b"two ")
    )

    response = request(app)

    assert response.body == b"one two "
    assert response.header(b"content-length") == b"8"
    assert response.header(b"transfer-encoding") is None


def test_empty_pieces_send_nothing_and_end_nothing() -> None:
    app = answering(
        start(), body(b"", more=True), body(b"x", more=True), body(b"", more=True), body()
    )

    assert request(app).body == b"x"


def test_http_1_0_gets_an_undelimited_stream() -> None:
    async def scenario(client: MemoryClient) -> bytes:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        return await client.read_until_close()

    output = with_client(answering(start(), body(b"a", more=True), body(b"b")), scenario)

    assert b"chunked" not in output
    assert output.endswith(b"\r\n\r\nab")


def test_headers_may_be_absent() -> None:
    response = request(answering({"type": "http.response.start", "status": 204}, body()))

    assert response.status == 204


def test_everything_but_the_types_has_a_default() -> None:
    app = answering({"type": "http.response.start", "status": 200}, {"type": "http.response.body"})

    assert request(app).body == b""


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-a", b"1"), (b"x-a", b"2")],
        [[b"x-a", b"1"], [b"x-a", b"2"]],
        ((b"x-a", b"1"), (b"x-a", b"2")),
        lambda: iter([(b"X-A", b"1"), (b"x-a", b"2")]),
    ],
    ids=["tuples", "lists", "a tuple", "an iterator"],
)
def test_headers_are_any_iterable_of_pairs_and_repeats_are_kept(
    headers: Sequence[object] | Callable[[], Sequence[object]],
) -> None:
    fields = headers() if callable(headers) else headers

    response = request(answering(start(200, fields), body()))

    assert response.header_values(b"x-a") == [b"1", b"2"]


@pytest.mark.parametrize("status", [http.HTTPStatus.IM_A_TEAPOT, 418], ids=["enum", "int"])
def test_a_status_of_the_standard_library_is_a_status(status: int) -> None:
    assert request(answering(start(status), body())).status == 418


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_body_is_any_kind_of_bytes(kind: type) -> None:
    assert request(answering(start(), body(kind(b"abc")))).body == b"abc"
    assert request(answering(start(), body(kind(b"abc"), more=True), body())).body == b"abc"


def test_a_buffer_may_be_used_again_after_send() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        buffer = bytearray(b"one ")
        await send(start())
        await send(body(buffer, more=True))
        buffer[:] = b"two "
        await send(body(buffer))

    assert request(app).body == b"one two "


def test_head_has_the_fields_and_no_content() -> None:
    response = request(answering(start(), body(b"12345")), "HEAD")

    assert response.header(b"content-length") == b"5"
    assert response.body == b""


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_content_drops_the_body(status: int) -> None:
    response = request(answering(start(status), body(b"dropped")))

    assert (response.status, response.body) == (status, b"")


def test_a_plain_function_that_returns_an_awaitable_is_an_application() -> None:
    def app(scope: Scope, receive: Receive, send: Send) -> object:
        return respond(send, b"plain")

    assert request(app).body == b"plain"


def test_send_acts_when_it_is_called() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        awaitables = [send(start()), send(body(b"one ", more=True)), send(body(b"two"))]
        for awaitable in reversed(awaitables):
            await awaitable

    assert request(app).body == b"one two"


def test_send_may_be_given_to_tasks() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.create_task(send(start()))  # type: ignore[arg-type]
        await asyncio.ensure_future(send(body(b"one ", more=True)))
        await asyncio.gather(send(body(b"two ", more=True)), send(body(b"three")))

    assert request(app).body == b"one two three"


@over_http1
def test_send_waits_for_a_client_that_does_not_read() -> None:
    sent: list[int] = []
    blocked = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for number in range(100):
            awaitable = asyncio.ensure_future(send(body(bytes(65_536), more=True)))
            await asyncio.sleep(0)
            if not awaitable.done():
                blocked.set()
            await awaitable
            sent.append(number)
        await send(body())

    async def scenario(client: MemoryClient) -> None:
        client.transport.stalled = True
        client.send_request()
        await blocked.wait()
        assert len(sent) < 5
        client.transport.stalled = False
        assert len((await client.receive_response()).body) == 100 * 65_536

    with_client(app, scenario)


@pytest.mark.parametrize("leave", [MemoryClient.abort, MemoryClient.close])
@pytest.mark.parametrize("in_pieces", [True, False])
def test_sending_to_a_client_that_left_is_silent(
    leave: object, in_pieces: bool, caplog: pytest.LogCaptureFixture
) -> None:
    gone, done = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gone.wait()
        await send(start())
        if in_pieces:
            for _ in range(10):
                await send(body(bytes(65_536), more=True))
        await send(body(b"end"))
        done.set()

    async def scenario(client: MemoryClient) -> None:
        client.send_request()
        leave(client)  # type: ignore[operator]
        gone.set()
        await done.wait()

    with_client(app, scenario)

    assert [record.getMessage() for record in caplog.records] == []


def test_a_client_that_leaves_wakes_a_blocked_send() -> None:
    blocked, done = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        while not done.is_set():
            awaitable = asyncio.ensure_future(send(body(bytes(65_536), more=True)))
            await asyncio.sleep(0)
            if not awaitable.done():
                blocked.set()
                await awaitable
                done.set()
        await send(body())

    async def scenario(client: MemoryClient) -> None:
        client.transport.stalled = True
        client.send_request()
        await blocked.wait()
        client.abort()
        await done.wait()

    with_client(app, scenario)


def test_requests_on_one_connection_follow_each_other() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, scope["path"].encode() + await read_body(receive))

    async def main() -> list[bytes]:
        async with serve(app) as server:
            client = server.connect()
            for number in range(3):
                client.send_request("POST", f"/{number}", body=b"!" * number)
            return [(await client.receive_response()).body for _ in range(3)]

    assert asyncio.run(main()) == [b"/0", b"/1!", b"/2!!"]


def test_trailers_announced_in_the_start_are_not_waited_for() -> None:
    assert request(answering(start(trailers=True), body(b"x"))).body == b"x"


@pytest.mark.parametrize("more", [1, "yes", [0]])
@pytest.mark.parametrize("last", [0, None, ""])
def test_more_body_may_be_whatever_is_true_or_false(more: object, last: object) -> None:
    pieces = [
        {"type": "http.response.body", "body": b"a", "more_body": flag} for flag in (more, last)
    ]

    assert request(answering(start(), *pieces)).body == b"aa"


@pytest.mark.parametrize(
    "value", [b"text/Event", b"0123-E-is-the-sixth-of-these", b".....events" * 3]
)
def test_values_of_fields_may_be_bytearrays(value: bytes) -> None:
    fields: list[object] = [(b"x-value", bytearray(value))]

    assert request(answering(start(200, fields), body(b"a"))).header(b"x-value") == value

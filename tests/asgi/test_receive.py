"""``receive``: the request body, its end, and the disconnect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from granian_asgi import Message, Receive, Scope, Send
from granian_core import InterfaceOptions
from granian_core.testing import MemoryClient
from tests.asgi.support import (
    body,
    echo,
    read_body,
    request,
    respond,
    serve,
    start,
    with_client,
)
from tests.wires import on_one_loop, over_cleartext, over_http1

pytestmark = pytest.mark.usefixtures("wire")

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
DISCONNECT: Message = {"type": "http.disconnect"}


def chunk(data: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


class Collector:
    """An application that keeps all it receives, says so, and answers at the end of the body."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.received: asyncio.Queue[Message] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            self.messages.append(message)
            self.received.put_nowait(message)
            more = message.get("more_body", False)
        await respond(send)


def test_a_request_without_a_body_is_one_empty_message() -> None:
    app = Collector()

    request(app)

    assert app.messages == [chunk(b"", more=False)]


def test_a_body_that_is_here_comes_in_one_message() -> None:
    app = Collector()

    request(app, "POST", "/", body=b"hello")

    assert app.messages == [chunk(b"hello", more=False)]


def test_pieces_come_as_they_arrive_and_the_last_one_says_so() -> None:
    app = Collector()

    async def scenario(client: MemoryClient) -> None:
        client.send(HEAD + b"Content-Length: 6\r\n\r\n")
        for piece, more in ((b"ab", True), (b"cd", True), (b"ef", False)):
            client.send(piece)
            assert await app.received.get() == chunk(piece, more=more)
        assert (await client.receive_response()).status == 200

    with_client(app, scenario)


def test_an_end_that_comes_alone_is_an_empty_last_message() -> None:
    app = Collector()

    async def scenario(client: MemoryClient) -> None:
        client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert await app.received.get() == chunk(b"abc", more=True)
        client.send(b"0\r\n\r\n")
        assert await app.received.get() == chunk(b"", more=False)
        await client.receive_response()

    with_client(app, scenario)


def test_a_large_body_arrives_whole_and_is_never_held_in_memory() -> None:
    content = bytes(range(256)) * 4096

    response = request(echo, "POST", "/", body=content)

    assert response.body == content


@over_http1
@on_one_loop
def test_reading_begins_when_receive_is_called() -> None:
    """100 Continue leaves at the call, before anything is awaited."""
    outputs: list[bytes] = []

    async def scenario(client: MemoryClient) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            outputs.append(client.output)
            awaitable = receive()
            outputs.append(client.output)
            await awaitable
            await respond(send)

        holder.append(app)
        client.send(HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        await client.wait_for(lambda: bool(client.output))
        client.send(b"ok")
        assert (await client.receive_response()).status == 200

    holder: list[Callable[[Scope, Receive, Send], Awaitable[None]]] = []

    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return holder[0](scope, receive, send)

    with_client(app, scenario)

    assert outputs == [b"", b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_no_continue_is_sent_to_an_application_that_never_reads() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"no")

    async def scenario(client: MemoryClient) -> bytes:
        client.send(HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        await client.receive_response()
        return client.output

    assert b"100 Continue" not in with_client(app, scenario)


def test_after_the_response_every_receive_is_a_disconnect() -> None:
    seen: list[Message] = []
    done = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await respond(send)
        seen.extend([await receive(), await receive()])
        done.set()

    async def scenario(client: MemoryClient) -> None:
        await client.request("POST", "/", body=b"x")
        await done.wait()

    with_client(app, scenario)

    assert seen == [DISCONNECT, DISCONNECT]


def test_an_unread_body_is_still_given_after_the_response() -> None:
    seen: list[Message] = []
    done = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send)
        seen.extend([await receive(), await receive()])
        done.set()

    async def scenario(client: MemoryClient) -> None:
        await client.request("POST", "/", body=b"late")
        await done.wait()

    with_client(app, scenario)

    assert seen == [chunk(b"late", more=False), DISCONNECT]


def test_a_pending_receive_is_woken_by_the_end_of_the_response() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        await respond(send)
        ended.append(await waiting)
        done.set()

    ended: list[Message] = []
    done = asyncio.Event()

    async def scenario(client: MemoryClient) -> None:
        await client.request()
        await done.wait()

    with_client(app, scenario)

    assert ended == [DISCONNECT]


Leave = Callable[[MemoryClient], None]


@pytest.mark.parametrize("leave", [MemoryClient.abort, MemoryClient.close, MemoryClient.send_eof])
def test_a_waiting_receive_feels_the_client_leave_and_nothing_is_cancelled(
    leave: Leave,
) -> None:
    seen: list[object] = []
    waits, done = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        waits.set()
        seen.append(await receive())
        await asyncio.sleep(0)
        await respond(send, b"to nobody, maybe")
        seen.append(await receive())
        done.set()

    async def scenario(client: MemoryClient) -> None:
        client.send_request()
        await waits.wait()
        leave(client)
        await done.wait()

    with_client(app, scenario)

    assert seen == [DISCONNECT, DISCONNECT]


@over_cleartext
def test_a_half_closed_client_gets_its_whole_answer() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        assert await receive() == DISCONNECT
        await send(start())
        for _ in range(3):
            await send(body(b"part ", more=True))
        await send(body())

    async def scenario(client: MemoryClient) -> bytes:
        client.send_request("POST", "/", body=b"x")
        client.send_eof()
        return (await client.receive_response()).body

    assert with_client(app, scenario) == b"part part part "


@pytest.mark.parametrize("leave", [MemoryClient.abort, MemoryClient.send_eof])
@pytest.mark.parametrize("waiting", [True, False], ids=["while waiting", "between calls"])
def test_leaving_inside_the_body_is_a_disconnect(leave: Leave, waiting: bool) -> None:
    seen: list[Message] = []
    first, done = asyncio.Event(), asyncio.Event()
    left = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await receive())
        first.set()
        if not waiting:
            await left.wait()
        seen.extend([await receive(), await receive()])
        done.set()

    async def scenario(client: MemoryClient) -> None:
        client.send(HEAD + b"Content-Length: 10\r\n\r\nabc")
        await first.wait()
        leave(client)
        await client.wait_ended()
        left.set()
        await done.wait()

    with_client(app, scenario)

    assert seen == [chunk(b"abc", more=True), DISCONNECT, DISCONNECT]


@over_http1
def test_a_broken_body_is_a_disconnect() -> None:
    app = Collector()

    async def scenario(client: MemoryClient) -> None:
        client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nnot a size\r\n")
        assert await app.received.get() == chunk(b"abc", more=True)
        assert await app.received.get() == DISCONNECT
        assert (await client.receive_response()).status == 400

    with_client(app, scenario)


def test_a_cancelled_receive_loses_nothing() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            task = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        cancelled.set()
        await respond(send, await read_body(receive))

    cancelled = asyncio.Event()

    async def scenario(client: MemoryClient) -> bytes:
        client.send(HEAD + b"Content-Length: 3\r\n\r\n")
        await cancelled.wait()
        client.send(b"abc")
        return (await client.receive_response()).body

    assert with_client(app, scenario) == b"abc"


def test_a_cancelled_wait_for_the_disconnect_can_be_repeated() -> None:
    """What frameworks do to ask whether the client is still there."""
    states: list[bool] = []
    polled, gone, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def is_gone(receive: Receive) -> bool:
        task = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        if task.done():
            return task.result() == DISCONNECT
        task.cancel()
        return False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        states.extend([await is_gone(receive), await is_gone(receive)])
        polled.set()
        await gone.wait()
        states.append(await is_gone(receive))
        done.set()

    async def scenario(client: MemoryClient) -> None:
        client.send_request()
        await polled.wait()
        client.abort()
        await client.wait_ended()
        gone.set()
        await done.wait()

    with_client(app, scenario)

    assert states == [False, False, True]


def test_two_receives_at_once_are_refused_to_the_second() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        first = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already being read"):
            await receive()
        ready.set()
        assert await first == chunk(b"abc", more=False)
        await respond(send)

    ready = asyncio.Event()

    async def scenario(client: MemoryClient) -> None:
        client.send(HEAD + b"Content-Length: 3\r\n\r\n")
        await ready.wait()
        client.send(b"abc")
        assert (await client.receive_response()).status == 200

    with_client(app, scenario)


@over_http1
def test_the_client_is_not_read_beyond_a_bound_while_the_application_does_not_read() -> None:
    read = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read.wait()
        await respond(send, str(len(await read_body(receive))).encode())

    async def main() -> None:
        async with serve(app, InterfaceOptions()) as server:
            client = server.connect()
            client.send(HEAD + b"Content-Length: 1000000\r\n\r\n")
            for _ in range(10):
                client.send(bytes(100_000))
            assert client.transport.reading_paused
            read.set()
            assert (await client.receive_response()).body == b"1000000"

    asyncio.run(main())

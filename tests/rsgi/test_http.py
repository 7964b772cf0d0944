"""The protocol object: the body in, the response out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from granian_core.testing import MemoryResponse, MemoryServer
from granian_rsgi import HTTPProtocol, HTTPScope, ProtocolClosed, ProtocolError
from tests.rsgi.support import SERVER_ERROR, exchange, fetch, serve
from tests.wires import over_http1

pytestmark = pytest.mark.usefixtures("wire")

Application = Callable[[HTTPScope, HTTPProtocol], Awaitable[None]]


def sending(respond: Callable[[HTTPProtocol], object]) -> Application:
    """Return an application that does nothing but call *respond*."""

    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        respond(protocol)

    return application


# -- the body --------------------------------------------------------------------


async def echo(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    protocol.response_bytes(200, [], await protocol())


@pytest.mark.parametrize("body", [b"", b"hello", b"x" * 1_000_000])
def test_the_whole_body_is_awaited(body: bytes) -> None:
    assert fetch(echo, "POST", body=body).body == body


def test_a_body_that_arrives_in_pieces_is_joined() -> None:
    async def scenario(server: MemoryServer) -> MemoryResponse:
        client = server.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n")
        for piece in (b"ab", b"cd", b"ef"):
            await asyncio.sleep(0)
            client.send(piece)
        return await client.receive_response()

    assert serve(echo, scenario).body == b"abcdef"


@pytest.mark.parametrize("wrap", [asyncio.ensure_future, asyncio.create_task])
def test_the_body_can_be_read_by_a_task(wrap: Callable[..., Awaitable[bytes]]) -> None:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        protocol.response_bytes(body=await asyncio.wait_for(wrap(protocol()), 5))

    assert fetch(application, "POST", body=b"hello").body == b"hello"


def test_asking_twice_for_the_body_raises_at_the_call() -> None:
    caught: list[str] = []

    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        await protocol()
        for ask in (protocol, protocol.__aiter__):
            with pytest.raises(ProtocolError, match="^RSGI protocol error$"):
                ask()
            caught.append("raised")
        protocol.response_empty()

    assert fetch(application, "POST", body=b"hello").status == 200
    assert caught == ["raised", "raised"]


def test_asking_for_the_body_during_an_iteration_raises_at_the_call() -> None:
    caught: list[str] = []

    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        async for _ in protocol:
            with pytest.raises(ProtocolError):
                protocol()
            with pytest.raises(ProtocolError):
                protocol.__aiter__()
            caught.append("raised")
        protocol.response_empty()

    assert fetch(application, "POST", body=b"hello").status == 200
    assert caught


@pytest.mark.parametrize(("body", "chunks"), [(b"", [b""]), (b"hello", [b"hello", b""])])
def test_iteration_ends_with_an_empty_chunk(body: bytes, chunks: list[bytes]) -> None:
    seen: list[bytes] = []

    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        seen.extend([chunk async for chunk in protocol])
        protocol.response_empty()

    assert fetch(application, "POST", body=body).status == 200
    assert seen == chunks


def test_iteration_yields_pieces_as_they_arrive() -> None:
    arrived = asyncio.Queue[bytes]

    async def scenario(server: MemoryServer) -> list[bytes]:
        client = server.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        seen = []
        for wire, piece in (
            (b"2\r\nab\r\n", b"ab"),
            (b"3\r\ncde\r\n", b"cde"),
            (b"0\r\n\r\n", b""),
        ):
            client.send(wire)
            seen.append(await queue.get())
            assert seen[-1] == piece
        assert (await client.receive_response()).status == 200
        return seen

    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        async for chunk in protocol:
            queue.put_nowait(chunk)
        protocol.response_empty()

    queue: asyncio.Queue[bytes]

    async def with_queue(server: MemoryServer) -> list[bytes]:
        nonlocal queue
        queue = arrived()
        return await scenario(server)

    assert serve(application, with_queue) == [b"ab", b"cde", b""]


def test_next_chunk_outside_an_iteration_ends_it() -> None:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        with pytest.raises(StopAsyncIteration, match="stream exhausted"):
            await protocol.__anext__()
        async for _ in protocol:
            pass
        with pytest.raises(StopAsyncIteration, match="stream exhausted"):
            await protocol.__anext__()
        protocol.response_empty()

    assert fetch(application, "POST", body=b"hello").status == 200


def truncate(application: Application) -> None:
    """Send half of a body to *application*, then leave; wait until it has ended."""

    async def scenario(server: MemoryServer) -> None:
        client = server.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        await asyncio.sleep(0)
        client.close()
        await client.wait_ended()

    serve(application, scenario)


def test_awaiting_a_truncated_body_raises() -> None:
    outcome: list[str] = []

    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        with pytest.raises(ProtocolClosed, match="^RSGI transport is closed$"):
            await protocol()
        outcome.append("raised")

    truncate(application)
    assert outcome == ["raised"]


def test_iterating_over_a_truncated_body_ends_with_an_empty_chunk_and_raises() -> None:
    seen: list[bytes] = []
    outcome: list[str] = []

    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        with pytest.raises(ProtocolClosed):
            async for chunk in protocol:
                seen.append(chunk)  # noqa: PERF401 - it raises in the middle
        with pytest.raises(StopAsyncIteration):
            await protocol.__anext__()
        outcome.append("raised")

    truncate(application)
    assert b"".join(seen) == b"half"
    assert seen[-1] == b""
    assert outcome == ["raised"]


@over_http1
def test_100_continue_is_sent_when_the_body_is_first_read() -> None:
    async def scenario(server: MemoryServer) -> MemoryResponse:
        client = server.connect()
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        await client.wait_for(lambda: client.output.startswith(b"HTTP/1.1 100 "))
        client.send(b"hi")
        return await client.receive_response()

    response = serve(echo, scenario)
    assert response.body == b"hi"
    assert [informational.status for informational in response.informational] == [100]


# -- disconnection ------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["close", "send_eof", "abort"])
def test_client_disconnect_ends_when_the_client_leaves(leave: str) -> None:
    async def scenario(server: MemoryServer) -> str:
        outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
            waiting = protocol.client_disconnect()
            assert not waiting.done()
            getattr(client, leave)()
            assert await waiting is None  # type: ignore[func-returns-value]
            await protocol.client_disconnect()  # at once, for it is gone already
            outcome.set_result("left")
            protocol.response_empty()

        applications.append(application)
        client = server.connect()
        client.send_request()
        return await asyncio.wait_for(outcome, 30)

    applications: list[Application] = []

    async def delegate(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        await applications[0](scope, protocol)

    assert serve(delegate, scenario) == "left"


def test_client_disconnect_can_be_cancelled_and_does_not_end_with_the_response() -> None:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        cancelled = protocol.client_disconnect()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        waiting = protocol.client_disconnect()
        protocol.response_str(200, [], "done")
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()

    assert fetch(application).body == b"done"


# -- responders ----------------------------------------------------------------------


def test_responders_have_defaults() -> None:
    for respond in (
        lambda protocol: protocol.response_empty(),
        lambda protocol: protocol.response_str(),
        lambda protocol: protocol.response_bytes(),
        lambda protocol: protocol.response_stream(),
    ):
        response = fetch(sending(respond))
        assert (response.status, response.body) == (200, b"")


@pytest.mark.parametrize(
    ("respond", "body"),
    [
        (lambda p: p.response_empty(status=418, headers=[("X-A", "1")]), b""),
        (lambda p: p.response_str(status=418, headers=[("X-A", "1")], body="é"), "é".encode()),
        (lambda p: p.response_bytes(status=418, headers=[("X-A", "1")], body=b"b"), b"b"),
        (lambda p: p.response_bytes(418, (("X-A", "1"),), bytearray(b"b")), b"b"),
        (lambda p: p.response_bytes(418, [("X-A", "1")], memoryview(b"abc")[::2]), b"ac"),
    ],
    ids=["empty", "str", "bytes", "bytearray", "memoryview"],
)
def test_responders_send_status_fields_and_body(
    respond: Callable[[HTTPProtocol], None], body: bytes
) -> None:
    response = fetch(sending(respond))

    assert response.status == 418
    assert response.header(b"x-a") == b"1"
    assert response.header(b"content-length") == b"%d" % len(body)
    assert response.header_values(b"server") == [b"granian"]
    assert response.body == body


def test_response_fields_keep_repeats_in_order_and_the_applications_server() -> None:
    headers = [("Set-Cookie", "a=1"), ("server", "mine"), ("set-cookie", "b=2"), ("x", "é")]

    response = fetch(sending(lambda protocol: protocol.response_empty(200, headers)))

    assert response.header_values(b"set-cookie") == [b"a=1", b"b=2"]
    assert response.header_values(b"server") == [b"mine"]
    assert response.header(b"x") == "é".encode()


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_content_sends_none(status: int) -> None:
    async def scenario(server: MemoryServer) -> tuple[MemoryResponse, MemoryResponse]:
        client = server.connect()
        return await client.request(), await client.request()

    first, second = serve(
        sending(lambda protocol: protocol.response_str(status, [], "no")), scenario
    )

    assert (first.status, first.body) == (status, b"")
    assert (second.status, second.body) == (status, b"")


def test_head_gets_the_length_and_no_body() -> None:
    response = fetch(sending(lambda protocol: protocol.response_str(200, [], "hello")), "HEAD")

    assert response.header(b"content-length") == b"5"
    assert response.body == b""


def test_the_first_response_wins() -> None:
    def respond(protocol: HTTPProtocol) -> None:
        protocol.response_str(200, [], "first")
        protocol.response_empty(500)
        protocol.response_str(500, [], "second")
        protocol.response_bytes(500, [], b"second")
        protocol.response_file(500, [], __file__)
        protocol.response_file_range(500, [], __file__, 0, 1)
        with pytest.raises(ProtocolError, match="^RSGI protocol error$"):
            protocol.response_stream(500)

    response = fetch(sending(respond))

    assert (response.status, response.body) == (200, b"first")


@pytest.mark.parametrize(
    "respond",
    [
        lambda protocol: protocol.response_bytes(200, [], "text"),
        lambda protocol: protocol.response_bytes(200, [], 5),
        lambda protocol: protocol.response_bytes(200, [], None),
        lambda protocol: protocol.response_str(200, [], b"bytes"),
        lambda protocol: protocol.response_str(200, [], None),
        lambda protocol: protocol.response_empty(200, {"a": "b"}),
        lambda protocol: protocol.response_stream(200, [("a", 1)]),
    ],
    ids=["str", "int", "none", "bytes as str", "none as str", "dict", "int value"],
)
def test_arguments_of_another_type_raise_and_leave_the_response_unsent(
    respond: Callable[[HTTPProtocol], object],
) -> None:
    def application(protocol: HTTPProtocol) -> None:
        with pytest.raises(TypeError, match="must be"):
            respond(protocol)
        protocol.response_str(200, [], "rescued")

    assert fetch(sending(application)).body == b"rescued"


@pytest.mark.parametrize("status", [-1, 0, 99, 1000, "200", None, True])
@pytest.mark.parametrize("responder", ["response_empty", "response_stream"])
def test_a_status_out_of_range_raises_and_leaves_the_response_unsent(
    responder: str, status: object
) -> None:
    def application(protocol: HTTPProtocol) -> None:
        with pytest.raises((RuntimeError, TypeError)):
            getattr(protocol, responder)(status)
        protocol.response_str(200, [], "rescued")

    assert fetch(sending(application)).body == b"rescued"


@pytest.mark.parametrize(
    "header",
    [
        ("x-a", "a\r\nx-injected: 1"),
        ("x-a", "a\nb"),
        ("x-a", "a\rb"),
        ("x-a", "a\0b"),
        ("x a", "b"),
        ("x-a:", "b"),
        ("x-a\r\nx-injected", "b"),
        ("", "b"),
        ("é", "b"),
    ],
)
@pytest.mark.parametrize("responder", ["response_empty", "response_stream"])
def test_a_field_that_would_split_the_response_raises(
    responder: str, header: tuple[str, str]
) -> None:
    """The peer server drops such a field; we refuse it, see SECURITY of the docs."""

    def application(protocol: HTTPProtocol) -> None:
        with pytest.raises(RuntimeError):
            getattr(protocol, responder)(200, [header])
        protocol.response_str(200, [], "rescued")

    response = fetch(sending(application))
    assert response.body == b"rescued"
    assert response.header(b"x-injected") is None


def test_a_body_longer_than_its_content_length_is_cut_and_raises() -> None:
    def application(protocol: HTTPProtocol) -> None:
        with pytest.raises(RuntimeError, match="longer than"):
            protocol.response_bytes(200, [("content-length", "2")], b"hello")

    wire = exchange(sending(application), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert wire.endswith(b"\r\n\r\nhe")


# -- streams -----------------------------------------------------------------------


@over_http1
def test_a_stream_sends_pieces_and_ends_with_the_application() -> None:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        transport = protocol.response_stream(201, [("x-a", "1")])
        await transport.send_bytes(b"a")
        await transport.send_bytes(bytearray(b"b"))
        await transport.send_bytes(memoryview(b"c"))
        await transport.send_bytes(b"")
        await transport.send_str("é")

    async def scenario(server: MemoryServer) -> list[MemoryResponse]:
        client = server.connect()
        return [await client.request(), await client.request()]

    for response in serve(application, scenario):
        assert response.status == 201
        assert response.header(b"transfer-encoding") == b"chunked"
        assert response.body == "abcé".encode()


def test_data_is_queued_at_the_call_awaited_or_not() -> None:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        transport = protocol.response_stream()
        transport.send_bytes(b"not awaited,")
        pending = transport.send_str("awaited late,")
        transport.send_bytes(b"last")
        await pending

    assert fetch(application).body == b"not awaited,awaited late,last"


@over_http1
def test_a_stream_to_http_1_0_ends_with_the_connection() -> None:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        assert scope.http_version == "1"
        await protocol.response_stream().send_bytes(b"hello")

    wire = exchange(application, b"GET / HTTP/1.0\r\n\r\n")
    assert wire.endswith(b"\r\n\r\nhello")
    assert b"chunked" not in wire


@pytest.mark.parametrize("data", ["text", 5, None, [b"a"]])
def test_send_bytes_takes_bytes_alone(data: object) -> None:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        with pytest.raises(TypeError, match="data must be bytes"):
            protocol.response_stream().send_bytes(data)  # type: ignore[arg-type]

    assert fetch(application).body == b""


@pytest.mark.parametrize("data", [b"bytes", 5, None])
def test_send_str_takes_str_alone(data: object) -> None:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        with pytest.raises(TypeError, match="data must be str"):
            protocol.response_stream().send_str(data)  # type: ignore[arg-type]

    assert fetch(application).body == b""


def test_sending_after_the_client_left_raises_when_awaited() -> None:
    outcome: list[str] = []

    async def scenario(server: MemoryServer) -> None:
        client = server.connect()
        client.send_request()
        await client.wait_for(lambda: b"first" in client.output)
        client.abort()
        await client.wait_ended()

    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        transport = protocol.response_stream()
        await transport.send_bytes(b"first")
        await protocol.client_disconnect()
        transport.send_bytes(b"not awaited: silent")
        for send in (transport.send_bytes, lambda _: transport.send_str("")):
            with pytest.raises(ProtocolClosed, match="^RSGI transport is closed$"):
                await send(b"x")
            outcome.append("raised")

    serve(application, scenario)
    assert outcome == ["raised", "raised"]


def test_a_stream_waits_for_a_slow_client() -> None:
    sent: list[int] = []

    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        transport = protocol.response_stream()
        for _ in range(64):
            await transport.send_bytes(b"x" * 65_536)
            sent.append(65_536)

    async def scenario(server: MemoryServer) -> MemoryResponse:
        client = server.connect()
        client.transport.stalled = True
        client.send_request()
        await client.wait_for(lambda: client.transport.writing_paused)
        for _ in range(20):
            await asyncio.sleep(0)
        assert sum(sent) < 1_000_000
        client.transport.stalled = False
        return await client.receive_response()

    assert len(serve(application, scenario).body) == 64 * 65_536


def test_a_client_that_leaves_wakes_a_waiting_stream() -> None:
    outcome: list[str] = []

    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        transport = protocol.response_stream()
        with pytest.raises(ProtocolClosed):
            for _ in range(1000):
                await transport.send_bytes(b"x" * 65_536)
        outcome.append("raised")

    async def scenario(server: MemoryServer) -> None:
        client = server.connect()
        client.transport.stalled = True
        client.send_request()
        await client.wait_for(lambda: client.transport.writing_paused)
        client.abort()
        await client.wait_ended()

    serve(application, scenario)
    assert outcome == ["raised"]


def test_sending_through_a_kept_transport_after_the_end_raises_when_awaited() -> None:
    async def scenario(server: MemoryServer) -> None:
        response = await server.connect().request()
        assert response.body == b"body"
        with pytest.raises(ProtocolClosed):
            await kept[0].send_bytes(b"late")

    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        transport = protocol.response_stream()
        kept.append(transport)
        await transport.send_bytes(b"body")

    kept: list[object] = []
    serve(application, scenario)  # type: ignore[arg-type]


@over_http1
def test_an_exception_in_mid_stream_cuts_the_response(caplog: pytest.LogCaptureFixture) -> None:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        await protocol.response_stream().send_bytes(b"part")
        raise KeyError("in mid-stream")

    with caplog.at_level(logging.ERROR, logger="_granian"):
        wire = exchange(application, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    assert wire.endswith(b"\r\n4\r\npart\r\n")  # no last chunk
    assert [record.message for record in caplog.records] == [
        "Application callable raised an exception"
    ]
    assert "in mid-stream" in caplog.text


@over_http1
def test_a_stream_longer_than_its_content_length_is_cut_and_raises() -> None:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        transport = protocol.response_stream(200, [("content-length", "3")])
        await transport.send_bytes(b"ab")
        with pytest.raises(RuntimeError, match="longer than"):
            transport.send_bytes(b"cd")

    wire = exchange(application, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert wire.endswith(b"\r\n\r\nabc")


@over_http1
def test_a_stream_shorter_than_its_content_length_closes_the_connection() -> None:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        await protocol.response_stream(200, [("content-length", "3")]).send_bytes(b"ab")

    wire = exchange(application, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    assert wire.endswith(b"\r\n\r\nab")
    assert wire.count(b"HTTP/1.1 200") == 1


# -- applications that give no answer -----------------------------------------------


async def returns_at_once(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    pass


async def raises_at_once(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    raise KeyError("no answer")


async def leaves_the_interpreter(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    raise SystemExit(3)


async def cancels_itself(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    raise asyncio.CancelledError


def is_not_asynchronous(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    pass


def raises_before_the_coroutine(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    raise KeyError("no coroutine")


async def sends_a_bad_field(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    protocol.response_empty(200, [("a", "b\r\n")])


@pytest.mark.parametrize(
    "application",
    [
        returns_at_once,
        raises_at_once,
        leaves_the_interpreter,
        cancels_itself,
        is_not_asynchronous,
        raises_before_the_coroutine,
        sends_a_bad_field,
    ],
)
def test_an_application_without_an_answer_is_a_500(
    application: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="_granian"):
        response = fetch(application)

    assert response.status == 500
    assert response.header(b"content-type") == b"text/plain; charset=utf-8"
    assert response.body == SERVER_ERROR
    assert len(caplog.records) == 1


def test_an_exception_after_the_response_is_logged_and_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        protocol.response_str(200, [], "sent")
        raise KeyError("too late")

    async def scenario(server: MemoryServer) -> list[bytes]:
        client = server.connect()
        return [(await client.request()).body, (await client.request()).body]

    with caplog.at_level(logging.ERROR, logger="_granian"):
        assert serve(application, scenario) == [b"sent", b"sent"]
    assert len(caplog.records) == 2


def test_a_plain_function_that_returns_an_awaitable_is_an_application() -> None:
    def application(scope: HTTPScope, protocol: HTTPProtocol) -> asyncio.Future[None]:
        protocol.response_str(200, [], scope.path)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    assert fetch(application, target="/a%20b").body == b"/a b"

"""Applications that break the rules: each fault has one outcome.

The application gets an error in its own frame; what it does not catch is logged once.
The client gets a 500 if no byte has left, else a cut connection: never a response that
passes for whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from granian_asgi import Receive, Scope, Send
from granian_core import InterfaceOptions, LocalProtocolError, RemoteProtocolError
from granian_core.testing import MemoryClient, MemoryResponse
from tests.asgi.support import (
    ERROR,
    body,
    read_body,
    request,
    respond,
    serve,
    start,
    with_client,
)
from tests.wires import over_http1

pytestmark = pytest.mark.usefixtures("wire")

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

RAISED = "Application callable raised an exception"


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return what was logged at ERROR, as (message, traceback's last line)."""
    return [
        (record.getMessage(), repr(record.exc_info[1]) if record.exc_info else "")
        for record in caplog.records
        if record.levelno >= logging.ERROR
    ]


async def outcome(client: MemoryClient) -> MemoryResponse | bytes:
    """Return the response, or what arrived of it when the connection was cut."""
    client.send_request()
    try:
        return await client.receive_response()
    except RemoteProtocolError:
        return client.output


# -- raising ---------------------------------------------------------------------


class Failure(BaseException):
    """Not an `Exception`: applications may raise anything."""


FAULTS = [
    ValueError("bug"),
    asyncio.CancelledError("self-inflicted"),
    SystemExit(3),
    Failure("base"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("messages", [0, 1], ids=["at once", "after start"])
def test_raising_before_a_byte_has_left_is_a_500(
    fault: BaseException, messages: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if messages:
            await send(start(200, [(b"x-secret", b"1")]))
        raise fault

    response = request(app)

    assert (response.status, response.body) == ERROR
    assert response.header(b"content-length") == b"21"
    assert response.header(b"content-type") == b"text/plain; charset=utf-8"
    assert response.header(b"x-secret") is None
    assert logged(caplog) == [(RAISED, repr(fault))]
    assert "raise fault" in caplog.text


@over_http1
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_raising_in_the_middle_cuts_the_response(
    fault: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"part", more=True))
        raise fault

    output = with_client(app, outcome)

    assert isinstance(output, bytes)
    assert output.endswith(b"\r\n\r\n4\r\npart\r\n")
    assert logged(caplog) == [(RAISED, repr(fault))]


def test_raising_after_the_end_is_logged_and_the_response_stands(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, scope["path"].encode())
        raise ValueError("too late")

    async def scenario(client: MemoryClient) -> list[bytes]:
        return [(await client.request("GET", target)).body for target in ("/1", "/2")]

    assert with_client(app, scenario) == [b"/1", b"/2"]
    assert logged(caplog) == [(RAISED, "ValueError('too late')")] * 2


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_raising_on_the_call_is_a_500(
    fault: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise fault

    response = request(app)

    assert (response.status, response.body) == ERROR
    assert logged(caplog) == [(RAISED, repr(fault))]


def test_raising_while_the_client_is_gone_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    gone = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gone.wait()
        raise ValueError("alone")

    async def scenario(client: MemoryClient) -> None:
        client.send_request()
        client.abort()
        await client.wait_ended()
        gone.set()
        await asyncio.sleep(0)

    with_client(app, scenario)

    assert logged(caplog) == [(RAISED, "ValueError('alone')")]


# -- returning -------------------------------------------------------------------


@pytest.mark.parametrize("messages", [0, 1], ids=["nothing sent", "start alone"])
def test_returning_without_a_response_is_a_500(
    messages: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if messages:
            await send(start())

    response = request(app)

    assert (response.status, response.body) == ERROR
    assert logged(caplog) == [("Application returned without a response", "")]


@over_http1
def test_returning_in_the_middle_cuts_the_response(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"part", more=True))

    output = with_client(app, outcome)

    assert isinstance(output, bytes)
    assert output.endswith(b"4\r\npart\r\n")
    assert logged(caplog) == [("Application returned without ending its response", "")]


@pytest.mark.parametrize("access_log", [False, True])
@pytest.mark.parametrize("value", [None, 42])
def test_a_plain_function_that_returns_no_awaitable_is_a_500(
    value: object, access_log: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def app(scope: Scope, receive: Receive, send: Send) -> object:
        return value

    async def main() -> MemoryResponse:
        async with serve(app, InterfaceOptions(access_log=access_log)) as server:
            return await server.connect().request()

    response = asyncio.run(main())

    assert (response.status, response.body) == ERROR
    ((message, error),) = logged(caplog)
    assert message == RAISED
    assert "TypeError" in error


@over_http1
def test_a_response_that_never_comes_leaves_when_the_client_does() -> None:
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        waits.set()
        seen.append(await receive())
        done.set()

    waits, done = asyncio.Event(), asyncio.Event()

    async def scenario(client: MemoryClient) -> bytes:
        client.send_request()
        await waits.wait()
        client.abort()
        await done.wait()
        return client.output

    assert with_client(app, scenario) == b""
    assert seen == [{"type": "http.disconnect"}]


# -- messages --------------------------------------------------------------------

UNSUPPORTED = "^Unsupported ASGI message$"
STARTED = "^ASGI flow error: Response already started$"
FINISHED = "^ASGI flow error: Response already finished$"
NOT_STARTED = "^ASGI flow error: Response not started$"
CLOSED = "^ASGI flow error: Transport not initialized or closed$"

START = start()
BODY = body(b"x")
MORE = body(b"x", more=True)
EVENTS = start(200, [(b"content-type", b"text/event-stream")])
PATH = {"type": "http.response.pathsend", "path": "/nonexistent"}

ORDERS = [
    ("body first", [], BODY, NOT_STARTED),
    ("piece first", [], MORE, NOT_STARTED),
    ("path first", [], PATH, NOT_STARTED),
    ("two starts", [START], START, STARTED),
    ("start in a stream", [START, MORE], START, STARTED),
    ("start after an event stream's", [EVENTS], START, STARTED),
    ("start after the end", [START, BODY], START, FINISHED),
    ("start after a streamed end", [START, MORE, BODY], START, FINISHED),
    ("body after the end", [START, BODY], BODY, FINISHED),
    ("piece after the end", [START, BODY], MORE, FINISHED),
    ("body after a streamed end", [START, MORE, BODY], BODY, CLOSED),
    ("piece after a streamed end", [START, MORE, BODY], MORE, CLOSED),
    ("path in a stream", [START, MORE], PATH, NOT_STARTED),
    ("path after the end", [START, BODY], PATH, NOT_STARTED),
    ("body after a path", [START, PATH], BODY, FINISHED),
    ("path after a path", [START, PATH], PATH, NOT_STARTED),
]


@pytest.mark.parametrize(
    ("before", "message", "text"), [row[1:] for row in ORDERS], ids=[row[0] for row in ORDERS]
)
def test_messages_out_of_order_raise_in_the_application(
    before: list[dict[str, object]], message: dict[str, object], text: str
) -> None:
    raised: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for earlier in before:
            await send(earlier)
        with pytest.raises(RuntimeError, match=text) as caught:
            await send(message)
        raised.append(caught.type)

    with_client(app, outcome)

    assert raised == [LocalProtocolError]


MALFORMED: list[tuple[str, object]] = [
    ("unknown type", {"type": "http.response.whatever"}),
    ("no type", {"status": 200}),
    ("type is no string", {"type": 5}),
    ("a websocket's message", {"type": "websocket.accept"}),
    ("a lifespan's message", {"type": "lifespan.startup.complete"}),
    ("start without status", {"type": "http.response.start"}),
    ("status is a string", start("200")),
    ("status is None", start(None)),
    ("status is a float", start(200.0)),
    ("headers is None", start(200, None)),  # type: ignore[arg-type]
    ("headers is a number", start(200, 5)),  # type: ignore[arg-type]
    ("headers is a dict", start(200, {b"content-type": b"text/plain"})),  # type: ignore[arg-type]
    ("a field of one", start(200, [(b"a",)])),
    ("a field of three", start(200, [(b"a", b"b", b"c")])),
    ("a field that is None", start(200, [None])),
    ("a value that is None", start(200, [(b"a", None)])),
    ("a value that is a number", start(200, [(b"content-length", 5)])),
]


@pytest.mark.parametrize("message", [row[1] for row in MALFORMED], ids=[r[0] for r in MALFORMED])
def test_malformed_messages_raise_and_can_be_made_good(message: dict[str, object]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(LocalProtocolError, match=UNSUPPORTED):
            await send(message)
        await respond(send, b"recovered")

    assert request(app).body == b"recovered"


BODIES: list[tuple[str, dict[str, object]]] = [
    ("text", body("text")),
    ("None", body(None)),
    ("a number", body(5)),
    ("a list", body([1, 2])),
    ("text in pieces", body("text", more=True)),
    ("a path that is bytes", {"type": "http.response.pathsend", "path": b"/etc/hostname"}),
    ("no path", {"type": "http.response.pathsend"}),
]


@pytest.mark.parametrize("message", [row[1] for row in BODIES], ids=[row[0] for row in BODIES])
def test_bodies_of_the_wrong_type_raise_and_can_be_made_good(message: dict[str, object]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        with pytest.raises(LocalProtocolError, match=UNSUPPORTED):
            await send(message)
        await send(body(b"recovered"))

    assert request(app).body == b"recovered"


@pytest.mark.parametrize("message", [None, 5, "http.response.start", [], ("type", "x")])
def test_what_is_not_a_dictionary_is_a_type_error(message: object) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(TypeError):
            send(message)  # type: ignore[arg-type]
        await respond(send, b"recovered")

    assert request(app).body == b"recovered"


# -- what HTTP does not allow ------------------------------------------------------

FORBIDDEN: list[tuple[str, dict[str, object], str]] = [
    ("CRLF in a value", start(200, [(b"x", b"a\r\nset-cookie: b=1")]), "CR, LF or NUL"),
    ("LF in a value", start(200, [(b"x", b"a\nb")]), "CR, LF or NUL"),
    ("NUL in a value", start(200, [(b"x", b"a\0b")]), "CR, LF or NUL"),
    ("CRLF in a name", start(200, [(b"x\r\ny", b"a")]), "invalid response field name"),
    ("a space in a name", start(200, [(b"x y", b"a")]), "invalid response field name"),
    ("an empty name", start(200, [(b"", b"a")]), "invalid response field name"),
    ("a name of text", start(200, [("x", b"a")]), "invalid response field name"),
    ("a value of text", start(200, [(b"x", "a")]), "must be pairs of bytes"),
    ("two lengths", start(200, [(b"content-length", b"1")] * 2 + [(b"content-length", b"2")]),
     "conflicting Content-Length"),
    ("a bad length", start(200, [(b"content-length", b"+5")]), "invalid Content-Length"),
    ("status 99", start(99), "99"),
    ("status 1000", start(1000), "1000"),
    ("status 100", start(100), "100"),
    ("status 101", start(101), "101"),
    ("status 0", start(0), "0"),
    ("status -200", start(-200), "-200"),
    ("status True", start(True), "1"),
]  # fmt: skip


@pytest.mark.parametrize("in_pieces", [False, True], ids=["one body", "in pieces"])
@pytest.mark.parametrize(
    ("message", "text"), [row[1:] for row in FORBIDDEN], ids=[row[0] for row in FORBIDDEN]
)
def test_a_head_that_http_forbids_raises_and_sends_nothing(
    message: dict[str, object],
    text: str,
    in_pieces: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(message)
        await send(body(b"content", more=in_pieces))

    response = request(app)

    assert (response.status, response.body) == ERROR
    ((message_, error),) = logged(caplog)
    assert message_ == RAISED
    assert error.startswith("LocalProtocolError(")
    assert text in error


@over_http1
@pytest.mark.parametrize("pieces", [1, 3])
def test_more_content_than_declared_is_cut_and_raises(
    pieces: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, [(b"content-length", b"5")]))
        for _ in range(pieces - 1):
            await send(body(b"abc", more=True))
        await send(body(b"abcdef"))

    async def scenario(client: MemoryClient) -> bytes:
        client.send_request()
        client.send_request()
        return await client.read_until_close()

    output = with_client(app, scenario)

    assert output.count(b"HTTP/1.1") == 1
    assert output.partition(b"\r\n\r\n")[2] == (b"abcde" if pieces == 1 else b"abcab")
    ((_, error),) = logged(caplog)
    assert "longer than its Content-Length" in error


@over_http1
@pytest.mark.parametrize("in_pieces", [False, True], ids=["one body", "in pieces"])
def test_less_content_than_declared_ends_the_connection(
    in_pieces: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, [(b"content-length", b"5")]))
        if in_pieces:
            await send(body(b"a", more=True))
        await send(body(b"b"))

    async def scenario(client: MemoryClient) -> bytes:
        client.send_request()
        client.send_request()
        return await client.read_until_close()

    output = with_client(app, scenario)

    assert output.count(b"HTTP/1.1") == 1
    assert b"content-length: 5\r\n" in output
    assert output.partition(b"\r\n\r\n")[2] == (b"ab" if in_pieces else b"b")
    if in_pieces:  # the application is told where the end of the body is a call of its own
        ((_, error),) = logged(caplog)
        assert "shorter than its Content-Length" in error


def test_a_caught_error_does_not_end_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        with pytest.raises(LocalProtocolError, match=NOT_STARTED):
            await send(BODY)
        await respond(send, scope["path"].encode())

    async def scenario(client: MemoryClient) -> list[bytes]:
        return [(await client.request("GET", target)).body for target in ("/1", "/2")]

    assert with_client(app, scenario) == [b"/1", b"/2"]

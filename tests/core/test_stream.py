"""One exchange over a carrier that records what it is told.

The fake carrier sends nothing; it keeps the promises of `Carrier` about the stream's
phase, so that every operation can be tried in every phase.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

import pytest

from granian_core import (
    BodyTooLarge,
    ClientDisconnected,
    HTTPStream,
    LocalProtocolError,
)
from granian_core.application import run_application
from granian_core.stream import (
    ABORTED,
    BODY_HIGH_WATER,
    COMPLETE,
    INTERNAL_ERROR_BODY,
    INTERNAL_ERROR_HEADERS,
    PENDING,
    STARTED,
    Headers,
)
from tests.compiled import interpreted

Call = tuple[object, ...]

NOT_STARTED = "the response has not started"
STARTED_ALREADY = "the response has already started"
ENDED = "the response has ended"


class FakeCarrier:
    """Records calls; a tuple per call, its name first."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self.blocked = False
        self.writers: list[asyncio.Future[None]] = []

    def send_response(
        self, stream: HTTPStream, status: int, headers: Headers, body: bytes, reason: bytes | None
    ) -> None:
        self.calls.append(("response", status, list(headers), body, reason))
        stream.mark_complete(status)

    def send_head(
        self, stream: HTTPStream, status: int, headers: Headers, reason: bytes | None
    ) -> int:
        fields = dict(headers)
        if b"bad" in fields:
            raise LocalProtocolError("bad field")
        self.calls.append(("head", status, list(headers), reason))
        return int(fields.get(b"content-length", -1))

    def send_data(self, stream: HTTPStream, data: bytes) -> None:
        assert type(data) is bytes
        self.calls.append(("data", data))

    def send_end(self, stream: HTTPStream, trailers: Headers | None) -> None:
        self.calls.append(("end", trailers))
        stream.mark_complete(stream.status)

    def send_informational(self, stream: HTTPStream, status: int, headers: Headers) -> None:
        self.calls.append(("informational", status, list(headers)))

    def want_body(self, stream: HTTPStream) -> None:
        self.calls.append(("want",))

    def hold_body(self, stream: HTTPStream) -> None:
        self.calls.append(("hold",))

    def abort_stream(self, stream: HTTPStream) -> None:
        self.calls.append(("abort",))

    def application_done(self, stream: HTTPStream) -> None:
        self.calls.append(("done",))

    def write_blocked(self) -> bool:
        return self.blocked

    def wait_writable(self, stream: HTTPStream) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = self.loop.create_future()
        self.writers.append(waiter)
        return waiter

    def unblock(self) -> None:
        self.blocked = False
        for waiter in self.writers:
            waiter.set_result(None)
        self.writers.clear()

    def make_blocking(self, stream: HTTPStream) -> object:
        self.calls.append(("blocking",))
        return self


@pytest.fixture
def carrier() -> Iterator[FakeCarrier]:
    carrier = FakeCarrier()
    yield carrier
    carrier.loop.close()


def make_stream(
    carrier: FakeCarrier,
    *,
    method: str = "GET",
    has_body: bool = False,
    expects_continue: bool = False,
) -> HTTPStream:
    return HTTPStream(
        carrier,  # type: ignore[arg-type]
        "1.1",
        method,
        "http",
        "/",
        b"/",
        b"",
        None,
        [],
        ("192.0.2.1", 5000),
        ("127.0.0.1", 8000),
        None,
        has_body,
        expects_continue,
    )


def run(carrier: FakeCarrier, awaitable: Awaitable[object]) -> object:
    async def main() -> object:
        return await asyncio.wait_for(awaitable, 30)

    return carrier.loop.run_until_complete(main())


# -- phases and operations -------------------------------------------------------------

PHASES = {"pending": PENDING, "started": STARTED, "complete": COMPLETE, "aborted": ABORTED}


def bring_to(stream: HTTPStream, carrier: FakeCarrier, phase: str) -> None:
    if phase in {"started", "complete"}:
        stream.start(200)
    if phase == "complete":
        stream.finish()
    if phase == "aborted":
        stream.abort()
    if phase == "gone":
        stream.feed_disconnect()
    carrier.calls.clear()


OPERATIONS: dict[str, Callable[[HTTPStream], None]] = {
    "respond": lambda stream: stream.respond(200, [(b"a", b"b")], b"body", reason=b"Fine"),
    "start": lambda stream: stream.start(200, [(b"a", b"b")], reason=b"Fine"),
    "write": lambda stream: stream.write(b"data"),
    "finish": lambda stream: stream.finish([(b"a", b"b")]),
    "inform": lambda stream: stream.inform(103, [(b"a", b"b")]),
    "abort": lambda stream: stream.abort(),
    "disconnect": lambda stream: stream.feed_disconnect(),
    "half close": lambda stream: stream.feed_half_close(),
    "returned": lambda stream: stream.application_returned(),
    "failed": lambda stream: stream.application_failed(KeyError("fault")),
    "abandoned": lambda stream: stream.application_abandoned(),
}

RESPONSE: Call = ("response", 200, [(b"a", b"b")], b"body", b"Fine")
ERROR_500: Call = ("response", 500, INTERNAL_ERROR_HEADERS, INTERNAL_ERROR_BODY, None)
DONE: Call = ("done",)

# (operation, phase): (phase after, calls of the carrier) or the text of the error.
TABLE: dict[tuple[str, str], tuple[int, list[Call]] | str] = {
    ("respond", "pending"): (COMPLETE, [RESPONSE]),
    ("respond", "started"): STARTED_ALREADY,
    ("respond", "complete"): STARTED_ALREADY,
    ("respond", "aborted"): (ABORTED, []),
    ("respond", "gone"): (ABORTED, []),
    ("start", "pending"): (STARTED, [("head", 200, [(b"a", b"b")], b"Fine")]),
    ("start", "started"): STARTED_ALREADY,
    ("start", "complete"): STARTED_ALREADY,
    ("start", "aborted"): (ABORTED, []),
    ("start", "gone"): (ABORTED, []),
    ("write", "pending"): NOT_STARTED,
    ("write", "started"): (STARTED, [("data", b"data")]),
    ("write", "complete"): ENDED,
    ("write", "aborted"): (ABORTED, []),
    ("write", "gone"): (ABORTED, []),
    ("finish", "pending"): NOT_STARTED,
    ("finish", "started"): (COMPLETE, [("end", [(b"a", b"b")])]),
    ("finish", "complete"): ENDED,
    ("finish", "aborted"): (ABORTED, []),
    ("finish", "gone"): (ABORTED, []),
    ("inform", "pending"): (PENDING, [("informational", 103, [(b"a", b"b")])]),
    ("inform", "started"): STARTED_ALREADY,
    ("inform", "complete"): STARTED_ALREADY,
    ("inform", "aborted"): (ABORTED, []),
    ("inform", "gone"): (ABORTED, []),
    ("abort", "pending"): (ABORTED, [("abort",)]),
    ("abort", "started"): (ABORTED, [("abort",)]),
    ("abort", "complete"): (COMPLETE, []),
    ("abort", "aborted"): (ABORTED, []),
    ("abort", "gone"): (ABORTED, []),
    ("disconnect", "pending"): (ABORTED, []),
    ("disconnect", "started"): (ABORTED, []),
    ("disconnect", "complete"): (COMPLETE, []),
    ("disconnect", "aborted"): (ABORTED, []),
    ("disconnect", "gone"): (ABORTED, []),
    ("half close", "pending"): (PENDING, []),
    ("half close", "started"): (STARTED, []),
    ("half close", "complete"): (COMPLETE, []),
    ("half close", "aborted"): (ABORTED, []),
    ("half close", "gone"): (ABORTED, []),
    ("returned", "pending"): (COMPLETE, [ERROR_500, DONE]),
    ("returned", "started"): (ABORTED, [("abort",), DONE]),
    ("returned", "complete"): (COMPLETE, [DONE]),
    ("returned", "aborted"): (ABORTED, [DONE]),
    ("returned", "gone"): (ABORTED, [DONE]),
    ("failed", "pending"): (COMPLETE, [ERROR_500, DONE]),
    ("failed", "started"): (ABORTED, [("abort",), DONE]),
    ("failed", "complete"): (COMPLETE, [DONE]),
    ("failed", "aborted"): (ABORTED, [DONE]),
    ("failed", "gone"): (ABORTED, [DONE]),
    ("abandoned", "pending"): (ABORTED, [("abort",), DONE]),
    ("abandoned", "started"): (ABORTED, [("abort",), DONE]),
    ("abandoned", "complete"): (COMPLETE, [DONE]),
    ("abandoned", "aborted"): (ABORTED, [DONE]),
    ("abandoned", "gone"): (ABORTED, [DONE]),
}


def test_the_table_is_whole() -> None:
    phases = [*PHASES, "gone"]

    assert set(TABLE) == {(operation, phase) for operation in OPERATIONS for phase in phases}


@pytest.mark.parametrize(
    ("operation", "phase"), TABLE, ids=[f"{operation}-{phase}" for operation, phase in TABLE]
)
def test_every_operation_in_every_phase(carrier: FakeCarrier, operation: str, phase: str) -> None:
    stream = make_stream(carrier)
    bring_to(stream, carrier, phase)
    before = stream.phase
    expected = TABLE[operation, phase]

    if isinstance(expected, str):
        with pytest.raises(LocalProtocolError, match=f"^{expected}$"):
            OPERATIONS[operation](stream)
        assert (stream.phase, carrier.calls) == (before, [])
    else:
        OPERATIONS[operation](stream)
        assert (stream.phase, carrier.calls) == expected


@pytest.mark.parametrize("phase", [*PHASES, "gone"])
def test_properties_describe_the_phase(carrier: FakeCarrier, phase: str) -> None:
    stream = make_stream(carrier)
    bring_to(stream, carrier, phase)

    assert stream.response_started == (phase in {"started", "complete"})
    assert stream.response_complete == (phase not in {"pending", "started"})
    assert stream.aborted == (phase in {"aborted", "gone"})
    assert stream.disconnected == (phase == "gone")


# -- response out ------------------------------------------------------------------


def test_data_of_all_kinds_reaches_the_carrier_as_bytes(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier)
    stream.start(200)
    for data in (b"a", bytearray(b"b"), memoryview(b"cxd")[::2], b""):
        stream.write(data)

    assert carrier.calls[1:] == [("data", b"a"), ("data", b"b"), ("data", b"cd")]
    assert stream.bytes_sent == 4

    other = make_stream(carrier)
    other.respond(200, (), bytearray(b"body"))
    assert carrier.calls[-1] == ("response", 200, [], b"body", None)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_content_where_none_is_allowed_is_dropped(
    carrier: FakeCarrier, method: str, status: int
) -> None:
    stream = make_stream(carrier, method=method)
    stream.start(status, [(b"content-length", b"3")])
    stream.write(b"longer than three")
    stream.finish()

    assert [call[0] for call in carrier.calls] == ["head", "end"]
    assert stream.no_content


def test_a_body_of_its_declared_length_is_complete(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier)
    stream.start(200, [(b"content-length", b"4")])
    stream.write(b"ab")
    stream.write(b"cd")
    stream.finish()

    assert stream.phase == COMPLETE
    assert stream.bytes_sent == 4


@pytest.mark.parametrize(
    ("pieces", "sent"),
    [
        ([b"abc", b"def"], [b"abc", b"d"]),
        ([b"abcdef"], [b"abcd"]),
        ([b"abcd", b"e"], [b"abcd"]),
    ],
)
def test_a_body_longer_than_declared_is_cut_and_the_exchange_aborted(
    carrier: FakeCarrier, pieces: list[bytes], sent: list[bytes]
) -> None:
    stream = make_stream(carrier)
    stream.start(200, [(b"content-length", b"4")])
    for piece in pieces[:-1]:
        stream.write(piece)
    with pytest.raises(LocalProtocolError, match="longer than its Content-Length"):
        stream.write(pieces[-1])

    assert carrier.calls[1:] == [*(("data", piece) for piece in sent), ("abort",)]
    assert stream.bytes_sent == 4
    stream.write(b"more")  # dropped: the exchange is over
    stream.finish()
    assert carrier.calls[-1] == ("abort",)


def test_a_body_shorter_than_declared_aborts_the_exchange(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier)
    stream.start(200, [(b"content-length", b"4")])
    stream.write(b"abc")
    with pytest.raises(LocalProtocolError, match="shorter than its Content-Length"):
        stream.finish()

    assert stream.phase == ABORTED
    assert carrier.calls[-1] == ("abort",)


def test_a_head_that_fails_leaves_the_response_pending(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier)
    with pytest.raises(LocalProtocolError, match="bad field"):
        stream.start(200, [(b"bad", b"")])

    assert stream.phase == PENDING
    assert not stream.response_started
    stream.respond(500)
    assert stream.status == 500


@pytest.mark.parametrize("status", [99, 100, 101, 200, 500])
def test_only_some_statuses_are_informational(carrier: FakeCarrier, status: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"^{status} is not an informational status$"):
        make_stream(carrier).inform(status)


@interpreted
def test_blocking_is_the_carriers_work(carrier: FakeCarrier) -> None:
    assert make_stream(carrier).blocking() is carrier  # type: ignore[comparison-overlap]


# -- back-pressure on writing ----------------------------------------------------------


def test_drain_returns_at_once_while_nothing_is_blocked(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier)
    stream.start(200)

    assert not stream.write_blocked
    run(carrier, stream.drain())
    assert carrier.writers == []


def test_drain_waits_until_the_transport_has_room(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier)
    stream.start(200)
    carrier.blocked = True
    assert stream.write_blocked

    async def main() -> None:
        draining = asyncio.ensure_future(stream.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        carrier.unblock()
        await draining

    run(carrier, main())


def test_drain_waits_again_when_the_transport_is_full_again(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier)
    stream.start(200)
    carrier.blocked = True

    async def main() -> None:
        draining = asyncio.ensure_future(stream.drain())
        await asyncio.sleep(0)
        carrier.unblock()
        carrier.blocked = True  # somebody wrote in between
        await asyncio.sleep(0)
        assert not draining.done()
        carrier.unblock()
        await draining

    run(carrier, main())


@pytest.mark.parametrize("phase", ["complete", "aborted", "gone"])
def test_nothing_is_blocked_once_the_response_has_ended(carrier: FakeCarrier, phase: str) -> None:
    stream = make_stream(carrier)
    bring_to(stream, carrier, phase)
    carrier.blocked = True

    assert not stream.write_blocked
    run(carrier, stream.drain())


# -- body in -----------------------------------------------------------------------


def test_a_request_without_a_body_reads_as_empty(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier)

    assert stream.body_complete
    assert stream.read_nowait() == b""
    assert run(carrier, stream.read()) == b""
    assert run(carrier, stream.read_all()) == b""


def test_a_read_takes_all_that_has_arrived(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier, has_body=True)
    assert stream.read_nowait() is None
    for piece in (b"ab", b"cd"):
        stream.feed_data(piece)

    assert stream.read_nowait() == b"abcd"
    assert stream.read_nowait() is None
    stream.feed_data(b"ef")
    stream.feed_end([(b"x-checksum", b"1")])
    assert stream.body_complete
    assert stream.read_nowait() == b"ef"
    assert stream.read_nowait() == b""
    assert stream.trailers == [(b"x-checksum", b"1")]


def test_a_read_waits_for_data_and_for_the_end(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier, has_body=True)

    async def main() -> None:
        for feed, result in (
            (lambda: stream.feed_data(b"ab"), b"ab"),
            (lambda: stream.feed_end(None), b""),
        ):
            reading = asyncio.ensure_future(stream.read())
            await asyncio.sleep(0)
            assert not reading.done()
            feed()
            assert await reading == result

    run(carrier, main())


def test_a_cancelled_read_loses_nothing(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier, has_body=True)

    async def main() -> None:
        reading = asyncio.ensure_future(stream.read())
        await asyncio.sleep(0)
        stream.feed_data(b"ab")
        reading.cancel()  # after the data has woken it, before it ran
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await stream.read() == b"ab"

    run(carrier, main())


def test_two_readers_at_once_are_refused(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier, has_body=True)

    async def main() -> None:
        reading = asyncio.ensure_future(stream.read())
        await asyncio.sleep(0)
        with pytest.raises(LocalProtocolError, match="already being read"):
            await stream.read()
        stream.feed_data(b"ab")
        assert await reading == b"ab"

    run(carrier, main())


def test_iteration_yields_pieces_until_the_end(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier, has_body=True)

    async def main() -> list[bytes]:
        stream.feed_data(b"ab")
        pieces = []
        async for piece in stream:
            pieces.append(piece)
            if piece == b"ab":
                stream.feed_data(b"cd")
            else:
                stream.feed_end(None)
        return pieces

    assert run(carrier, main()) == [b"ab", b"cd"]


@pytest.mark.parametrize(("limit", "fits"), [(None, True), (4, True), (3, False), (0, False)])
def test_read_all_accepts_up_to_its_limit(
    carrier: FakeCarrier, limit: int | None, fits: bool
) -> None:
    stream = make_stream(carrier, has_body=True)
    stream.feed_data(b"abcd")
    stream.feed_end(None)

    if fits:
        assert run(carrier, stream.read_all(limit)) == b"abcd"
    else:
        with pytest.raises(BodyTooLarge, match=f"exceeds {limit} bytes"):
            run(carrier, stream.read_all(limit))


def test_100_continue_is_asked_for_by_the_first_read_alone(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier, has_body=True, expects_continue=True)
    assert carrier.calls == []

    assert stream.read_nowait() is None
    assert stream.read_nowait() is None
    assert carrier.calls == [("want",)]


def test_100_continue_is_not_asked_for_when_the_body_came_unasked(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier, has_body=True, expects_continue=True)
    stream.feed_data(b"ab")
    stream.feed_end(None)

    assert [stream.read_nowait(), stream.read_nowait()] == [b"ab", b""]
    assert carrier.calls == []


def test_the_peer_is_held_above_the_high_water_mark_until_a_read(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier, has_body=True)
    stream.feed_data(b"x" * (BODY_HIGH_WATER - 1))
    assert carrier.calls == []
    stream.feed_data(b"x")
    stream.feed_data(b"x")
    assert carrier.calls == [("hold",)]

    assert stream.read_nowait() == b"x" * (BODY_HIGH_WATER + 1)
    assert carrier.calls == [("hold",), ("want",)]
    stream.feed_data(b"x")
    assert stream.read_nowait() == b"x"
    assert carrier.calls == [("hold",), ("want",)]


def test_a_body_that_is_cut_off_raises_after_what_has_arrived(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier, has_body=True)
    stream.feed_data(b"ab")
    stream.feed_disconnect()

    assert stream.read_nowait() == b"ab"
    with pytest.raises(ClientDisconnected, match="client disconnected"):
        stream.read_nowait()
    with pytest.raises(ClientDisconnected):
        run(carrier, stream.read_all())


def test_a_body_that_is_whole_can_be_read_after_the_peer_has_gone(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier, has_body=True)
    stream.feed_data(b"ab")
    stream.feed_end(None)
    stream.feed_disconnect()

    assert run(carrier, stream.read_all()) == b"ab"


@pytest.mark.parametrize(
    "end",
    [
        lambda stream: stream.feed_disconnect(),
        lambda stream: stream.abort(),
        lambda stream: stream.respond(200),
    ],
    ids=["gone", "aborted", "complete"],
)
def test_a_waiting_read_is_woken_when_the_exchange_ends(
    carrier: FakeCarrier, end: Callable[[HTTPStream], None]
) -> None:
    stream = make_stream(carrier, has_body=True)

    async def main() -> None:
        reading = asyncio.ensure_future(stream.read())
        await asyncio.sleep(0)
        end(stream)
        with pytest.raises(ClientDisconnected):
            await reading

    run(carrier, main())


def test_data_after_the_response_is_dropped(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier, has_body=True)
    stream.respond(200)
    stream.feed_data(b"x" * BODY_HIGH_WATER)

    assert ("hold",) not in carrier.calls
    with pytest.raises(ClientDisconnected):
        stream.read_nowait()


# -- disconnection -------------------------------------------------------------------

# What ends a wait for the client's leaving, and a wait for the end of the exchange.
ENDINGS: dict[str, tuple[Callable[[HTTPStream], None], bool, bool]] = {
    "half close": (lambda stream: stream.feed_half_close(), True, True),
    "disconnect": (lambda stream: stream.feed_disconnect(), True, True),
    "abort": (lambda stream: stream.abort(), True, True),
    "response": (lambda stream: stream.respond(200), False, True),
    "body end": (lambda stream: stream.feed_end(None), False, False),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_waiters_end_with_what_they_wait_for(carrier: FakeCarrier, name: str) -> None:
    ending, disconnect_ends, end_ends = ENDINGS[name]
    stream = make_stream(carrier, has_body=True)
    disconnects = [stream.wait_disconnect(), stream.wait_disconnect()]
    ends = [stream.wait_end(), stream.wait_end()]
    cancelled = [stream.wait_disconnect(), stream.wait_end()]
    for waiter in cancelled:
        waiter.cancel()

    ending(stream)

    assert [waiter.done() for waiter in disconnects] == [disconnect_ends] * 2
    assert [waiter.done() for waiter in ends] == [end_ends] * 2


@pytest.mark.parametrize("name", ["half close", "disconnect", "response"])
def test_a_wait_that_comes_late_ends_at_once(carrier: FakeCarrier, name: str) -> None:
    ending, disconnect_ends, end_ends = ENDINGS[name]
    stream = make_stream(carrier)
    ending(stream)

    assert stream.wait_disconnect().done() == disconnect_ends
    assert stream.wait_end().done() == end_ends


def test_a_wait_for_the_client_outlives_the_response(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier)
    waiter = stream.wait_disconnect()
    stream.respond(200)
    assert not waiter.done()

    stream.feed_disconnect()
    assert waiter.done()


def test_a_half_closed_client_gets_its_whole_answer(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier)
    stream.feed_half_close()
    stream.start(200)
    stream.write(b"data")
    stream.finish()

    assert stream.half_closed
    assert not stream.disconnected
    assert [call[0] for call in carrier.calls] == ["head", "data", "end"]


# -- the application's outcome ---------------------------------------------------------


def test_a_response_that_ends_with_the_application_is_finished(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier)
    stream.start(200)
    stream.finish_on_return = True
    stream.application_returned()

    assert carrier.calls[1:] == [("end", None), DONE]


def test_a_response_that_ends_too_early_is_aborted(
    carrier: FakeCarrier, caplog: pytest.LogCaptureFixture
) -> None:
    stream = make_stream(carrier)
    stream.start(200, [(b"content-length", b"4")])
    stream.finish_on_return = True
    stream.application_returned()

    assert carrier.calls[1:] == [("abort",), DONE]
    assert "shorter than its Content-Length" in caplog.text


def failing_with(exc: BaseException) -> Callable[[], Awaitable[None]]:
    async def application() -> None:
        raise exc

    return application


@pytest.mark.parametrize(
    "exc",
    [KeyError("fault"), SystemExit(3), asyncio.CancelledError()],
    ids=lambda exc: type(exc).__name__,
)
def test_what_escapes_from_an_application_is_its_own_error(
    carrier: FakeCarrier, exc: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    stream = make_stream(carrier)
    run(carrier, run_application(stream, failing_with(exc)()))

    assert carrier.calls == [ERROR_500, DONE]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.name == "_granian.serve"
    assert record.message == "Application callable raised an exception"
    assert record.exc_info is not None
    assert record.exc_info[1] is exc


def test_a_cancellation_by_the_server_aborts_without_a_log(
    carrier: FakeCarrier, caplog: pytest.LogCaptureFixture
) -> None:
    stream = make_stream(carrier)
    stream.cancelled = True
    with pytest.raises(asyncio.CancelledError):
        run(carrier, run_application(stream, failing_with(asyncio.CancelledError())()))

    assert carrier.calls == [("abort",), DONE]
    assert caplog.records == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit])
def test_what_must_not_be_swallowed_goes_on(
    carrier: FakeCarrier, kind: type[BaseException]
) -> None:
    stream = make_stream(carrier)
    coroutine = run_application(stream, failing_with(kind())())
    with pytest.raises(kind):
        coroutine.send(None)

    assert carrier.calls == [ERROR_500, DONE]


def test_what_can_not_be_awaited_is_the_applications_error(
    carrier: FakeCarrier, caplog: pytest.LogCaptureFixture
) -> None:
    stream = make_stream(carrier)
    run(carrier, run_application(stream, 42))

    assert carrier.calls == [ERROR_500, DONE]
    assert "await" in caplog.text


def test_an_application_that_returns_has_its_outcome_settled(carrier: FakeCarrier) -> None:
    stream = make_stream(carrier)

    async def application() -> None:
        stream.respond(200, [(b"a", b"b")], b"body", reason=b"Fine")

    run(carrier, run_application(stream, application()))
    assert carrier.calls == [RESPONSE, DONE]


@pytest.mark.parametrize("phase", [*PHASES, "gone"])
def test_what_is_logged_when_an_application_returns(
    carrier: FakeCarrier, phase: str, caplog: pytest.LogCaptureFixture
) -> None:
    stream = make_stream(carrier)
    bring_to(stream, carrier, phase)
    stream.application_returned()

    assert [record.message for record in caplog.records] == {
        "pending": ["Application returned without a response"],
        "started": ["Application returned without ending its response"],
    }.get(phase, [])

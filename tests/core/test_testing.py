"""The in-memory tools themselves: they must keep asyncio's rules."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from granian_core.errors import RemoteProtocolError
from granian_core.interface import BaseInterface
from granian_core.settings import EngineChoice, HTTP1Settings, ServerConfig
from granian_core.stream import HTTPStream
from granian_core.testing import ClockEventLoop, MemoryClient, MemoryServer, MemoryTransport


class Recorder(asyncio.Protocol):
    """Notes every call; keeps a half-closed connection open if told to."""

    def __init__(self, *, keep_open: bool = False) -> None:
        self.calls: list[object] = []
        self.keep_open = keep_open
        self.reply = b""
        self.pause_on_data = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.calls.append(data)
        assert self.transport is not None
        if self.reply:
            self.transport.write(self.reply)
        if self.pause_on_data:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append(("lost", type(exc).__name__ if exc else None))


def in_loop(check: Callable[[MemoryTransport, Recorder], Awaitable[None]], **kwargs: bool) -> None:
    async def main() -> None:
        transport = MemoryTransport(asyncio.get_running_loop())
        protocol = Recorder(**kwargs)
        transport.connect(protocol)
        await check(transport, protocol)

    asyncio.run(asyncio.wait_for(main(), 30))


def test_bytes_pass_both_ways_at_once() -> None:
    """What one side writes the other has when the call returns."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        protocol.reply = b"pong"
        transport.feed(b"ping")

        assert protocol.calls == ["made", b"ping"]
        assert transport.output == b"pong"
        assert transport.writes == [b"pong"]

    in_loop(check)


def test_paused_reading_keeps_bytes_and_eof_in_order() -> None:
    """Bytes and FIN wait for resume_reading and then arrive as they were sent."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        transport.pause_reading()
        transport.feed(b"a")
        transport.feed(b"b")
        transport.feed_eof()
        assert protocol.calls == ["made"]

        transport.resume_reading()
        assert protocol.calls == ["made"]
        await asyncio.sleep(0)

        assert protocol.calls == ["made", b"a", b"b", "eof"]

    in_loop(check, keep_open=True)


def test_pausing_while_delivering_stops_the_delivery() -> None:
    """A protocol that pauses on the first piece does not get the second."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        transport.pause_reading()
        transport.feed(b"a")
        transport.feed(b"b")
        protocol.pause_on_data = True
        transport.resume_reading()
        await asyncio.sleep(0)

        assert protocol.calls == ["made", b"a"]

    in_loop(check)


def test_stalled_client_pauses_and_resumes_the_protocol_at_the_limits() -> None:
    """pause_writing comes above the high mark, resume_writing at the low one, each once."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        transport.set_write_buffer_limits(high=10, low=4)
        transport.stalled = True
        transport.write(b"x" * 10)
        assert protocol.calls == ["made"]
        transport.write(b"y")
        transport.write(b"z")
        assert protocol.calls == ["made", "pause"]
        assert transport.get_write_buffer_size() == 12
        assert transport.output == b""

        assert transport.take(7) == b"x" * 7
        assert protocol.calls == ["made", "pause"]
        transport.take(1)
        assert protocol.calls == ["made", "pause", "resume"]

        transport.stalled = False
        assert transport.output == b"x" * 10 + b"yz"
        assert protocol.calls == ["made", "pause", "resume"]

    in_loop(check)


@pytest.mark.parametrize(
    ("high", "low", "expected"),
    [
        pytest.param(None, None, (16_384, 65_536), id="defaults"),
        pytest.param(100, None, (25, 100), id="high"),
        pytest.param(None, 100, (100, 400), id="low"),
        pytest.param(0, None, (0, 0), id="zero"),
    ],
)
def test_write_buffer_limits_default_as_in_asyncio(
    high: int | None, low: int | None, expected: tuple[int, int]
) -> None:
    """The limit that is left out follows from the other."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        transport.set_write_buffer_limits(high=high, low=low)
        assert expected == transport.get_write_buffer_limits()

    in_loop(check)


def test_close_waits_for_a_stalled_client() -> None:
    """A closing transport keeps its buffer until the client has taken it."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        transport.stalled = True
        transport.write(b"last words")
        transport.close()
        transport.write(b"too late")
        await asyncio.sleep(0)
        assert protocol.calls == ["made"]
        assert transport.is_closing()
        assert transport.discarded == 8

        transport.stalled = False
        assert protocol.calls == ["made"]
        await asyncio.sleep(0)

        assert protocol.calls == ["made", ("lost", None)]
        assert transport.output == b"last words"

    in_loop(check)


def test_abort_drops_the_buffer_and_ends_once() -> None:
    """Abort loses what is buffered; connection_lost comes once, not in the caller's frame."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        transport.stalled = True
        transport.write(b"lost")
        transport.abort()
        transport.close()
        transport.abort()
        assert protocol.calls == ["made"]
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        assert protocol.calls == ["made", ("lost", None)]
        assert transport.output == b""
        assert transport.ended

    in_loop(check)


def test_eof_closes_unless_the_protocol_keeps_it_open() -> None:
    """eof_received's answer decides, as in asyncio."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        transport.feed_eof()
        assert transport.is_closing() is not protocol.keep_open
        with pytest.raises(RuntimeError, match="already sent its end of file"):
            transport.feed(b"more")

    in_loop(check)
    in_loop(check, keep_open=True)


def test_writing_to_a_closed_client_ends_in_a_reset() -> None:
    """After the client closed, the first write meets a reset."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        client = MemoryClient(transport)
        client.close()
        assert not transport.is_closing()
        transport.write(b"anybody there?")
        await client.wait_ended()

        assert protocol.calls == ["made", "eof", ("lost", "ConnectionResetError")]
        assert client.output == b""

    in_loop(check, keep_open=True)


def test_client_abort_is_a_reset() -> None:
    """abort() reaches the protocol as ConnectionResetError."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        client = MemoryClient(transport)
        client.abort()
        await client.wait_ended()

        assert protocol.calls == ["made", ("lost", "ConnectionResetError")]

    in_loop(check)


def test_write_eof_ends_the_output_and_forbids_writing() -> None:
    """A half-closed server has ended its output but not the connection."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        client = MemoryClient(transport)
        transport.write(b"bye")
        transport.write_eof()

        assert await client.read_until_close() == b"bye"
        assert not transport.is_closing()
        with pytest.raises(RuntimeError, match="write_eof"):
            transport.write(b"more")

    in_loop(check)


def respond(transport: MemoryTransport, data: bytes) -> None:
    """Write *data* on the loop's next turn, while the client is already waiting."""
    asyncio.get_running_loop().call_soon(transport.write, data)


def test_client_parses_responses_one_by_one() -> None:
    """Pipelined responses are split where they end, with 1xx, chunks and trailers."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        client = MemoryClient(transport)
        respond(
            transport,
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a\r\n"
            b"Set-Cookie: b\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
            b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nConte",
        )
        first = await client.receive_response()
        second = await client.receive_response()

        assert (
            first.status,
            first.reason,
            first.body,
            first.http_version,
        ) == (200, b"Fine", b"abc", "1.1")
        assert first.trailers == [(b"x-sum", b"1")]
        assert [(r.status, r.header(b"Link")) for r in first.informational] == [(103, b"</a>")]
        assert first.header_values(b"Set-Cookie") == [b"a", b"b"]
        assert first.header(b"Set-Cookie") == b"a"
        assert first.header(b"absent") is None
        assert (second.status, second.body) == (204, b"")
        assert client.unread == b"HTTP/1.1 200 OK\r\nConte"

        respond(transport, b"nt-Length: 1000\r\n\r\n")
        head = await client.receive_response("HEAD")
        assert (head.header(b"content-length"), head.body) == (b"1000", b"")
        assert client.unread == b""

    in_loop(check)


def test_client_takes_a_body_that_ends_with_the_connection() -> None:
    """Without framing fields the close is the end of the content."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        client = MemoryClient(transport)
        transport.write(b"HTTP/1.1 200 OK\r\n\r\nabc")
        asyncio.get_running_loop().call_soon(transport.close)

        assert (await client.receive_response()).body == b"abc"

    in_loop(check)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        pytest.param(b"", "closed without a response", id="nothing"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", "without a response", id="only-1xx"),
        pytest.param(b"HTTP/1.1 200 O", "closed", id="cut-head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "closed", id="cut-body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n", "illegal header", id="garbage"),
    ],
)
def test_client_refuses_what_is_not_a_whole_response(output: bytes, message: str) -> None:
    """A cut or broken response raises, it never looks complete."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        client = MemoryClient(transport)
        transport.write(output)
        asyncio.get_running_loop().call_soon(transport.close)
        with pytest.raises(RemoteProtocolError, match=message):
            await client.receive_response()

    in_loop(check)


def test_client_sends_well_formed_requests() -> None:
    """request() adds Host and Content-Length only where they are missing."""

    async def check(transport: MemoryTransport, protocol: Recorder) -> None:
        client = MemoryClient(transport)
        client.send_request("POST", "/a?b", [(b"X-A", b"1")], b"body")
        client.send_request(headers=[(b"host", b"other")])
        client.send_request("PUT", headers=[(b"Transfer-Encoding", b"chunked")], body=b"0\r\n\r\n")

        assert protocol.calls[1:] == [
            b"POST /a?b HTTP/1.1\r\nHost: testserver\r\nX-A: 1\r\nContent-Length: 4\r\n\r\nbody",
            b"GET / HTTP/1.1\r\nhost: other\r\n\r\n",
            b"PUT / HTTP/1.1\r\nHost: testserver\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ]

    in_loop(check)


def test_waiting_in_vain_times_out_and_shows_what_came() -> None:
    """A broken test fails with the bytes that did arrive instead of hanging."""

    async def main() -> None:
        transport = MemoryTransport(asyncio.get_running_loop())
        transport.connect(Recorder())
        client = MemoryClient(transport, timeout=60.0)
        transport.write(b"HTTP/1.1 200")
        with pytest.raises(TimeoutError, match="no progress"):
            await client.receive_response()

    loop = ClockEventLoop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_clock_jumps_over_sleeps_in_order() -> None:
    """Timers fire in their order and the clock says how long they would have taken."""
    loop = ClockEventLoop()
    order: list[int] = []

    async def sleeper(seconds: int) -> None:
        await asyncio.sleep(seconds)
        order.append(seconds)

    async def main() -> float:
        before = loop.time()
        await asyncio.gather(*(sleeper(seconds) for seconds in (3600, 5, 60)))
        return loop.time() - before

    try:
        elapsed = loop.run_until_complete(main())
    finally:
        loop.close()
    assert order == [5, 60, 3600]
    assert pytest.approx(3600) == elapsed


def test_clock_stands_still_without_autojump() -> None:
    """With autojump off only advance() lets a timer fire, and never early."""
    loop = ClockEventLoop(autojump=False)
    fired: list[str] = []

    async def main() -> None:
        loop.call_later(10, fired.append, "timer")
        loop.advance(9.5)
        for _ in range(5):
            await asyncio.sleep(0)
        assert fired == []
        loop.advance(0.5)
        for _ in range(2):
            await asyncio.sleep(0)

    try:
        loop.run_until_complete(main())
        with pytest.raises(ValueError, match="does not go back"):
            loop.advance(-1)
    finally:
        loop.close()
    assert fired == ["timer"]


def test_loop_serves_real_sockets_while_the_clock_jumps() -> None:
    """Ready I/O goes before a jump of the clock."""
    loop = ClockEventLoop()

    async def main() -> bytes:
        async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(4))
            writer.close()

        server = await asyncio.start_server(reply, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"ping")
        data = await reader.read()
        writer.close()
        server.close()
        return data

    try:
        assert loop.run_until_complete(main()) == b"ping"
    finally:
        loop.close()


# -- the harness -----------------------------------------------------------------


class Echo(BaseInterface):
    """Answers with the request's content, and notes its life."""

    def __init__(self) -> None:
        self.life: list[str] = []
        self.peers: list[object] = []
        self.left = asyncio.Event()

    def setup(self, loop: asyncio.AbstractEventLoop) -> None:
        self.life.append("setup")

    async def startup(self) -> None:
        self.life.append("startup")

    async def handle_http(self, stream: HTTPStream) -> None:
        self.peers.append((stream.client, stream.server))
        if stream.path == "/wait":
            await stream.wait_disconnect()
            self.left.set()
            return
        stream.respond(200, [(b"content-type", b"text/plain")], await stream.read_all())

    async def shutdown(self) -> None:
        self.life.append("shutdown")

    def teardown(self, loop: asyncio.AbstractEventLoop) -> None:
        self.life.append("teardown")


def test_memory_server_runs_an_interface_through_its_whole_life() -> None:
    """Every method of the interface is called, in its order, without a socket."""
    interface = Echo()

    async def main() -> None:
        async with MemoryServer(interface) as server:
            client = server.connect()
            response = await client.request("POST", "/", body=b"hello")
            assert (response.status, response.body) == (200, b"hello")
            assert client.transport.writes == [client.output]
            assert (await client.request("GET", "/again")).status == 200
            assert server.clients == [client]
            assert interface.life == ["setup", "startup"]
        assert client.closed

    asyncio.run(asyncio.wait_for(main(), 30))
    assert interface.life == ["setup", "startup", "shutdown", "teardown"]


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_memory_server_uses_its_configuration(engine: EngineChoice) -> None:
    """Settings reach the connections; bytes one at a time are the same request."""

    async def main() -> None:
        settings = HTTP1Settings(keep_alive=False, engine=engine)
        async with MemoryServer(Echo(), ServerConfig(http1=settings)) as server:
            client = server.connect()
            client.send_bytewise(
                b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"3\r\nabc\r\n0\r\n\r\n"
            )
            response = await client.receive_response()
            assert (response.body, response.header(b"connection")) == (b"abc", b"close")
            assert await client.read_until_close() == b""

    asyncio.run(asyncio.wait_for(main(), 30))


def test_memory_server_tells_a_client_that_leaves() -> None:
    """A reset in the middle of a request wakes the application."""
    interface = Echo()

    async def main() -> None:
        async with MemoryServer(interface) as server:
            client = server.connect()
            client.send_request("GET", "/wait")
            await asyncio.sleep(0)
            client.abort()
            await interface.left.wait()
            await client.wait_ended()
            assert client.output == b""

    asyncio.run(asyncio.wait_for(main(), 30))


def test_memory_server_can_pose_as_a_unix_listener() -> None:
    """The addresses of a connection are the test's choice."""
    interface = Echo()

    async def main() -> None:
        async with MemoryServer(interface) as server:
            await server.connect(peername="", sockname="/run/app.sock").request()
            await server.connect(peername=("192.0.2.1", 7)).request()

    asyncio.run(asyncio.wait_for(main(), 30))
    assert interface.peers == [
        (None, ("/run/app.sock", None)),
        (("192.0.2.1", 7), ("127.0.0.1", 8000)),
    ]


@pytest.mark.parametrize(
    ("sent", "limit"),
    [
        pytest.param(b"", HTTP1Settings().header_read_timeout / 1000, id="silent"),
        pytest.param(b"GET / HT", HTTP1Settings().header_read_timeout / 1000, id="head"),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP1Settings().keep_alive_timeout, id="idle"
        ),
    ],
)
def test_memory_server_deadlines_follow_a_clock_that_jumps(sent: bytes, limit: float) -> None:
    """A minute's deadline is tested in no time: never early, at most one sweep late."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with MemoryServer(Echo(), timeout=None) as server:
            client = server.connect()
            before = loop.time()
            if sent:
                client.send(sent)
            await client.read_until_close()
            assert limit <= loop.time() - before <= limit + 1.0

    loop = ClockEventLoop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()

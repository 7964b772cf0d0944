"""Applications that misbehave: each fault has one outcome, and no response ever shifts.

Behind every faulty exchange stands a pipelined one; either it gets its own answer, or
the connection has ended before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from granian_core import (
    BlockingPool,
    BlockingStream,
    HTTPStream,
    LocalProtocolError,
    run_blocking,
)
from granian_core.errors import RemoteProtocolError
from granian_core.settings import EngineChoice
from granian_core.testing import MemoryClient
from tests.core.http1.serving import both_engines, serving, turns

NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
BAD_VALUES = (
    b"a\rb",
    b"a\nb",
    b"a\r\nSet-Cookie: x=y",
    b"a\x00b",
    b"\n",
    b"a\r\n b",
    b"a\r\n\r\nHTTP/1.1 200 OK",
)
BAD_NAMES = (b"", b"a b", b"a:", b"a\r\nb", b"a\x00", b"a\xe9", b"a\t", b"(a)", b" a", b"a\n")
BAD_FIELDS = [
    *[pytest.param([(b"x", value)], id=f"value-{i}") for i, value in enumerate(BAD_VALUES)],
    *[pytest.param([(name, b"v")], id=f"name-{i}") for i, name in enumerate(BAD_NAMES)],
    pytest.param([(b"ok", b"v"), (b"x", b"a\nb")], id="second"),
    pytest.param([("x", b"v")], id="str-name"),
    pytest.param([(b"x", "v")], id="str-value"),
    pytest.param([(b"x", None)], id="none-value"),
    pytest.param([(b"x", 5)], id="int-value"),
    pytest.param([(b"x",)], id="one-item"),
    pytest.param([(b"x", b"v", b"w")], id="three-items"),
    pytest.param([b"xy"], id="bytes-for-a-pair"),
    pytest.param([None], id="none-for-a-pair"),
    pytest.param(5, id="no-iterable"),
    pytest.param([(b"content-length", b"-1")], id="length-negative"),
    pytest.param([(b"content-length", b"5, 5")], id="length-list"),
    pytest.param([(b"content-length", b"x")], id="length-letters"),
    pytest.param([(b"content-length", b"")], id="length-empty"),
    pytest.param([(b"Content-Length", b"5"), (b"content-length", b"6")], id="lengths-conflict"),
]

Fault = Callable[[HTTPStream], Awaitable[None]]


def run(
    fault: Fault,
    *,
    method: str = "GET",
    minor: int = 1,
    engine: EngineChoice = "fast",
) -> MemoryClient:
    """Let *fault* answer the first of two requests; return the client when all is over."""

    async def handler(stream: HTTPStream) -> None:
        if stream.path == "/next":
            stream.respond(200, [(b"x-next", b"1")], b"next")
        else:
            await fault(stream)

    async def main() -> MemoryClient:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            keep = b"Connection: keep-alive\r\n" if minor == 0 else b""
            first = f"{method} / HTTP/1.{minor}\r\nHost: a\r\n".encode() + keep + b"\r\n"
            client.send(first + NEXT)
            await turns(20)
            return client

    return asyncio.run(main())


def read(client: MemoryClient, method: str = "GET") -> Any:
    """Return the next response on *client*, which is not connected any more."""
    return asyncio.run(client.receive_response(method))


def is_500_and_the_next_is_answered(client: MemoryClient) -> None:
    first = read(client)
    assert first.status == 500
    assert first.body == b"Internal server error"
    assert first.header(b"content-type") == b"text/plain; charset=utf-8"
    assert first.header(b"content-length") == b"21"
    assert read(client).body == b"next"
    assert client.unread == b""


def is_cut(client: MemoryClient) -> None:
    """The first response is incomplete, and nothing follows."""
    with pytest.raises(RemoteProtocolError, match=r"closed|incomplete|without|peer"):
        read(client)
    assert b"x-next" not in client.output


def expect_error(caught: list[BaseException], call: Callable[[], object]) -> None:
    """Note what *call* raises in the application, and let it escape."""
    try:
        call()
    except Exception as exc:
        caught.append(exc)
        raise


@pytest.mark.parametrize("fields", BAD_FIELDS)
@pytest.mark.parametrize("way", ["respond", "start", "inform"])
def test_bad_response_fields_raise_in_the_application_and_give_a_500(
    way: str, fields: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caught: list[BaseException] = []

    async def fault(stream: HTTPStream) -> None:
        if way == "respond":
            expect_error(caught, lambda: stream.respond(200, fields, b"body"))
        elif way == "start":
            expect_error(caught, lambda: stream.start(200, fields))
        else:
            expect_error(caught, lambda: stream.inform(103, fields))

    client = run(fault)
    is_500_and_the_next_is_answered(client)
    assert [type(exc) for exc in caught] == [LocalProtocolError]
    assert [record.levelname for record in caplog.records if record.name == "_granian.serve"] == [
        "ERROR"
    ]


@pytest.mark.parametrize("fields", [p for p in BAD_FIELDS if not str(p.id).startswith("length")])
def test_bad_trailers_raise_in_the_application_and_cut_the_response(fields: Any) -> None:
    caught: list[BaseException] = []

    async def fault(stream: HTTPStream) -> None:
        stream.start(200, [])
        stream.write(b"body")
        expect_error(caught, lambda: stream.finish(fields))

    is_cut(run(fault))
    assert [type(exc) for exc in caught] == [LocalProtocolError]


@pytest.mark.parametrize("name", [b"content-length", b"Transfer-Encoding", b"connection"])
def test_framing_fields_in_trailers_are_refused(name: bytes) -> None:
    async def fault(stream: HTTPStream) -> None:
        stream.start(200, [])
        stream.finish([(name, b"5")])

    is_cut(run(fault))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((status, LocalProtocolError) for status in (0, 99, 100, 101, 199, 1000, -200, True)),
        ("200", TypeError),
        (None, TypeError),
    ],
)
def test_bad_status_gives_a_500(status: Any, error: type[Exception]) -> None:
    caught: list[BaseException] = []

    async def fault(stream: HTTPStream) -> None:
        expect_error(caught, lambda: stream.respond(status, [], b""))

    is_500_and_the_next_is_answered(run(fault))
    assert [type(exc) for exc in caught] == [error]


@pytest.mark.parametrize("reason", [b"a\rb", b"a\nb", b"a\r\nX: y", b"a\x00"])
def test_bad_reason_gives_a_500(reason: bytes) -> None:
    async def fault(stream: HTTPStream) -> None:
        stream.respond(200, [], b"", reason=reason)

    is_500_and_the_next_is_answered(run(fault))


@both_engines
def test_application_that_raises_gives_a_500(
    engine: EngineChoice, caplog: pytest.LogCaptureFixture
) -> None:
    async def fault(stream: HTTPStream) -> None:
        raise KeyError("secret")

    client = run(fault, engine=engine)
    assert b"secret" not in client.output
    is_500_and_the_next_is_answered(client)
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert errors[0].exc_info is not None


def test_application_that_returns_without_a_response_gives_a_500() -> None:
    async def fault(stream: HTTPStream) -> None:
        return

    is_500_and_the_next_is_answered(run(fault))


def test_application_that_exits_gives_a_500() -> None:
    async def fault(stream: HTTPStream) -> None:
        raise SystemExit(3)

    is_500_and_the_next_is_answered(run(fault))


async def _raise_after_start(stream: HTTPStream) -> None:
    stream.start(200, [])
    stream.write(b"some")
    raise ValueError("late")


async def _return_after_start(stream: HTTPStream) -> None:
    stream.start(200, [])
    stream.write(b"some")


async def _raise_with_length(stream: HTTPStream) -> None:
    stream.start(200, [(b"content-length", b"10")])
    stream.write(b"some")
    raise ValueError("late")


async def _finish_short(stream: HTTPStream) -> None:
    stream.start(200, [(b"content-length", b"10")])
    stream.write(b"some")
    with pytest.raises(LocalProtocolError, match="shorter"):
        stream.finish()


async def _start_without_body(stream: HTTPStream) -> None:
    stream.start(200, [(b"content-length", b"10")])


@pytest.mark.parametrize(
    "fault",
    [
        _raise_after_start,
        _return_after_start,
        _raise_with_length,
        _finish_short,
        _start_without_body,
    ],
)
def test_response_that_is_not_finished_is_cut(fault: Fault) -> None:
    is_cut(run(fault))


def test_whole_response_shorter_than_its_length_ends_the_connection() -> None:
    async def fault(stream: HTTPStream) -> None:
        stream.respond(200, [(b"content-length", b"10")], b"short")

    is_cut(run(fault))


def test_whole_response_longer_than_its_length_is_cut_and_ends_the_connection() -> None:
    caught: list[BaseException] = []

    async def fault(stream: HTTPStream) -> None:
        expect_error(
            caught, lambda: stream.respond(200, [(b"content-length", b"4")], b"much too long")
        )

    client = run(fault)
    assert read(client).body == b"much"
    assert client.closed
    assert client.unread == b""
    assert "longer" in str(caught[0])


def test_body_longer_than_its_length_is_cut_and_ends_the_connection() -> None:
    caught: list[BaseException] = []

    async def fault(stream: HTTPStream) -> None:
        stream.start(200, [(b"content-length", b"4")])
        stream.write(b"mu")
        expect_error(caught, lambda: stream.write(b"ch too long"))

    client = run(fault)
    assert read(client).body == b"much"
    assert client.closed
    assert client.unread == b""
    assert "longer" in str(caught[0])


def _twice(stream: HTTPStream) -> None:
    stream.respond(200, [], b"first")
    stream.respond(200, [], b"second")


def _start_twice(stream: HTTPStream) -> None:
    stream.respond(200, [], b"first")
    stream.start(200, [])


def _write_after(stream: HTTPStream) -> None:
    stream.respond(200, [], b"first")
    stream.write(b"more")


def _finish_after(stream: HTTPStream) -> None:
    stream.respond(200, [], b"first")
    stream.finish()


def _inform_after(stream: HTTPStream) -> None:
    stream.respond(200, [], b"first")
    stream.inform(103, [])


@pytest.mark.parametrize(
    "misuse", [_twice, _start_twice, _write_after, _finish_after, _inform_after]
)
def test_misuse_after_a_whole_response_raises_and_harms_nobody(
    misuse: Callable[[HTTPStream], None],
) -> None:
    caught: list[BaseException] = []

    async def fault(stream: HTTPStream) -> None:
        expect_error(caught, lambda: misuse(stream))

    client = run(fault)
    assert read(client).body == b"first"
    assert read(client).body == b"next"
    assert [type(exc) for exc in caught] == [LocalProtocolError]


@pytest.mark.parametrize("call", ["write", "finish"])
def test_misuse_before_a_response_raises_and_gives_a_500(call: str) -> None:
    async def fault(stream: HTTPStream) -> None:
        if call == "write":
            stream.write(b"early")
        else:
            stream.finish()

    is_500_and_the_next_is_answered(run(fault))


@pytest.mark.parametrize("status", [100, 101, 200, 99])
def test_bad_informational_status_gives_a_500(status: int) -> None:
    async def fault(stream: HTTPStream) -> None:
        stream.inform(status, [])

    is_500_and_the_next_is_answered(run(fault))


@pytest.mark.parametrize("body", ["text", None, 5, ["a"]])
def test_body_of_a_wrong_type_gives_a_500(body: Any) -> None:
    async def fault(stream: HTTPStream) -> None:
        stream.respond(200, [], body)

    is_500_and_the_next_is_answered(run(fault))


@pytest.mark.parametrize("data", ["text", 5])
def test_piece_of_a_wrong_type_cuts_the_response(data: Any) -> None:
    async def fault(stream: HTTPStream) -> None:
        stream.start(200, [])
        stream.write(data)

    is_cut(run(fault))


@pytest.mark.parametrize("way", ["respond", "stream"])
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_content_where_none_may_stand_is_not_sent(method: str, status: int, way: str) -> None:
    async def fault(stream: HTTPStream) -> None:
        if way == "respond":
            stream.respond(status, [], b"content")
        else:
            stream.start(status, [])
            stream.write(b"content")
            stream.finish()

    client = run(fault, method=method)
    first = read(client, method)
    assert first.status == status
    assert b"content" not in client.output.partition(b"\r\n\r\n")[2].partition(b"HTTP/1.1")[0]
    if status == 204:
        assert first.header(b"content-length") is None
        assert first.header(b"transfer-encoding") is None
    assert read(client).body == b"next"


def test_head_response_keeps_the_length_that_get_would_have() -> None:
    async def fault(stream: HTTPStream) -> None:
        stream.respond(200, [(b"content-length", b"7")], b"")

    client = run(fault, method="HEAD")
    assert read(client, "HEAD").header(b"content-length") == b"7"
    assert read(client).body == b"next"


def test_framing_fields_of_the_application_never_reach_the_wire() -> None:
    async def fault(stream: HTTPStream) -> None:
        fields = [
            (b"Transfer-Encoding", b"gzip, chunked"),
            (b"Keep-Alive", b"timeout=5"),
            (b"Upgrade", b"h2c"),
            (b"Connection", b"upgrade"),
        ]
        stream.respond(200, fields, b"whole")

    client = run(fault)
    first = read(client)
    assert first.body == b"whole"
    assert not {name for name, _ in first.headers} & {
        b"transfer-encoding", b"keep-alive", b"upgrade", b"connection",
    }  # fmt: skip
    assert read(client).body == b"next"


def test_connection_close_of_the_application_ends_the_connection() -> None:
    async def fault(stream: HTTPStream) -> None:
        stream.respond(200, [(b"Connection", b"close")], b"whole")

    client = run(fault)
    first = read(client)
    assert first.header(b"connection") == b"close"
    assert client.unread == b""


def test_response_without_a_length_to_http_1_0_ends_with_the_connection() -> None:
    async def fault(stream: HTTPStream) -> None:
        stream.start(200, [])
        stream.write(b"un")
        stream.write(b"framed")
        stream.finish([(b"x-trailer", b"dropped")])

    client = run(fault, minor=0)
    assert client.output.endswith(b"\r\n\r\nunframed")
    assert b"connection: close" in client.output
    assert b"transfer-encoding" not in client.output
    assert client.closed


def test_informational_responses_are_not_sent_to_http_1_0() -> None:
    async def fault(stream: HTTPStream) -> None:
        stream.inform(103, [(b"link", b"</a>")])
        stream.respond(200, [], b"whole")

    assert b"103" not in run(fault, minor=0).output.partition(b"\r\n\r\n")[0]
    client = run(fault)
    first = read(client)
    assert [one.status for one in first.informational] == [103]
    assert first.body == b"whole"


def test_trailers_are_sent_behind_a_chunked_body() -> None:
    async def fault(stream: HTTPStream) -> None:
        stream.start(200, [])
        stream.write(b"body")
        stream.finish([(b"X-Sum", b"1")])

    client = run(fault)
    first = read(client)
    assert first.body == b"body"
    assert cast("list[tuple[bytes, bytes]]", first.trailers) == [(b"x-sum", b"1")]
    assert read(client).body == b"next"


@pytest.mark.parametrize("body", [5, "text", None])
@pytest.mark.parametrize("way", ["respond", "write"])
def test_body_of_a_wrong_type_from_a_thread_is_refused(way: str, body: Any) -> None:
    """Never that many zeros, which is what ``bytes(5)`` would be."""
    pool = BlockingPool(1)
    caught: list[BaseException] = []

    def call(stream: BlockingStream) -> None:
        if way == "respond":
            expect_error(caught, lambda: stream.respond(200, [], body))
        stream.start(200, [])
        expect_error(caught, lambda: stream.write(body))

    async def main() -> MemoryClient:
        async with serving(lambda stream: run_blocking(pool, stream, call)) as subject:
            client = subject.connect()
            client.send(NEXT.replace(b"Host", b"Connection: close\r\nHost"))
            await client.wait_for(lambda: client.closed)
            return client

    client = asyncio.run(main())
    pool.shutdown(wait=True, timeout=20)
    assert [type(exc) for exc in caught] == [TypeError]
    assert b"\x00" not in client.output
    if way == "respond":
        assert read(client).status == 500
    else:
        is_cut(client)

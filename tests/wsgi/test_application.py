"""Applications on the real core: the good, the odd and the bad, each with its one outcome."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from tests.wires import over_http1
from tests.wsgi.serving import PATIENCE, Reply, Serving, fetch

Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], None]]
PLAIN = [("Content-Type", "text/plain")]
ERROR_500 = b"Internal server error"

pytestmark = pytest.mark.usefixtures("wire")


class Closing:
    """A result that counts how often it is closed."""

    def __init__(self, *blocks: bytes | Exception) -> None:
        self.blocks = blocks
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for block in self.blocks:
            if isinstance(block, Exception):
                raise block
            yield block

    def close(self) -> None:
        self.closed += 1


def returning(result: Any, status: str = "200 OK", headers: Any = None) -> Any:
    """Return an application that answers with *result*."""

    def application(environ: Environ, start_response: Start) -> Any:
        start_response(status, PLAIN if headers is None else headers)
        return result

    return application


def run_one(application: object, transport: str, *args: Any, **kwargs: Any) -> Reply:
    return asyncio.run(fetch(application, transport, *args, **kwargs))


def application_errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


# -- answers -----------------------------------------------------------------------


@over_http1
def test_single_item_list_has_its_length_and_reason(transport: str) -> None:
    reply = run_one(returning([b"hello"], "200 Alright"), transport)

    assert (reply.status, reply.reason, reply.body) == (200, b"Alright", b"hello")
    assert reply.header(b"content-length") == b"5"
    assert reply.header(b"content-type") == b"text/plain"
    assert reply.header(b"server") == b"granian"
    assert reply.header(b"transfer-encoding") is None
    assert reply.complete


@over_http1
def test_generator_is_streamed_block_by_block(transport: str) -> None:
    """The client has the first block while the application waits before the second."""
    go_on = threading.Event()

    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b"first"
        assert go_on.wait(PATIENCE)
        yield b""
        yield b"second"

    async def main() -> None:
        async with Serving(application, transport) as server:
            client = await server.connect()
            client.get()
            seen = b""
            while b"first" not in seen:
                data = await asyncio.wait_for(client.read(), PATIENCE)
                assert data
                seen += data
            assert b"second" not in seen
            go_on.set()
            client._rest = seen
            reply = await client.receive()
        assert reply.blocks == [b"first", b"second"]
        assert reply.header(b"transfer-encoding") == b"chunked"
        assert reply.complete

    asyncio.run(main())


def test_declared_length_is_kept(transport: str) -> None:
    headers = [("Content-Length", "6")]
    reply = run_one(returning(iter([b"one", b"two"]), headers=headers), transport)

    assert (reply.body, reply.header(b"content-length")) == (b"onetwo", b"6")
    assert reply.header(b"transfer-encoding") is None


def test_imperative_writes(transport: str) -> None:
    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        write = start_response("200 OK", PLAIN)
        write(b"one ")
        write(b"two ")
        return [b"three"]

    reply = run_one(application, transport)

    assert (reply.body, reply.complete) == (b"one two three", True)


def test_repeated_response_fields_stay_apart(transport: str) -> None:
    headers = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "caf\xe9")]
    reply = run_one(returning([b""], headers=headers), transport)

    assert [value for name, value in reply.headers if name == b"set-cookie"] == [b"a=1", b"b=2"]
    assert reply.header(b"x-latin") == b"caf\xe9"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("result", [[b"dropped"], (b"drop", b"ped")])
def test_statuses_without_content(status: str, result: Any, transport: str) -> None:
    async def main() -> None:
        async with Serving(returning(result, status, []), transport) as server:
            client = await server.connect()
            for _ in range(2):  # nothing of the first is left on the connection
                reply = await client.request()
                assert (reply.status, reply.body) == (int(status[:3]), b"")

    asyncio.run(main())


@pytest.mark.parametrize("result", [[b"body"], lambda: iter([b"bo", b"dy"])])
def test_head_has_the_fields_of_get_and_no_body(result: Any, transport: str) -> None:
    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        made: Iterable[bytes] = result() if callable(result) else result
        return made

    async def main() -> None:
        async with Serving(application, transport) as server:
            client = await server.connect()
            for _ in range(2):
                reply = await client.request(method="HEAD")
                assert (reply.status, reply.body) == (200, b"")
                assert reply.header(b"content-length") == b"4"

    asyncio.run(main())


def test_connection_is_reused_and_pipelined_requests_are_answered_in_order(transport: str) -> None:
    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return [environ["PATH_INFO"].encode("latin-1")]

    async def main() -> None:
        async with Serving(application, transport) as server:
            client = await server.connect()
            for number in range(5):
                reply = await client.request(f"/{number}")
                assert reply.body == b"/%d" % number
            client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(5)))
            for number in range(5):
                assert (await client.receive()).body == b"/%d" % number

    asyncio.run(main())


# -- the environ as it arrives -----------------------------------------------------


@over_http1
def test_environ_of_a_real_request(transport: str) -> None:
    seen: list[Environ] = []

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        seen.append(environ)
        start_response("200 OK", PLAIN)
        return [b""]

    fields = ("X-Twice: 1", "X_Twice: forged", "Cookie: a=1", "X-Twice: 2", "Cookie: b=2")
    run_one(application, transport, "/app/caf%C3%A9?q=%20", *fields, root_path="/app", workers=2)

    (environ,) = seen
    assert environ["SCRIPT_NAME"] == "/app"
    assert environ["PATH_INFO"] == "/caf\xc3\xa9"
    assert environ["QUERY_STRING"] == "q=%20"
    assert environ["HTTP_HOST"] == "test"
    assert environ["HTTP_X_TWICE"] == "1,2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["SERVER_NAME"] == "127.0.0.1"
    assert environ["SERVER_PORT"].isdigit()
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["REMOTE_PORT"].isdigit()
    assert environ["wsgi.multithread"] is True
    assert environ["wsgi.multiprocess"] is True


@over_http1
def test_http_1_0(transport: str) -> None:
    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        yield environ["SERVER_PROTOCOL"].encode()
        yield b" without chunks"

    async def main() -> None:
        async with Serving(application, transport) as server:
            client = await server.connect()
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            reply = await client.receive()
        assert reply.body == b"HTTP/1.0 without chunks"
        assert reply.header(b"transfer-encoding") is None

    asyncio.run(main())


def test_calls_run_side_by_side_up_to_the_pool_s_size(transport: str) -> None:
    together = threading.Barrier(3)

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        together.wait(PATIENCE)
        start_response("200 OK", PLAIN)
        return [threading.current_thread().name.encode()]

    async def main() -> None:
        async with Serving(application, transport, threads=3) as server:
            clients = [await server.connect() for _ in range(3)]
            for client in clients:
                client.get()
            replies = [await client.receive() for client in clients]
        assert len({reply.body for reply in replies}) == 3

    asyncio.run(main())


def test_one_thread_means_one_call_at_a_time(transport: str) -> None:
    running = threading.Lock()

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        assert environ["wsgi.multithread"] is False
        assert running.acquire(blocking=False)
        try:
            start_response("200 OK", PLAIN)
            return [b"alone"]
        finally:
            running.release()

    async def main() -> None:
        async with Serving(application, transport, threads=1) as server:
            clients = [await server.connect() for _ in range(8)]
            for client in clients:
                client.get()
            assert {(await client.receive()).body for client in clients} == {b"alone"}

    asyncio.run(main())


# -- request bodies ----------------------------------------------------------------


def echo(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Stream the body back as it comes."""
    start_response("200 OK", PLAIN)
    while block := environ["wsgi.input"].read(10_000):
        yield block


def lines(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Mix the ways to read, and tell what came of each."""
    body = environ["wsgi.input"]
    parts = [body.read(2), body.readline(), body.readline(3), next(body), *body.readlines()]
    start_response("200 OK", PLAIN)
    return [repr(parts).encode()]


BODY = bytes(range(256)) * 2000


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_body_is_streamed_through(framing: str, transport: str) -> None:
    async def main() -> None:
        async with Serving(echo, transport) as server:
            client = await server.connect()
            for _ in range(2):
                if framing == "length":
                    client.get(method="POST", body=BODY)
                else:
                    client.get("/", "Transfer-Encoding: chunked", method="POST")
                    client.send(chunked(BODY, 9_999))
                reply = await client.receive("POST")
                assert reply.complete
                assert reply.body == BODY

    asyncio.run(main())


def test_body_in_lines(transport: str) -> None:
    reply = run_one(lines, transport, method="POST", body=b"one\ntwo\nthree\nfour\nfive")

    assert (
        reply.body == repr([b"on", b"e\n", b"two", b"\n", b"three\n", b"four\n", b"five"]).encode()
    )


def test_body_is_read_as_it_comes(transport: str) -> None:
    """The application has the first piece before the client sends the second."""
    first = threading.Event()

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        parts = [environ["wsgi.input"].read(5)]
        first.set()
        parts.append(environ["wsgi.input"].read())
        start_response("200 OK", PLAIN)
        return [b"|".join(parts)]

    async def main() -> None:
        async with Serving(application, transport) as server:
            client = await server.connect()
            client.get("/", "Content-Length: 11", method="POST")
            client.send(b"first")
            assert await asyncio.to_thread(first.wait, PATIENCE)
            client.send(b"second")
            assert (await client.receive("POST")).body == b"first|second"

    asyncio.run(main())


@over_http1
def test_continue_is_sent_when_the_body_is_first_read(transport: str) -> None:
    reading = threading.Event()

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        assert reading.wait(PATIENCE)
        body = environ["wsgi.input"].read()
        start_response("200 OK", PLAIN)
        return [body]

    async def main() -> None:
        async with Serving(application, transport) as server:
            client = await server.connect()
            client.get("/", "Expect: 100-continue", "Content-Length: 4", method="POST")
            reading.set()
            head = await asyncio.wait_for(client.read(), PATIENCE)
            assert head == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(b"body")
            reply = await client.receive("POST")
        assert (reply.status, reply.body) == (200, b"body")

    asyncio.run(main())


def test_no_continue_for_a_body_that_nobody_reads(transport: str) -> None:
    reply = run_one(
        returning([b"no thanks"], "403 Forbidden"),
        transport,
        "/",
        "Expect: 100-continue",
        "Content-Length: 4",
        method="POST",
    )

    assert (reply.status, reply.body, reply.informational) == (403, b"no thanks", [])


@pytest.mark.parametrize("swallow", [True, False], ids=["handled", "escaping"])
def test_cut_body_is_an_oserror_and_not_our_error(
    swallow: bool, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    started = threading.Event()
    seen: list[BaseException] = []

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        started.set()
        try:
            environ["wsgi.input"].read()
        except OSError as exc:
            seen.append(exc)
            if not swallow:
                raise
        start_response("400 Bad Request", PLAIN)
        return [b"cut"]

    async def main() -> None:
        async with Serving(application, transport) as server:
            client = await server.connect()
            client.get("/", "Content-Length: 100", method="POST")
            client.send(b"half")
            assert await asyncio.to_thread(started.wait, PATIENCE)
            client.close()

    asyncio.run(main())

    assert len(seen) == 1
    assert application_errors(caplog) == []


# -- close() -----------------------------------------------------------------------


class ClosingList(list[bytes]):
    """PEP 3333 exempts no type from its rule on ``close()``."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Closing(b"a", b"b"), id="blocks"),
        pytest.param(Closing, id="nothing"),
        pytest.param(lambda: ClosingList([b"a"]), id="list"),
        pytest.param(lambda: Closing(b"a", ValueError("late")), id="error-after-the-head"),
        pytest.param(lambda: Closing(ValueError("early")), id="error-before-the-head"),
        pytest.param(lambda: Closing("text"), id="wrong-type"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_result_is_closed_once(make: Callable[[], Any], method: str, transport: str) -> None:
    result = make()

    run_one(returning(result), transport, method=method)

    assert result.closed == 1


def test_result_is_closed_when_start_response_was_never_called(transport: str) -> None:
    result = Closing(b"a")

    reply = run_one(lambda environ, start_response: result, transport)

    assert (reply.status, result.closed) == (500, 1)


def test_generator_is_closed_after_an_error_of_ours(transport: str) -> None:
    closed = threading.Event()

    def application(environ: Environ, start_response: Start) -> Iterator[Any]:
        start_response("200 OK", PLAIN)
        try:
            yield b"fine"
            yield 42
        finally:
            closed.set()

    reply = run_one(application, transport)

    assert not reply.complete
    assert closed.is_set()


def test_error_of_close_is_logged_and_the_answer_stands(
    transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Closing):
        def close(self) -> None:
            raise RuntimeError("cannot close")

    reply = run_one(returning(Broken(b"whole")), transport)

    assert (reply.body, reply.complete) == (b"whole", True)
    (record,) = application_errors(caplog)
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "cannot close"


def test_client_that_leaves_ends_the_iteration_and_closes_the_result(
    transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    started, closed = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        try:
            while True:
                yield b"x" * 65_536
                started.set()
        finally:
            closed.set()

    async def main() -> None:
        async with Serving(application, transport) as server:
            client = await server.connect()
            client.get()
            assert await asyncio.to_thread(started.wait, PATIENCE)
            client.close()
            assert await asyncio.to_thread(closed.wait, PATIENCE)

    asyncio.run(main())

    assert application_errors(caplog) == []


# -- errors ------------------------------------------------------------------------


def raising(error: BaseException) -> Any:
    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        raise error

    return application


def raising_after_start(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    raise ValueError("broken")


def raising_before_first_block(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    yield b""
    raise ValueError("broken")


@pytest.mark.parametrize(
    ("application", "text"),
    [
        pytest.param(raising(ValueError("broken")), "broken", id="exception"),
        pytest.param(raising(SystemExit(3)), "3", id="system-exit"),
        pytest.param(raising(KeyboardInterrupt("stop")), "stop", id="keyboard-interrupt"),
        pytest.param(raising_after_start, "broken", id="after-start-response"),
        pytest.param(raising_before_first_block, "broken", id="in-iteration"),
        pytest.param(lambda e, s: [b"x"], "did not call start_response", id="no-start-response"),
        pytest.param(lambda e, s: None, "not iterable", id="nothing-returned"),
        pytest.param(returning("text"), "must yield bytes, not str", id="str"),
        pytest.param(returning([b"x", 1]), "must yield bytes, not int", id="int-in-list"),
        pytest.param(returning([b""], "OK"), "invalid status", id="bad-status"),
        pytest.param(returning([b""], "099 Low"), "invalid status", id="low-status"),
        pytest.param(returning([b""], "100 Continue"), "100", id="informational-status"),
        pytest.param(returning([b""], headers=[("A", "b\r\nC: d")]), "control", id="injection"),
        pytest.param(returning([b""], headers=[("Connection", "close")]), "PEP 3333", id="hop"),
        pytest.param(
            returning([b""], headers=[("Content-Length", "x")]), "Content-Length", id="bad-length"
        ),
    ],
)
def test_error_before_the_head_is_answered_with_500_and_logged_once(
    application: object, text: str, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Serving(application, transport) as server:
            client = await server.connect()
            reply = await client.request()
            assert (reply.status, reply.body) == (500, ERROR_500)
            assert reply.header(b"content-length") == b"21"
            assert reply.header(b"content-type") == b"text/plain; charset=utf-8"
            assert reply.complete

    asyncio.run(main())

    (record,) = application_errors(caplog)
    assert record.getMessage() == "Application callable raised an exception"
    assert record.exc_info is not None
    assert text in str(record.exc_info[1])


def failing_late(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    yield b"part"
    raise ValueError("broken")


def yielding_text_late(environ: Environ, start_response: Start) -> Iterable[Any]:
    start_response("200 OK", PLAIN)
    yield b"part"
    yield "broken"


def failing_after_write(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)(b"part")
    raise ValueError("broken")


def starting_again(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)(b"part")
    try:
        raise ValueError("broken")
    except ValueError:
        start_response("500 Oops", PLAIN, sys.exc_info())
    return [b"never sent"]


def too_short(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "9")])
    return iter([b"pa", b"rt"])


@pytest.mark.parametrize(
    "application",
    [
        failing_late,
        yielding_text_late,
        failing_after_write,
        starting_again,
        too_short,
    ],
)
def test_error_after_the_head_cuts_the_response(
    application: object, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    reply = run_one(application, transport)

    assert (reply.status, reply.body, reply.complete) == (200, b"part", False)
    assert len(application_errors(caplog)) == 1


@over_http1
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: [b"abcdef"], id="list"),
        pytest.param(lambda: iter([b"abc", b"def"]), id="blocks"),
        pytest.param(lambda: iter([b"abcd", b"ef"]), id="exact-block-then-more"),
        pytest.param(lambda: iter([b"ab", b"cdef"]), id="block-over-the-border"),
    ],
)
def test_body_beyond_its_declared_length_never_reaches_the_client(
    make: Callable[[], Any], transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    reply = run_one(returning(make(), headers=[("Content-Length", "4")]), transport)

    assert reply.body in (b"abcd", ERROR_500)
    assert len(application_errors(caplog)) == 1


@over_http1
def test_error_page_replaces_an_answer_that_has_not_left(transport: str) -> None:
    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        try:
            raise ValueError("handled")
        except ValueError:
            start_response("503 Later", [("Retry-After", "1")], sys.exc_info())
        return [b"sorry"]

    reply = run_one(application, transport)

    assert (reply.status, reply.reason, reply.body) == (503, b"Later", b"sorry")
    assert reply.header(b"content-type") is None


def test_server_goes_on_after_every_kind_of_error(transport: str) -> None:
    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/exit":
            raise SystemExit
        start_response("200 OK", PLAIN)
        return [b"alive"]

    async def main() -> None:
        async with Serving(application, transport, threads=1) as server:
            for target, status in (("/exit", 500), ("/", 200), ("/exit", 500), ("/", 200)):
                client = await server.connect()
                assert (await client.request(target)).status == status
            assert server.pool.threads == 1

    asyncio.run(main())


# -- files -------------------------------------------------------------------------


def sending(path: Path, *, start: int = 0, headers: Any = ()) -> Any:
    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        file = path.open("rb")
        file.seek(start)
        start_response("200 OK", list(headers))
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 4096)
        return wrapped

    return application


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(BODY * 4)
    return path


@pytest.mark.parametrize("start", [0, 1000, len(BODY) * 4])
def test_file_is_sent_whole(start: int, big_file: Path, transport: str) -> None:
    async def main() -> None:
        async with Serving(sending(big_file, start=start), transport) as server:
            client = await server.connect()
            for _ in range(2):
                reply = await client.request()
                assert reply.complete
                assert reply.body == (BODY * 4)[start:]
                assert reply.header(b"content-length") == b"%d" % (len(BODY) * 4 - start)

    asyncio.run(main())


def test_part_of_a_file(big_file: Path, transport: str) -> None:
    application = sending(big_file, start=5, headers=[("Content-Length", "1000")])

    assert run_one(application, transport).body == BODY[5:1005]


def test_file_shorter_than_its_declared_length_is_cut(big_file: Path, transport: str) -> None:
    headers = [("Content-Length", str(len(BODY) * 4 + 1))]

    assert not run_one(sending(big_file, headers=headers), transport).complete


def test_head_of_a_file(big_file: Path, transport: str) -> None:
    reply = run_one(sending(big_file), transport, method="HEAD")

    assert (reply.body, reply.header(b"content-length")) == (b"", b"%d" % (len(BODY) * 4))


def test_file_is_closed(big_file: Path, transport: str) -> None:
    files: list[Any] = []

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        files.append(big_file.open("rb"))
        start_response("200 OK", PLAIN)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](files[-1])
        return wrapped

    run_one(application, transport)

    assert [file.closed for file in files] == [True]


# -- wsgiref.validate --------------------------------------------------------------


def correct(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Use most of what PEP 3333 offers, correctly."""
    environ["wsgi.errors"].flush()
    body = environ["wsgi.input"].read(100)
    write = start_response("200 OK", [("Content-Type", "text/plain"), ("X-A", "b")])
    write(b"written ")
    return [b"returned ", body]


def correct_generator(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one "
    yield environ["wsgi.input"].readline(100)
    yield from environ["wsgi.input"]


@pytest.mark.parametrize("application", [correct, correct_generator])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.filterwarnings("default")
def test_validator_finds_nothing(
    application: Any, method: str, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = b"line\nmore\n" if method == "POST" else b""
    fields = ("Content-Type: text/plain",) if body else ()

    reply = run_one(
        validator(application),
        transport,
        "/mount/p?q=1",
        *fields,
        method=method,
        body=body,
        root_path="/mount",
    )

    assert reply.complete
    assert reply.status == 200
    assert reply.body.endswith(body)
    assert application_errors(caplog) == []

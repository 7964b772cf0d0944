"""File responses: whole, in ranges, missing, and while the application goes on."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from granian_core import files
from granian_core.testing import MemoryResponse, MemoryServer
from granian_rsgi import HTTPProtocol, HTTPScope
from tests.rsgi.support import SERVER_ERROR, exchange, fetch, serve
from tests.wires import over_http1

pytestmark = pytest.mark.usefixtures("wire")

Application = Callable[[HTTPScope, HTTPProtocol], Awaitable[None]]

CONTENT = os.urandom(3 * files.BLOCK_SIZE + 17)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def large(tmp_path: Path) -> str:
    path = tmp_path / "large.bin"
    path.write_bytes(CONTENT)
    return str(path)


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.txt"
    path.write_bytes(b"0123456789")
    return str(path)


def sending(respond: Callable[[HTTPProtocol], None]) -> Application:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        respond(protocol)

    return application


def test_a_small_file_is_sent_with_its_length(small: str) -> None:
    response = fetch(sending(lambda protocol: protocol.response_file(201, [("X-A", "1")], small)))

    assert response.status == 201
    assert response.header(b"x-a") == b"1"
    assert response.header(b"content-length") == b"10"
    assert response.body == b"0123456789"


def test_a_large_file_is_sent_in_blocks_with_its_length(large: str) -> None:
    async def scenario(server: MemoryServer) -> list[MemoryResponse]:
        client = server.connect()
        return [await client.request(), await client.request()]

    application = sending(lambda protocol: protocol.response_file(200, [], file=large))
    for response in serve(application, scenario):
        assert response.header(b"content-length") == b"%d" % len(CONTENT)
        assert response.body == CONTENT


def test_an_empty_file_is_an_empty_body(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()

    response = fetch(sending(lambda protocol: protocol.response_file(200, [], str(path))))

    assert (response.status, response.header(b"content-length")) == (200, b"0")


@pytest.mark.parametrize("name", ["small", "large"])
def test_head_gets_the_length_of_the_file_and_no_body(
    name: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(name)

    response = fetch(sending(lambda protocol: protocol.response_file(200, [], path)), "HEAD")

    assert response.header(b"content-length") == b"%d" % Path(path).stat().st_size
    assert response.body == b""


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_status_without_content_sends_no_file(name: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(name)

    async def scenario(server: MemoryServer) -> list[MemoryResponse]:
        client = server.connect()
        return [await client.request(), await client.request()]

    application = sending(lambda protocol: protocol.response_file(204, [], path))
    for response in serve(application, scenario):
        assert (response.status, response.body) == (204, b"")


def test_a_length_of_the_application_is_kept(large: str) -> None:
    headers = [("content-length", str(len(CONTENT)))]

    response = fetch(sending(lambda protocol: protocol.response_file(200, headers, large)))

    assert response.header_values(b"content-length") == [b"%d" % len(CONTENT)]
    assert response.body == CONTENT


@over_http1
@pytest.mark.parametrize("name", ["small", "large"])
@pytest.mark.parametrize("difference", [-1, 1])
def test_a_wrong_length_of_the_application_never_shifts_the_next_response(
    name: str,
    difference: int,
    request: pytest.FixtureRequest,
) -> None:
    path = request.getfixturevalue(name)
    size = Path(path).stat().st_size
    headers = [("content-length", str(size + difference))]

    wire = exchange(sending(lambda protocol: protocol.response_file(200, headers, path)), GET * 2)

    head, _, body = wire.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == Path(path).read_bytes()[: size + min(difference, 0)]


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (2, 5), (9, 10), (0, 10), (5, 1000), (10, 11), (1000, 2000)]
)
def test_a_range_starts_inclusive_ends_exclusive_and_stops_at_the_end(
    small: str, start: int, end: int
) -> None:
    response = fetch(
        sending(
            lambda protocol: protocol.response_file_range(206, [], file=small, start=start, end=end)
        )
    )

    assert response.status == 206
    assert response.body == b"0123456789"[start:end]


def test_a_large_range_is_sent_in_blocks(large: str) -> None:
    start, end = 5, 2 * files.BLOCK_SIZE + 9

    response = fetch(
        sending(lambda protocol: protocol.response_file_range(206, [], large, start, end))
    )

    assert response.header(b"content-length") == b"%d" % (end - start)
    assert response.body == CONTENT[start:end]


@pytest.mark.parametrize(("start", "end"), [(1, 1), (2, 1), (-1, 5), (-2, -1)])
def test_an_empty_or_negative_range_raises(small: str, start: int, end: int) -> None:
    def respond(protocol: HTTPProtocol) -> None:
        with pytest.raises(ValueError, match="^Invalid range$"):
            protocol.response_file_range(206, [], small, start, end)
        protocol.response_str(200, [], "rescued")

    assert fetch(sending(respond)).body == b"rescued"


@pytest.mark.parametrize("file", [b"/etc/hostname", Path("/etc/hostname"), 3, None])
def test_the_path_is_a_str(file: object) -> None:
    def respond(protocol: HTTPProtocol) -> None:
        with pytest.raises(TypeError, match="file must be str"):
            protocol.response_file(200, [], file)  # type: ignore[arg-type]
        protocol.response_str(200, [], "rescued")

    assert fetch(sending(respond)).body == b"rescued"


def missing(directory: Path) -> str:
    return str(directory / "missing")


def a_directory(directory: Path) -> str:
    return str(directory)


def a_fifo(directory: Path) -> str:
    path = str(directory / "fifo")
    os.mkfifo(path)
    return path


def with_a_nul(directory: Path) -> str:
    return str(directory / "a\0b")


def with_a_newline(directory: Path) -> str:
    return str(directory / "a\nb")


def below_a_file(directory: Path) -> str:
    return __file__ + "/below"


@pytest.mark.parametrize(
    "make", [missing, a_directory, a_fifo, with_a_nul, with_a_newline, below_a_file]
)
def test_what_can_not_be_sent_is_a_404(
    make: Callable[[Path], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make(tmp_path)
    headers = [("x-a", "1"), ("content-length", "5")]

    with caplog.at_level(logging.INFO, logger="_granian"):
        response = fetch(sending(lambda protocol: protocol.response_file(200, headers, path)))

    assert (response.status, response.body) == (404, b"Not found")
    assert response.header(b"x-a") is None
    (record,) = [record for record in caplog.records if record.name == "_granian.files"]
    assert record.levelno == logging.INFO
    assert record.message.startswith("Cannot open file ")
    assert "\n" not in record.message


def test_a_file_starts_at_once_while_the_application_goes_on(large: str) -> None:
    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        protocol.response_file(200, [], large)
        await received.wait()
        ended.append("application")

    async def scenario(server: MemoryServer) -> bytes:
        nonlocal received
        received = asyncio.Event()
        response = await server.connect().request()
        assert ended == []
        received.set()
        return response.body

    received: asyncio.Event
    ended: list[str] = []

    assert serve(application, scenario) == CONTENT
    assert ended == ["application"]


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_bad_field_of_a_file_response_is_a_500(
    name: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    path = request.getfixturevalue(name)

    with caplog.at_level(logging.ERROR, logger="_granian"):
        response = fetch(
            sending(lambda protocol: protocol.response_file(200, [("a", "b\r\nc: d")], path))
        )

    assert (response.status, response.body) == (500, SERVER_ERROR)
    assert response.header(b"c") is None
    assert len(caplog.records) == 1


def test_an_exception_after_response_file_is_a_500_or_a_cut_and_closes_the_file(
    large: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No open file is left behind: a ResourceWarning would be an error here."""

    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        protocol.response_file(200, [], large)
        await asyncio.sleep(0)
        raise KeyError("after the call")

    with caplog.at_level(logging.ERROR, logger="_granian"):
        wire = exchange(application, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    assert b"500 Internal Server Error" in wire or len(wire) < len(CONTENT)
    assert "after the call" in caplog.text


def test_a_file_that_shrinks_while_it_is_sent_closes_the_connection(
    large: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(server: MemoryServer) -> bytes:
        client = server.connect()
        client.transport.stalled = True
        client.send(GET)
        await client.wait_for(lambda: client.transport.writing_paused)
        client.send(GET)  # HTTP/2 runs both at once: the other one might be the first to open
        os.truncate(large, 10)
        client.transport.stalled = False
        return await client.read_until_close()

    with caplog.at_level(logging.ERROR, logger="_granian"):
        wire = serve(sending(lambda protocol: protocol.response_file(200, [], large)), scenario)

    head, _, body = wire.partition(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % len(CONTENT) in head + b"\r\n"
    assert len(body) < len(CONTENT)
    assert CONTENT.startswith(body)
    assert "shorter than" in caplog.text


def test_a_client_that_leaves_ends_a_file_response(
    large: str, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[str] = []

    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        protocol.response_file(200, [], large)
        sending = protocol._stream.sending
        assert sending is not None
        await sending
        ended.append("sent")

    async def scenario(server: MemoryServer) -> None:
        client = server.connect()
        client.transport.stalled = True
        client.send_request()
        await client.wait_for(lambda: client.transport.writing_paused)
        client.abort()
        await client.wait_ended()

    with caplog.at_level(logging.ERROR, logger="_granian"):
        serve(application, scenario)
    assert ended == ["sent"]
    assert caplog.records == []


@over_http1
def test_a_read_error_cuts_the_response_at_once(
    large: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The application still runs; the client must not wait for its end."""

    class Failing:
        fd = -1

        def __init__(self, opened: files._Opened) -> None:
            self._file = opened.file

        def close(self) -> None:
            self._file.close()

        def read_at(self, offset: int, size: int) -> bytes:
            raise OSError("the disk is gone")

    really_open = files._open

    def open_failing(path: str, start: int, end: int | None) -> files._Opened:
        opened = really_open(path, start, end)
        return opened._replace(file=Failing(opened))  # type: ignore[arg-type]

    monkeypatch.setattr(files, "_open", open_failing)

    async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        protocol.response_file(200, [], large)
        await protocol.client_disconnect()

    async def scenario(server: MemoryServer) -> bytes:
        client = server.connect()
        client.send(GET)
        wire = await client.read_until_close()
        client.close()
        return wire

    with caplog.at_level(logging.ERROR, logger="_granian"):
        wire = serve(application, scenario)

    assert wire.partition(b"\r\n\r\n")[2] == CONTENT[: files.BLOCK_SIZE]
    assert "the disk is gone" in caplog.text

"""The extension ``http.response.pathsend``."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import pytest

from granian_asgi import Receive, Scope, Send
from granian_core import RemoteProtocolError
from granian_core.files import BLOCK_SIZE as BLOCK
from granian_core.testing import MemoryClient, MemoryResponse
from tests.asgi.support import ERROR, request, start, with_client
from tests.wires import over_http1

pytestmark = pytest.mark.usefixtures("wire")

CONTENT = bytes(range(256)) * (3 * BLOCK // 256) + b"rest"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "content.bin"
    path.write_bytes(CONTENT)
    return path


class Sender:
    """An application that answers with a file."""

    def __init__(self, path: object, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        self.path = str(path)
        self.headers = headers or []
        self.error: BaseException | None = None
        self.done = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["extensions"]["http.response.pathsend"] == {}
        try:
            await send(start(200, self.headers))
            await send({"type": "http.response.pathsend", "path": self.path})
        except BaseException as exc:
            self.error = exc
            raise
        finally:
            self.done.set()


def test_a_file_is_sent_whole_and_with_its_length(file: Path) -> None:
    response = request(Sender(file, [(b"content-type", b"application/x")]))

    assert response.status == 200
    assert response.body == CONTENT
    assert response.header(b"content-type") == b"application/x"
    assert response.header(b"content-length") == str(len(CONTENT)).encode()


def test_a_declared_length_is_kept(file: Path) -> None:
    length = str(len(CONTENT)).encode()

    response = request(Sender(file, [(b"content-length", length)]))

    assert response.body == CONTENT
    assert response.header(b"content-length") == length


def test_an_empty_file_is_an_empty_body(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    response = request(Sender(tmp_path / "empty"))

    assert (response.status, response.body) == (200, b"")


def test_head_reads_nothing(file: Path) -> None:
    length = str(len(CONTENT)).encode()

    response = request(Sender(file, [(b"content-length", length)]), "HEAD")

    assert response.header(b"content-length") == length
    assert response.body == b""


def test_a_link_to_a_file_is_followed(file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(file)

    assert request(Sender(tmp_path / "link")).body == CONTENT


@pytest.mark.parametrize("kind", ["missing", "directory", "NUL", "too long", "unreadable part"])
def test_what_is_no_file_is_a_404(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    path = {
        "missing": str(tmp_path / "missing\nforged line"),
        "directory": str(tmp_path),
        "NUL": "a\0b",
        "too long": str(tmp_path / ("x" * 5000)),
        "unreadable part": str(tmp_path / "file" / "below"),
    }[kind]

    with caplog.at_level(logging.INFO):
        response = request(Sender(path, [(b"content-type", b"text/html"), (b"x", b"y")]))

    assert (response.status, response.body) == (404, b"Not found")
    assert response.header(b"x") is None
    (record,) = [r for r in caplog.records if r.name.startswith("_granian.files")]
    assert record.levelname == "INFO"
    assert "Cannot open file" in record.getMessage()
    assert "\n" not in record.getMessage()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_is_a_404_and_not_a_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    assert request(Sender(tmp_path / "fifo")).status == 404


@over_http1
def test_a_file_longer_than_declared_is_cut_and_raises(file: Path) -> None:
    app = Sender(file, [(b"content-length", b"10")])

    response = request(app)

    assert response.body == CONTENT[:10]
    assert "longer than its Content-Length" in str(app.error)


def test_a_file_shorter_than_declared_cuts_and_raises(file: Path) -> None:
    app = Sender(file, [(b"content-length", str(len(CONTENT) + 1).encode())])

    with pytest.raises(RemoteProtocolError):
        request(app)
    assert "shorter than its Content-Length" in str(app.error)


def test_a_bad_head_is_a_500(file: Path) -> None:
    response = request(Sender(file, [(b"x", b"a\r\nb")]))

    assert (response.status, response.body) == ERROR


def test_a_client_that_does_not_read_bounds_what_is_read(file: Path) -> None:
    app = Sender(file)

    async def scenario(client: MemoryClient) -> MemoryResponse:
        client.transport.stalled = True
        client.send_request()
        await client.wait_for(lambda: client.transport.writing_paused)
        assert client.transport.get_write_buffer_size() < 2 * BLOCK
        assert not app.done.is_set()
        client.transport.stalled = False
        return await client.receive_response()

    assert with_client(app, scenario).body == CONTENT


def test_a_client_that_leaves_ends_the_reading(file: Path) -> None:
    app = Sender(file)

    async def scenario(client: MemoryClient) -> None:
        client.transport.stalled = True
        client.send_request()
        await client.wait_for(lambda: client.transport.writing_paused)
        client.abort()
        await app.done.wait()

    with_client(app, scenario)

    assert app.error is None


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc/self/fd")
def test_a_cancelled_send_closes_its_file(file: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        task = asyncio.ensure_future(send({"type": "http.response.pathsend", "path": str(file)}))
        await cancel.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        done.set()

    cancel, done = asyncio.Event(), asyncio.Event()

    async def scenario(client: MemoryClient) -> None:
        client.transport.stalled = True
        client.send_request()
        await client.wait_for(lambda: client.transport.writing_paused)
        assert _open_files(file) == 1
        cancel.set()
        await done.wait()
        assert _open_files(file) == 0
        client.abort()

    with_client(app, scenario)


def _open_files(path: Path) -> int:
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += entry.readlink() == path
        except OSError:
            continue
    return count

"""``wsgi.file_wrapper``: an iterator for everybody, a descriptor only where it is safe."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granian_wsgi import FileWrapper
from granian_wsgi.files import real_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    return path


class Plain:
    """The least that can be wrapped."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def read(self, size: int) -> bytes:
        self.sizes.append(size)
        return b"block" if len(self.sizes) < 3 else b""


def test_iterates_in_blocks(path: Path) -> None:
    with path.open("rb") as file:
        assert list(FileWrapper(file, 4)) == [b"0123", b"4567", b"89"]


def test_needs_nothing_but_read() -> None:
    file = Plain()
    wrapper = FileWrapper(file, 7)

    assert list(wrapper) == [b"block", b"block"]
    assert file.sizes == [7, 7, 7]
    wrapper.close()


def test_close_closes_the_file() -> None:
    file = io.BytesIO(b"data")

    FileWrapper(file).close()

    assert file.closed


@pytest.mark.parametrize(
    "open_file",
    [
        pytest.param(lambda path: path.open("rb"), id="buffered"),
        pytest.param(lambda path: path.open("r+b"), id="read-write"),
        pytest.param(lambda path: path.open("rb", buffering=0), id="raw"),
    ],
)
def test_regular_files_are_recognised_at_their_position(
    open_file: Callable[[Path], Any], path: Path
) -> None:
    with open_file(path) as file:
        assert file.read(3) == b"012"

        assert real_file(FileWrapper(file)) == (file, 7)


def test_temporary_files_are_recognised() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"0123456789")
        file.seek(4)

        found = real_file(FileWrapper(file))

        assert found is not None
        assert found[0].fileno() == file.fileno()
        assert found[1] == 6


def test_position_behind_the_end_leaves_nothing(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(50)

        assert real_file(FileWrapper(file)) == (file, 0)


class Shouting(io.FileIO):
    """Reads otherwise than its descriptor does."""

    def read(self, size: int | None = -1, /) -> bytes:
        return (super().read(-1 if size is None else size) or b"").upper()


def spooled() -> Any:
    return tempfile.SpooledTemporaryFile()


@pytest.mark.parametrize(
    "open_file",
    [
        pytest.param(gzip.GzipFile, id="compressed"),
        pytest.param(lambda path: io.BufferedReader(gzip.GzipFile(path)), id="buffered-compressed"),
        pytest.param(Shouting, id="subclass"),
        pytest.param(lambda path: io.BufferedReader(Shouting(path)), id="buffered-subclass"),
        pytest.param(lambda path: path.open("r"), id="text"),
        pytest.param(lambda path: path.open("ab"), id="write-only"),
        pytest.param(lambda path: io.BytesIO(b"memory"), id="memory"),
        pytest.param(lambda path: spooled(), id="spooled"),
        pytest.param(lambda path: os.fdopen(os.open(os.devnull, os.O_RDONLY), "rb"), id="device"),
    ],
)
def test_other_files_are_only_read(open_file: Callable[[Path], Any], path: Path) -> None:
    with open_file(path) as file:
        assert real_file(FileWrapper(file)) is None


def test_closed_file_is_not_used(path: Path) -> None:
    file = path.open("rb", buffering=0)
    file.close()

    assert real_file(FileWrapper(file)) is None


def test_anything_with_read_is_not_a_file() -> None:
    assert real_file(FileWrapper(Plain())) is None

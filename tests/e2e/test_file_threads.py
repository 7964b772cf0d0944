"""``--runtime-blocking-threads`` with the real command: how many, and how they are called."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.serving import ServerProcess, serving

APP = "tests.e2e.apps.files:rsgi"


def file_threads(server: ServerProcess) -> int:
    """Return how many threads of the worker are there for files."""
    (pid,) = server.worker_pids()
    names = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/comm")]
    return sum(name.startswith("granian-file") for name in names)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("limit", [1, 2])
def test_files_are_read_by_so_many_threads(tmp_path: Path, limit: int) -> None:
    for number in range(40):
        with (tmp_path / f"{number}.bin").open("wb") as file:
            file.truncate(400_000)
    options = ("--static-path-mount", str(tmp_path), "--runtime-blocking-threads", str(limit))
    with serving(APP, *options, interface="rsgi") as server, server.client() as client:
        assert file_threads(server) == 0  # they start on demand
        with ThreadPoolExecutor(8) as pool:
            for answer in pool.map(client.get, [f"/static/{n}.bin" for n in range(40)]):
                assert len(answer.content) == 400_000
        assert 1 <= file_threads(server) <= limit

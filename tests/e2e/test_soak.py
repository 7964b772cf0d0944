"""The soak in its short form; scripts/soak.py is the long one."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from scripts import soak
from tests.e2e.serving import serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

SECONDS = 12.0
"""Of traffic; with the rests in between the test takes some 20."""


def test_mixed_traffic_makes_nothing_grow(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("static" * 1000, encoding="ascii")
    options = ("--workers", "2", "--static-path-mount", str(tmp_path))
    with serving(soak.APP, *options) as server:
        server.log.wait_for("Serving asgi")
        running = soak.soak(server, seconds=SECONDS, rounds=6, clients=3, workers=2)
        traffic, history = asyncio.run(running)
        assert "[ERROR]" not in server.log.text
    assert traffic.faults == []
    assert soak.growth(history) == []
    assert set(traffic.done) == {"HTTP/1.1", "HTTP/2", "WebSocket", "upload", "reset"}


def state(resident: int, tasks: int) -> dict[str, int]:
    counts = dict.fromkeys(soak.COUNTS, 10)
    return {**counts, "resident": resident, "tasks": tasks}


@pytest.mark.parametrize(
    ("resident", "tasks", "found"),
    [
        ([50, 60, 60, 60, 61, 60], [3, 9, 3, 4, 4, 3], ""),
        ([50, 60, 60, 60, 70, 80], [3, 3, 3, 3, 3, 3], "resident memory grew"),
        ([60, 60, 60, 60, 60, 60], [3, 3, 4, 5, 6, 7], "tasks grew from 5 to 6"),
    ],
)
def test_growth_is_what_lies_above_all_of_before(
    resident: list[int], tasks: list[int], found: str
) -> None:
    pairs = zip(resident, tasks, strict=True)
    history = [{1: state(mebibytes << 20, count)} for mebibytes, count in pairs]
    assert found in " ".join(soak.growth(history))
    assert bool(found) == bool(soak.growth(history))

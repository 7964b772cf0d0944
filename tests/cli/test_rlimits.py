"""The limit of open files, in a process of its own: raising can not be taken back."""

from __future__ import annotations

import subprocess
import sys

import pytest

from granian_cli import rlimits

resource = pytest.importorskip("resource", reason="needs POSIX limits")

SCRIPT = """
import logging, resource, sys
from granian_cli import rlimits

logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="%(levelname)s %(message)s")
rlimits.MOST_OPEN_FILES = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
rlimits.raise_open_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "most", "raised"),
    [(100, 300, 1000, 300), (100, 300, 200, 200), (300, 300, 1000, None), (100, 300, 50, None)],
    ids=["to the hard limit", "to a sensible number", "is there already", "never lowered"],
)
def test_soft_limit_is_raised(soft: int, hard: int, most: int, raised: int | None) -> None:
    arguments = [sys.executable, "-c", SCRIPT, str(soft), str(hard), str(most)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines.pop() == f"{soft if raised is None else raised} {hard}"
    remark = f"DEBUG The limit of open files is raised from {soft} to {raised}"
    assert lines == ([] if raised is None else [remark])


def test_refusal_of_the_system_is_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(what: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda what: (100, 300))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    with caplog.at_level("DEBUG", "_granian.worker"):
        rlimits.raise_open_files()
    assert "stays at 100: not allowed" in caplog.text

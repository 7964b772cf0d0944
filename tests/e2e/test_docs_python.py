"""Every Python block of the pages about the Python API is a program: each one is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e.serving import ROOT, START_TIMEOUT, STOP_TIMEOUT, Log

PAGES = ("embedding", "proxies", "python-api")
BLOCK = re.compile(r"```python(?P<title> title=\"[^\"]+\")?\n(?P<code>.*?)```", re.DOTALL)


def blocks() -> list[object]:
    return [
        pytest.param(match["code"], id=f"{page}-{number}")
        for page in PAGES
        for number, match in enumerate(
            BLOCK.finditer((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))
        )
    ]


def test_the_pages_have_blocks() -> None:
    assert len(blocks()) == 10


@pytest.mark.parametrize("code", blocks())
def test_a_block_runs(code: str, tmp_path: Path) -> None:
    """To its end, or until it serves and is told to stop; warnings are errors."""
    (tmp_path / "main.py").write_text(code, encoding="utf-8")
    runner = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if "import pytest" in code else []
    process = subprocess.Popen(
        [sys.executable, "-W", "error", *runner, "main.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    log = Log(process)
    try:
        if ".serve(" in code and "asyncio.run(" not in code:
            log.wait_for("Serving ", START_TIMEOUT)
            url = log.wait_for(r"Listening at: (?P<url>\S+)")["url"]
            assert httpx.get(url, trust_env=False).status_code == 200
            process.terminate()
        assert process.wait(START_TIMEOUT + STOP_TIMEOUT) == 0, log.text
    finally:
        process.kill()
        process.wait()
        log.join(2.0)

"""The examples without a framework, and the commands of the readme.

Its code blocks are run by `tests/docs/test_blocks.py`.
"""

from __future__ import annotations

import re
import subprocess
import sys

import httpx
import pytest

from tests.e2e.serving import ROOT, START_TIMEOUT, STOP_TIMEOUT, Log, serving

README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize("interface", ["asgi", "rsgi", "wsgi"])
def test_example_greets_and_echoes(interface: str) -> None:
    target = f"{interface}_app:app"

    with (
        serving(target, "--working-dir", str(EXAMPLES), interface=interface) as server,
        server.client() as http,
    ):
        greeting = http.get("/")
        echo = http.post("/", content=b"the body")

    assert greeting.text == f"Hello from {interface.upper()}\n"
    assert echo.content == b"the body"


def test_custom_interface_example_serves_on_the_core_alone() -> None:
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "custom_interface.py"), "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    log = Log(process)
    try:
        address = log.wait_for(r"\('127\.0\.0\.1', (?P<port>\d+)\)", START_TIMEOUT)
        url = f"http://127.0.0.1:{address['port']}/"
        answer = httpx.post(url, content=b"quiet", trust_env=False)
        refused = httpx.post(url, content=bytes((1 << 20) + 1), trust_env=False)
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT)
        log.join(2.0)

    assert answer.content == b"QUIET"
    assert refused.status_code == 413


def test_command_list_of_the_readme_is_that_of_the_script() -> None:
    script = (ROOT / "scripts" / "dev.py").read_text(encoding="utf-8")

    named = re.findall(r"^python3 scripts/dev\.py (\w+)$", README, re.MULTILINE)

    assert named == ["serve", "test"]
    assert all(f'"{command}": {command}' in script for command in named)

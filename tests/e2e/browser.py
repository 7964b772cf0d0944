"""Drive headless Chromium over its DevTools protocol."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.serving import IO_TIMEOUT, START_TIMEOUT, Log

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


class Page:
    """One tab, driven by commands of the protocol.

    Args:
        socket: The WebSocket to it.
    """

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.call("Page.enable")

    def call(self, method: str, **parameters: object) -> Any:
        """Return the result of a command; events that come before it are dropped."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=IO_TIMEOUT))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def wait_for(self, event: str) -> None:
        """Wait for an event that has not come yet."""
        while json.loads(self._socket.recv(timeout=IO_TIMEOUT)).get("method") != event:
            pass

    def open(self, url: str) -> None:
        """Load a page with all that it needs."""
        assert "errorText" not in (done := self.call("Page.navigate", url=url)), done
        self.wait_for("Page.loadEventFired")

    def reload(self) -> None:
        """Do what the user's reload does."""
        self.call("Page.reload")
        self.wait_for("Page.loadEventFired")

    def evaluate(self, script: str) -> Any:
        """Return what the promise of *script* comes to, as JSON has it."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


@contextlib.contextmanager
def page(profile: Path, *options: str) -> Iterator[Page]:
    """Run the browser until the block ends; skip where it is not installed.

    Args:
        profile: An empty directory.
        options: Of its command line.
    """
    client = pytest.importorskip("websockets.sync.client")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    process = subprocess.Popen(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",  # which it refuses to root
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--autoplay-policy=no-user-gesture-required",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            *options,
            "about:blank",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    log = Log(process)
    try:
        found = log.wait_for(r"DevTools listening on ws://([^/\s]+)/", START_TIMEOUT)
        targets = httpx.get(
            f"http://{found[1]}/json/list", trust_env=False, timeout=IO_TIMEOUT
        ).json()
        address = next(one for one in targets if one["type"] == "page")["webSocketDebuggerUrl"]
        with client.connect(address, max_size=None, proxy=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        try:
            process.wait(IO_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.join(2.0)

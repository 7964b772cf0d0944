"""The examples with frameworks and WebSockets, run as their first lines say."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys

import httpx
import pytest

from tests.e2e.serving import IO_TIMEOUT, ROOT, START_TIMEOUT, STOP_TIMEOUT, Log, serving

EXAMPLES = ROOT / "examples"
FRAMEWORKS = {
    "django": "Django",
    "emmett": "Emmett",
    "falcon": "Falcon",
    "fastapi": "FastAPI",
    "flask": "Flask",
    "litestar": "Litestar",
    "starlette": "Starlette",
}


def commands(file: str) -> list[list[str]]:
    """Return the options of the commands that the file's docstring names."""
    text = (EXAMPLES / file).read_text(encoding="utf-8")
    return [shlex.split(line) for line in re.findall(r"``granian ([^`]+)``", text)]


def framework_commands() -> list[object]:
    return [
        pytest.param(name, command, id=command[-1])
        for name in FRAMEWORKS
        for command in commands(f"{name}_app.py")
    ]


def test_the_list_names_every_example() -> None:
    listed = re.findall(r"`(\w+\.py)`", (EXAMPLES / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize(("name", "command"), framework_commands())
def test_a_framework_greets_and_echoes(name: str, command: list[str]) -> None:
    pytest.importorskip("emmett55" if name == "emmett" else name)
    assert command[:1] + command[2:4] == ["--interface", "--working-dir", "examples"]
    with (
        serving(command[-1], *command[2:-1], interface=command[1]) as server,
        server.client() as client,
    ):
        greeting = client.get("/")
        echo = client.post("/", content=b"the body", headers={"content-type": "text/plain"})
    assert (greeting.status_code, greeting.text) == (200, f"Hello from {FRAMEWORKS[name]}\n")
    assert (echo.status_code, echo.content) == (200, b"the body")


@pytest.mark.parametrize("command", commands("websocket_app.py"), ids=["asgi", "rsgi"])
def test_websockets_come_back(command: list[str]) -> None:
    client = pytest.importorskip("websockets.sync.client")
    with serving(command[-1], *command[2:-1], interface=command[1]) as server:
        url = server.url.replace("http", "ws")
        with client.connect(url, proxy=None, open_timeout=IO_TIMEOUT) as socket:
            for message in ("text", b"bytes"):
                socket.send(message)
                assert socket.recv(IO_TIMEOUT) == message
        with server.client() as http:
            assert http.get("/").status_code == 426


def test_a_chat_reaches_everybody_from_a_static_page() -> None:
    client = pytest.importorskip("websockets.sync.client")
    (command,) = commands("chat_app.py")
    with serving(command[-1], *command[2:-1], interface=command[1]) as server:
        with server.client() as http:
            assert http.get("/").headers["location"] == "/pages/"
            page = http.get("/pages/")
        assert (page.status_code, page.headers["content-type"][:9]) == (200, "text/html")
        assert "new WebSocket" in page.text
        url = server.url.replace("http", "ws") + "/chat"
        with (
            client.connect(url, proxy=None, open_timeout=IO_TIMEOUT) as one,
            client.connect(url, proxy=None, open_timeout=IO_TIMEOUT) as other,
        ):
            other.send("hello")
            assert [one.recv(IO_TIMEOUT), other.recv(IO_TIMEOUT)] == ["hello", "hello"]


def test_the_embedded_server_counts() -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", str(EXAMPLES / "embedded.py"), "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    log = Log(process)
    try:
        port = log.wait_for(r"\('127\.0\.0\.1', (?P<port>\d+)\)", START_TIMEOUT)["port"]
        url = f"http://127.0.0.1:{port}/"
        assert [httpx.get(url, trust_env=False).text for _ in range(2)] == ["1\n", "2\n"]
        log.wait_for("2 requests")
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_TIMEOUT) == 0
        log.wait_for("Stopped")
    finally:
        process.kill()
        process.wait()
        log.join(2.0)

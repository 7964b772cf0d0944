"""The interface of docs/interface.md, run with granian-core alone; and what importing costs."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from granian_core import ConfigurationError, InterfaceFactory, InterfaceOptions, Server

PAGE = Path(__file__).parents[2] / "docs" / "interface.md"
LINES_ALLOWED = 40


def documented_code() -> str:
    """Return the first Python block of the page."""
    match = re.search(r"```python[^\n]*\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None, "the page has no Python block"
    return match.group(1)


def documented_factory() -> InterfaceFactory:
    namespace: dict[str, Any] = {}
    exec(compile(documented_code(), str(PAGE), "exec"), namespace)
    factory = namespace["factory"]
    assert isinstance(factory, InterfaceFactory)
    return factory


async def shout(body: bytes) -> bytes:
    return body.upper()


async def exchange(address: tuple[str, int], request: bytes) -> bytes:
    """Send *request* and return everything until the server closes."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer


def serve_once(options: InterfaceOptions, request: bytes) -> bytes:
    async def main() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = listener.getsockname()
            async with Server(documented_factory()(shout, options), sockets=[listener]):
                return await exchange(address, request)

    return asyncio.run(main())


def test_documented_interface_is_short() -> None:
    assert len(documented_code().splitlines()) < LINES_ALLOWED


def test_documented_interface_serves_http() -> None:
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"

    head, _, body = serve_once(InterfaceOptions(), request).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\ncontent-type: text/plain; charset=utf-8" in head.lower()
    assert body == b"HELLO"


def test_documented_interface_reads_its_options() -> None:
    request = b"GET /other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    answer = serve_once(InterfaceOptions(root_path="/app"), request)

    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert answer.endswith(b"\r\n\r\nNot found")


def test_documented_factory_refuses_a_wrong_target() -> None:
    with pytest.raises(ConfigurationError, match="coroutine function"):
        documented_factory()("no application", InterfaceOptions())


IMPORTED = """
import json, sys
before = set(sys.modules)
import granian_core
from granian_core.negotiation import ConnectionChooser
from granian_core.websocket.engines import engine_class
ConnectionChooser(granian_core.ServerConfig()), engine_class("auto")
added = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(added - sys.stdlib_module_names)))
"""


def test_importing_core_pulls_in_nothing_else() -> None:
    """No adapter, no command, no click or rich; h11, h2 and wsproto where they are chosen."""
    printed = subprocess.run(
        [sys.executable, "-c", IMPORTED], check=True, capture_output=True, text=True, timeout=60
    ).stdout

    ours = ("__editable__", "granian_core__mypyc")  # how it is installed, and where it is compiled
    imported = {name for name in json.loads(printed) if not name.startswith(ours)}

    assert imported == {"granian_core"}

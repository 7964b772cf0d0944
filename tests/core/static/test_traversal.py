"""No request reads a byte from outside of a mount: a canary lies next to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from granian_core import BaseInterface, HTTPStream, ServerConfig
from granian_core.settings import StaticSettings
from granian_core.static.lookup import Mount, find
from granian_core.static.paths import Names
from granian_core.testing import MemoryServer

CANARY = b"the canary"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")

PIECES = st.sampled_from(
    [
        "/",
        "..",
        ".",
        "%2e",
        "%2E%2e",
        "%252e",
        "%2f",
        "%5c",
        "\\",
        "%00",
        "canary.txt",
        "a.txt",
        "sub",
        "out",
        "outfile",
        "static",
        "etc/passwd",
        "%c0%ae",
        "%ff",
        "C:",
        "~",
        "...",
        "%20",
    ]
)


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("traversal")
    (directory / "canary.txt").write_bytes(CANARY)
    mount = directory / "mount"
    (mount / "sub").mkdir(parents=True)
    (mount / "a.txt").write_bytes(b"a")
    (mount / "sub" / "a.txt").write_bytes(b"a")
    (mount / "out").symlink_to("..")
    (mount / "sub" / "out").symlink_to(directory)
    (mount / "outfile").symlink_to("../canary.txt")
    return mount


class Application(BaseInterface):
    def handle_http(self, stream: HTTPStream) -> None:
        stream.respond(299)


class Client:
    """Sends one request after another to one server; a loop that lives as long as it."""

    def __init__(self, mount: Path) -> None:
        self._loop = asyncio.new_event_loop()
        static = StaticSettings(mount=(mount,), dir_to_file="canary.txt")
        self._server = MemoryServer(Application(), ServerConfig(static=static))
        self._loop.run_until_complete(self._server.__aenter__())

    def get(self, target: str) -> tuple[int, bytes]:
        return self._loop.run_until_complete(self._get(target))

    async def _get(self, target: str) -> tuple[int, bytes]:
        response = await self._server.connect().request("GET", target)
        return response.status, response.body

    def close(self) -> None:
        self._loop.run_until_complete(self._server.__aexit__(None, None, None))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


@pytest.fixture(scope="module")
def client(mount: Path) -> Iterator[Client]:
    client = Client(mount)
    yield client
    client.close()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PIECES, max_size=8).map("".join))
@example("/../canary.txt")
@example("/out/canary.txt")
@example("/sub/out/canary.txt")
@example("/outfile")
@example("/sub/..%2f../canary.txt")
def test_traversal_never_meets_the_canary(client: Client, path: str) -> None:
    status, body = client.get("/static/" + path)

    assert CANARY not in body
    assert status in (200, 400, 404)
    assert status != 200 or body == b"a"


@settings(max_examples=200, deadline=None)
@given(st.text(min_size=1, max_size=30))
def test_any_text_as_a_name(client: Client, name: str) -> None:
    try:
        quoted = quote(name)
    except UnicodeEncodeError:  # a lone surrogate is not text that a client can send
        return
    status, body = client.get("/static/" + quoted)

    assert CANARY not in body
    assert status == 404 or (status, body) == (200, b"a")


def test_the_mount_itself_is_served(client: Client) -> None:
    """The fuzz above would pass if nothing were."""
    assert client.get("/static/a.txt") == (200, b"a")
    assert client.get("/static/sub/a.txt") == (200, b"a")


@pytest.mark.parametrize("swapped", ["sub", "sub/a.txt"])
def test_a_swap_after_the_path_was_resolved_fails(
    tmp_path: Path, swapped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name becomes a link between the check and the opening: the opening follows none."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.txt").write_bytes(CANARY)
    mount = tmp_path / "mount"
    (mount / "sub").mkdir(parents=True)
    (mount / "sub" / "a.txt").write_bytes(b"a")
    really_resolve = os.path.realpath

    def resolve_then_swap(path: str, *, strict: bool = False) -> str:
        resolved = really_resolve(path, strict=strict)
        if resolved.endswith("a.txt"):
            (mount / swapped).rename(tmp_path / "moved")
            (mount / swapped).symlink_to(tmp_path / "outside" / swapped.partition("/")[2])
        return resolved

    monkeypatch.setattr(os.path, "realpath", resolve_then_swap)
    with pytest.raises(OSError, match="a.txt|sub"):
        find(Mount(route="/static", path=str(mount)), Names(("sub", "a.txt"), False))

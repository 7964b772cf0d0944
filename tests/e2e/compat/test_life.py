"""How a server that a program has started lives: hooks, loaders, several workers, embedding."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from granian_core import AppLoadError
from tests.e2e.compat.serving import APPS, free_port, serving, wait_accepting
from tests.e2e.compat.start import serve
from tests.e2e.serving import STOP_TIMEOUT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX signals")


def load(target: str) -> Any:
    """Make an application that says what it was loaded for."""

    async def app(scope: Any, protocol: Any) -> None:
        protocol.response_str(200, [], f"loaded {target}")

    return app


def load_bare() -> Any:
    return load("nothing")


def note(spec: Any) -> None:
    """Run a worker, and leave a trace of having done so."""
    from granian_cli.worker import run_worker

    Path(os.environ["COMPAT_TRACE"]).write_text(str(spec.number), encoding="utf-8")
    run_worker(spec)


def serve_with(path: Path, port: int, serve: dict[str, Any], keywords: dict[str, Any]) -> None:
    """Run in the spawned process: every hook leaves a line."""
    from granian import Granian

    os.environ["COMPAT_TRACE"] = f"{path}.trace"
    server = Granian("anything", port=port, log_level="error", **keywords)

    def line(text: str) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    @server.on_startup
    def starting() -> None:
        line(f"startup {server.bind_port == port}")

    server.on_reload(lambda: line("reload"))
    server.on_shutdown(lambda: line("shutdown"))
    server.serve(**serve)


@pytest.mark.parametrize(
    ("serve", "body"),
    [
        ({"target_loader": load_bare, "wrap_loader": False}, "loaded nothing"),
        ({"target_loader": load, "spawn_target": note}, "loaded anything"),
    ],
    ids=["bare", "spawn_target"],
)
def test_hooks_and_loaders(serve: dict[str, Any], body: str, tmp_path: Path) -> None:
    import httpx

    lines, port = tmp_path / "lines", free_port()
    process = multiprocessing.get_context("spawn").Process(
        target=serve_with, args=(lines, port, serve, {})
    )
    process.start()
    try:
        wait_accepting(port, None, process)
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text == body
        process.terminate()
        process.join(STOP_TIMEOUT)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()
    assert lines.read_text(encoding="utf-8").splitlines() == ["startup True", "shutdown"]
    assert Path(f"{lines}.trace").exists() is ("spawn_target" in serve)


@pytest.mark.parametrize(("interface", "mode"), [("asgi", "mt"), ("rsgi", "st"), ("wsgi", "mt")])
def test_several_workers_stop_together(interface: str, mode: str) -> None:
    with serving(interface, mode, workers=2, loop="asyncio") as server:
        assert server.get("/info").status_code == 200
        assert server.stop() == 0


def test_interrupting_stops_as_well() -> None:
    with serving("asgi") as server:
        os.kill(server.process.pid, signal.SIGINT)
        server.process.join(STOP_TIMEOUT)
        assert server.process.exitcode == 0


def test_a_target_that_can_not_be_loaded_ends_the_server() -> None:
    keywords = {"port": free_port(), "interface": "asgi", "log_enabled": False}
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(f"{APPS}:absent", keywords)
    )
    process.start()
    process.join(STOP_TIMEOUT)
    assert process.exitcode == AppLoadError.exit_code

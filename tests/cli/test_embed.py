"""`granian.server.embed.Server`: on loops that run already, beside other tasks."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from granian import constants, loops
from granian.errors import ConfigurationError, FatalError
from granian.http import HTTP1Settings
from granian.server.embed import Server
from granian_core import BindError
from granian_core import Server as CoreServer

CYCLES = 200
PATIENCE = 30

Runner = Callable[[Coroutine[Any, Any, None]], None]


async def rsgi_app(scope: Any, protocol: Any) -> None:
    protocol.response_str(200, [], f"hello from {scope.server}")


class ASGI:
    """Counts what happens to it."""

    def __init__(self, refuse: bool = False) -> None:
        self.events: list[str] = []
        self.refuse = refuse

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    async def live(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            self.events.append(message["type"].rpartition(".")[2])
            if self.refuse:
                await send({"type": "lifespan.startup.failed", "message": "not today"})
                return
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


@pytest.fixture(autouse=True)
def _keep_logging() -> Iterator[None]:
    """Serving configures the loggers; other tests want theirs back."""
    kept = []
    for name in ("_granian", "granian.access"):
        logger = logging.getLogger(name)
        kept.append((logger, logger.level, logger.propagate, list(logger.handlers)))
    yield
    for logger, level, propagate, handlers in kept:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """Run a coroutine on each loop, in debug mode, where no warning may pass."""
    if request.param not in loops:
        pytest.skip(f"{request.param} is not installed")

    def runner(coroutine: Coroutine[Any, Any, None]) -> None:
        loop = loops.get(request.param)
        loop.set_debug(True)
        try:
            loop.run_until_complete(asyncio.wait_for(coroutine, 4 * PATIENCE))
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield runner
        gc.collect()


async def get(server: Server | int) -> bytes:
    """Ask for ``/``; return the whole answer."""
    if isinstance(server, Server) and server.bind_uds is not None:
        reader, writer = await asyncio.open_unix_connection(server.bind_uds)
    else:
        port = server if isinstance(server, int) else server.bind_port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    await writer.wait_closed()
    return answer


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    """Serve while the block runs, as a fixture does."""
    task = asyncio.ensure_future(server.serve())
    started = asyncio.ensure_future(server.started.wait())
    await asyncio.wait({task, started}, timeout=PATIENCE, return_when="FIRST_COMPLETED")
    started.cancel()
    try:
        if not task.done():
            yield server
    finally:
        server.stop()
        await asyncio.wait_for(task, PATIENCE)


def quiet(app: Any = rsgi_app, **keywords: Any) -> Server:
    return Server(app, port=0, log_level="warning", **keywords)


def test_it_serves_on_the_running_loop(run: Runner) -> None:
    ticks: list[int] = []

    async def tick() -> None:
        while True:
            ticks.append(1)
            await asyncio.sleep(0)

    async def main() -> None:
        other = asyncio.ensure_future(tick())
        async with serving(quiet()) as server:
            assert server.bind_port > 0
            assert (await get(server)).endswith(f"hello from 127.0.0.1:{server.bind_port}".encode())
            ((host, port),) = server.addresses
            assert (host, port) == ("127.0.0.1", server.bind_port)
        assert server.addresses == []
        assert not other.done()
        other.cancel()
        with pytest.raises(OSError, match="refused|Connect call failed"):
            await get(port or 0)

    run(main())
    assert ticks


def test_several_servers_and_a_unix_socket(run: Runner, tmp_path: Path) -> None:
    path = tmp_path / "socket"

    async def main() -> None:
        first, second = quiet(), quiet(ASGI(), interface="asgi", uds=path)
        async with serving(first), serving(second):
            assert b"hello from" in await get(first)
            assert (await get(second)).endswith(b"hello")
        assert not path.exists()

    run(main())


def test_hooks_and_lifespan_come_in_order(run: Runner) -> None:
    app = ASGI()
    server = quiet(app, interface=constants.Interfaces.ASGI)
    server.on_startup(lambda: app.events.append("hook startup"))
    server.on_shutdown(lambda: app.events.append("hook shutdown"))

    async def main() -> None:
        async with serving(server):
            pass

    run(main())
    assert app.events == ["hook startup", "startup", "shutdown", "hook shutdown"]


def test_a_failing_hook_is_logged_and_not_in_the_way(run: Runner) -> None:
    server = quiet(log_enabled=False)
    server.on_startup(lambda: 1 / 0)

    async def main() -> None:
        async with serving(server):
            assert b"200 OK" in await get(server)

    run(main())


def test_a_refused_start_is_fatal(run: Runner, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = quiet(ASGI(refuse=True), interface="asgi", log_enabled=False, uds=path)
    calls: list[int] = []
    server.on_shutdown(lambda: calls.append(1))

    async def main() -> None:
        with pytest.raises(FatalError, match="startup"):
            await server.serve()
        assert server.addresses == []
        assert not path.exists()

    run(main())
    assert calls == []


def test_an_address_in_use_is_one_clear_error(run: Runner) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            server = Server(rsgi_app, port=taken.getsockname()[1], log_level="critical")
            with pytest.raises(BindError, match="the address is in use"):
                await server.serve()

    run(main())


def test_stop_before_serve_is_remembered(run: Runner) -> None:
    async def main() -> None:
        server = quiet()
        server.stop()
        server.stop()
        await asyncio.wait_for(server.serve(), PATIENCE)
        async with serving(server):  # and only once
            assert b"200 OK" in await get(server)

    run(main())


def test_stop_right_after_serve_was_called(run: Runner) -> None:
    async def main() -> None:
        server = quiet()
        task = asyncio.ensure_future(server.serve())
        server.stop()
        await asyncio.wait_for(task, PATIENCE)

    run(main())


def test_stop_while_the_application_starts(run: Runner) -> None:
    """One that hangs in its startup is cancelled, and leaves nothing behind."""
    hanging = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        hanging.set()
        await asyncio.Event().wait()

    async def main() -> None:
        tasks = asyncio.all_tasks()
        server = quiet(app, interface="asgi")
        task = asyncio.ensure_future(server.serve())
        await asyncio.wait_for(hanging.wait(), PATIENCE)
        server.reload()
        server.stop()
        await asyncio.wait_for(task, PATIENCE)
        assert server.addresses == []
        for _ in range(10):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == tasks

    run(main())


def test_stop_twice_and_from_threads(run: Runner) -> None:
    async def main() -> None:
        server = quiet()
        async with serving(server):
            threads = [threading.Thread(target=server.stop) for _ in range(8)]
            for thread in threads:
                thread.start()
            server.stop()
        for thread in threads:
            thread.join(PATIENCE)
        server.stop()
        server.reload()

    run(main())


def test_it_can_serve_once_at_a_time(run: Runner) -> None:
    async def main() -> None:
        async with serving(quiet()) as server:
            with pytest.raises(RuntimeError, match="serving already"):
                await server.serve()

    run(main())


def test_cancelling_stops_gracefully(run: Runner, tmp_path: Path) -> None:
    app = ASGI()
    server = quiet(app, interface="asgi", uds=tmp_path / "socket")

    async def main() -> None:
        task = asyncio.ensure_future(server.serve())
        await asyncio.wait_for(server.started.wait(), PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not (tmp_path / "socket").exists()

    run(main())
    assert app.events == ["startup", "shutdown"]


def test_reload_brings_a_new_worker_and_loses_nothing(run: Runner) -> None:
    app = ASGI()
    server = quiet(app, interface="asgi")
    reloaded = asyncio.Event()
    server.on_reload(lambda: app.events.append("hook reload"))

    class Worker(CoreServer):
        async def stop(self, timeout: float = 25.0, *, final: bool = True) -> None:
            await super().stop(timeout, final=final)
            reloaded.set()

    async def main() -> None:
        task = asyncio.ensure_future(server.serve(Worker))
        await asyncio.wait_for(server.started.wait(), PATIENCE)
        port = server.bind_port
        asking = [asyncio.ensure_future(get(port)) for _ in range(20)]
        server.reload()
        asking += [asyncio.ensure_future(get(port)) for _ in range(20)]
        await asyncio.wait_for(reloaded.wait(), PATIENCE)
        assert server.bind_port == port
        asking.append(asyncio.ensure_future(get(port)))
        assert all(answer.endswith(b"hello") for answer in await asyncio.gather(*asking))
        server.stop()
        await asyncio.wait_for(task, PATIENCE)

    run(main())
    assert app.events == ["startup", "hook reload", "startup", "shutdown", "shutdown"]


def test_a_reload_that_fails_keeps_the_old_worker(run: Runner) -> None:
    app = ASGI()
    server = quiet(app, interface="asgi", log_enabled=False)
    refused = asyncio.Event()

    @server.on_reload
    def refuse() -> None:
        app.refuse = True
        refused.set()

    async def main() -> None:
        async with serving(server):
            server.reload()
            await asyncio.wait_for(refused.wait(), PATIENCE)
            assert (await get(server)).endswith(b"hello")
            app.refuse = False

    run(main())
    assert app.events == ["startup", "startup", "shutdown"]


def test_the_factory_is_called_once(run: Runner) -> None:
    calls: list[int] = []

    def factory() -> Any:
        calls.append(1)
        return rsgi_app

    server = quiet(factory, factory=True)

    async def main() -> None:
        for _ in range(2):
            async with serving(server):
                assert b"200 OK" in await get(server)

    run(main())
    assert calls == [1]


def test_rsgi_hooks_get_the_running_loop(run: Runner) -> None:
    seen: list[object] = []

    class Application:
        def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
            seen.append(loop)

        def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
            seen.append(loop)

        async def __rsgi__(self, scope: Any, protocol: Any) -> None:
            protocol.response_empty(204, [])

    async def main() -> None:
        async with serving(quiet(Application())):
            seen.append(asyncio.get_running_loop())

    run(main())
    assert len(seen) == 3
    assert len(set(map(id, seen))) == 1


@pytest.mark.parametrize(
    ("keywords", "option"),
    [
        ({"interface": "wsgi"}, "interface"),
        ({"interface": constants.Interfaces.WSGI}, "interface"),
        ({"blocking_threads": 2}, "blocking_threads"),
        ({"interface": "nonsense"}, "--interface"),
        ({"backlog": "1"}, "backlog"),
        ({"workers": 2}, "workers"),
        ({"reload": True}, "reload"),
        ({"prot": 1}, "prot"),
        ({"http1_settings": 5}, "http1_settings"),
        ({"log_dictconfig": 5}, "log_dictconfig"),
    ],
    ids=str,
)
def test_what_can_not_be_embedded_says_so(keywords: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Server(rsgi_app, **keywords)
    assert caught.value.option == option
    assert caught.value.remedy


def test_its_io_may_have_threads_of_its_own(run: Runner) -> None:
    application_threads = set()

    async def app(scope: Any, protocol: Any) -> None:
        application_threads.add(threading.current_thread())
        protocol.response_str(200, [], "hello")

    def io_threads() -> set[threading.Thread]:
        return {one for one in threading.enumerate() if one.name.startswith("granian-io-")}

    async def main() -> None:
        async with serving(quiet(app, runtime_threads=2)) as server:
            before = io_threads()
            assert len(before) == 2
            assert (await get(server)).endswith(b"hello")
            server.reload()
            while before & io_threads():
                assert (await get(server)).endswith(b"hello")
        assert not io_threads()

    run(main())
    assert application_threads == {threading.current_thread()}


def test_settings_reach_the_server() -> None:
    server = Server(
        rsgi_app, http1_settings=HTTP1Settings(keep_alive=False), http="1", max_body_size=5
    )
    config = server.configuration.server_config(None)
    assert (config.http1.keep_alive, config.http, config.limits.max_body_size) == (False, "1", 5)
    assert (config.backlog, config.backpressure) == (128, 128)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_two_hundred_cycles_leave_nothing(
    run: Runner, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """No task, socket, thread or warning, in a fixture that starts a server for each test."""
    threads = set(threading.enumerate())
    app = ASGI()

    async def main() -> None:
        tasks = asyncio.all_tasks()
        before = 0
        for cycle in range(CYCLES):
            async with serving(quiet(app, interface="asgi")) as server:
                assert (await get(server)).endswith(b"hello")
            if cycle == 1:  # by now the loop has what it keeps
                await asyncio.sleep(0)
                before = len(os.listdir("/proc/self/fd"))
        await asyncio.sleep(0)
        gc.collect()
        assert asyncio.all_tasks() == tasks
        assert len(os.listdir("/proc/self/fd")) == before

    run(main())
    assert set(threading.enumerate()) <= threads
    assert app.events == ["startup", "shutdown"] * CYCLES
    assert capsys.readouterr().out == ""  # where the server's own warnings go
    # The loop's debug mode also says what took long, which depends on the machine.
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []

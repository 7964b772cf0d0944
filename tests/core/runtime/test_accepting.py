"""Who accepts, how connections are shared out, and the bounds that loops share."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from granian_core import HTTPStream, Limits, ServerConfig
from granian_core.runtime.server import RuntimeMode
from granian_core.server import IDLE_GRACE
from tests.core.loopback import GET, both_loops, run, until
from tests.core.runtime.serving import FromFunctions, serving

both_modes = pytest.mark.parametrize("mode", ["mt", "st"])


async def hello(stream: HTTPStream) -> None:
    stream.respond(200, [], b"hello")


@both_loops
def test_the_acceptor_gives_to_the_least_loaded(loop_name: str) -> None:
    async def main() -> None:
        async with serving(hello, mode="mt", threads=3, loop_name=loop_name) as subject:
            clients = []
            for number in range(12):
                clients.append(await subject.connect())
                await until(lambda: sum(subject.counts) == number + 1)  # noqa: B023
                assert max(subject.counts) - min(subject.counts) <= 1
            assert subject.counts == [4, 4, 4]
            # Of those who leave, the next take the places.
            ports = {
                getattr(one, "_transport", None).get_extra_info("peername")[1]  # type: ignore[union-attr]
                for one in list(subject.server.contexts[1].connections)
            }
            for client in clients:
                if client.writer.get_extra_info("sockname")[1] in ports:
                    client.abort()
            await until(lambda: subject.counts == [4, 0, 4])
            for number in range(4):
                await subject.connect()
                await until(lambda: subject.counts == [4, number + 1, 4])  # noqa: B023

    run(loop_name, main)


@both_loops
def test_every_loop_accepts_for_itself(loop_name: str) -> None:
    """While one loop is held up, another takes all; that is the kernel's doing, and ours."""

    async def main() -> None:
        async with serving(hello, mode="st", loop_name=loop_name) as subject:
            for held in (0, 1):
                release = threading.Event()
                entered = threading.Event()

                def hold() -> None:
                    entered.set()  # noqa: B023
                    release.wait(20)  # noqa: B023

                subject.server.contexts[held].loop.call_soon_threadsafe(hold)
                await asyncio.to_thread(entered.wait, 20)
                before = subject.counts
                for _ in range(4):
                    client = await subject.connect()
                    client.send(GET)
                    assert (await client.response())[1] == b"hello"
                assert subject.counts[1 - held] == before[1 - held] + 4
                assert subject.counts[held] == before[held]
                release.set()

    run(loop_name, main)


def names_in_proc() -> set[str] | None:
    """Return the names of our threads as the system shows them, where it does."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return None
    return {(task / "comm").read_text().strip() for task in tasks.iterdir()}


@both_modes
def test_threads_are_named(mode: RuntimeMode) -> None:
    async def main() -> None:
        async with serving(hello, mode=mode, threads=3):
            names = {thread.name for thread in threading.enumerate()}
            assert {"granian-io-0", "granian-io-1", "granian-io-2"} <= names
            seen = names_in_proc()
            assert seen is None or {"granian-io-0", "granian-io-1", "granian-io-2"} <= seen
        names = {thread.name for thread in threading.enumerate()}
        assert not any(name.startswith("granian-io") for name in names)

    run("asyncio", main)


def test_the_application_runs_on_the_main_thread_only() -> None:
    seen: set[threading.Thread] = set()

    async def note(stream: HTTPStream) -> None:
        seen.add(threading.current_thread())
        stream.respond(200)

    async def main() -> None:
        async with serving(note, threads=3) as subject:
            for _ in range(6):
                client = await subject.connect()
                client.send(GET)
                await client.response()
            assert all(subject.counts)
        assert seen == {threading.main_thread()}

    run("asyncio", main)


@both_loops
@both_modes
def test_permits_are_those_of_the_worker(mode: RuntimeMode, loop_name: str) -> None:
    """At the limit nobody new is answered, nobody is refused; one that ends lets one in."""
    release: list[asyncio.Event] = []

    async def hold(stream: HTTPStream) -> None:
        event = asyncio.Event()
        release.append(event)
        await event.wait()
        stream.respond(200, [], b"done")

    async def main() -> None:
        config = ServerConfig(backpressure=4)
        async with serving(hold, config, mode=mode, threads=2, loop_name=loop_name) as subject:
            clients = [await subject.connect() for _ in range(4)]
            # Known to a loop before the limit is reached, on whichever loop.
            waiting = [await subject.connect() for _ in range(4)]
            await until(lambda: sum(subject.counts) == 8)
            for client in clients:
                client.send(GET)
            await until(lambda: len(release) == 4)
            await until(lambda: all(one.pressed for one in subject.server.contexts))
            for client in waiting:
                client.send(GET)
            late = await subject.connect()
            late.send(GET)
            await until(
                lambda: sum(len(one.waiting) for one in subject.server.contexts) == len(waiting)
            )
            assert len(release) == 4
            for number in range(9):
                await until(lambda: len(release) > number)  # noqa: B023
                release[number].set()
            for client in (*clients, *waiting, late):
                assert (await client.response())[1] == b"done"
            await until(lambda: not any(one.pressed for one in subject.server.contexts))

    run(loop_name, main)


@both_modes
def test_the_longest_idle_of_all_loops_makes_room(mode: RuntimeMode) -> None:
    async def main() -> None:
        config = ServerConfig(limits=Limits(max_connections=4))
        async with serving(hello, config, mode=mode) as subject:
            clients = []
            for number in range(4):
                clients.append(await subject.connect())
                clients[-1].send(GET)
                await clients[-1].response()
                await until(lambda: subject.idle == number + 1)  # noqa: B023
            await asyncio.sleep(IDLE_GRACE)  # what counts as idle
            late = await subject.connect()
            late.send(GET)
            assert (await late.response())[1] == b"hello"
            assert await clients[0].rest() == b""
            for client in clients[1:]:
                client.send(GET)
                assert (await client.response())[1] == b"hello"

    run("asyncio", main)


@both_loops
@both_modes
def test_a_drain_answers_all_that_was_asked(mode: RuntimeMode, loop_name: str) -> None:
    """Requests in progress, requests in the accept queue, idle connections."""
    release = asyncio.Event()
    begun = 0

    async def hold(stream: HTTPStream) -> None:
        nonlocal begun
        begun += 1
        await release.wait()
        stream.respond(200, [], b"done")

    async def main() -> None:
        nonlocal release
        release = asyncio.Event()
        async with serving(hold, mode=mode, threads=2, loop_name=loop_name) as subject:
            server = subject.server
            idle = [await subject.connect() for _ in range(3)]
            busy = [await subject.connect() for _ in range(6)]
            await until(lambda: sum(subject.counts) == 9)
            for client in busy:
                client.send(GET)
            await until(lambda: begun == 6)
            queued = [await subject.connect() for _ in range(5)]
            for client in queued:
                client.send(GET)
            stopping = asyncio.ensure_future(server.stop(20))
            await until(lambda: all(one.draining for one in server.contexts))
            for client in idle:
                assert await client.rest() == b""
            await until(lambda: begun == 11)
            assert not stopping.done()
            release.set()
            for client in (*busy, *queued):
                head, body = await client.response()
                assert body == b"done"
                assert b"\r\nconnection: close\r\n" in head
            await stopping

    run(loop_name, main)


def test_the_deadline_cancels_applications_and_shuts_down_last() -> None:
    events: list[str] = []

    async def stuck(stream: HTTPStream) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            events.append(f"ended, disconnected: {stream.disconnected}")

    async def main() -> None:
        interface = FromFunctions(stuck)

        async def shutdown() -> None:
            events.append("shut down")

        interface.shutdown = shutdown  # type: ignore[method-assign]
        async with serving(interface) as subject:
            client = await subject.connect()
            client.send(GET)
            await until(lambda: any(one.streams for one in subject.server.contexts))
            await subject.server.stop(0.0)
            assert events == ["ended, disconnected: True", "shut down"]

    run("asyncio", main)

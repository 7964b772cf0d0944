"""Responses that a thread leaves to the loop, because other requests wait for the thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from granian_core import BlockingStream, HTTPStream
from granian_core.http1.connection import HTTP1Connection
from granian_core.http1.direct import HANDED_OVER
from tests.core.http1.kernel import Kernel, answer, carrier
from tests.core.loopback import (
    PATIENCE,
    Threaded,
    both_loops,
    get,
    no_errors,
    run,
    serving,
    until,
    wait,
)


class Crowd:
    """One thread, which is kept from its first request until others wait behind it.

    Attributes:
        kernels: Under each connection, in the order of their requests.
        connections: Those, too.
    """

    def __init__(self, call: Callable[[BlockingStream], None]) -> None:
        self.app = Threaded(self._call, threads=1)
        self.app.prepare = self._prepare
        self.kernels: list[Kernel] = []
        self.connections: list[HTTP1Connection] = []
        self.go = threading.Event()
        self._answer = call
        self._answered = threading.Semaphore(0)

    def _prepare(self, stream: HTTPStream) -> None:
        if type(carrier(stream).dup) is not Kernel:
            stream.blocking()
            dup = carrier(stream).dup
            assert dup is not None
            self.kernels.append(Kernel(dup))
            self.connections.append(carrier(stream))
            carrier(stream).dup = self.kernels[-1]  # type: ignore[assignment]

    def _call(self, stream: BlockingStream) -> None:
        wait(self.go)
        stream.began = inf  # a test may be slow
        self._answer(stream)
        self._answered.release()

    async def gather(self, clients: list[Any]) -> None:
        """Have each client send its request, one after the other, and let the thread go."""
        for number, client in enumerate(clients):
            client.send(get(f"/{number}"))
            await until(lambda number=number: len(self.kernels) > number)  # type: ignore[misc]
        await until(lambda: self.app.pool.queued == len(clients) - 1)
        self.go.set()

    def wait_for_answers(self) -> None:
        """Wait for the thread to answer all, while the loop stands still."""
        for _ in self.kernels:
            assert self._answered.acquire(timeout=PATIENCE)


@both_loops
def test_response_leaves_by_the_loop_while_others_wait_for_the_thread(loop_name: str) -> None:
    async def main() -> None:
        crowd = Crowd(answer)
        async with serving(crowd.app) as subject:
            clients = [await subject.connect() for _ in range(4)]
            await crowd.gather(clients)
            for number, client in enumerate(clients):
                assert (await client.response())[1] == b"/%d" % number
            assert [kernel.sends for kernel in crowd.kernels[:-1]] == [0, 0, 0]
            await until(lambda: not subject.server.context.streams)

            for client in clients:  # one by one, so that nobody waits
                client.send(get("/again"))
                assert (await client.response())[1] == b"/again"
            assert [kernel.sends for kernel in crowd.kernels[:-1]] == [1, 1, 1]

    run(loop_name, main)


@both_loops
def test_large_response_leaves_from_the_thread_whoever_waits(loop_name: str) -> None:
    async def main() -> None:
        crowd = Crowd(lambda stream: stream.respond(200, [], b"x" * HANDED_OVER))
        async with serving(crowd.app) as subject:
            clients = [await subject.connect() for _ in range(2)]
            await crowd.gather(clients)
            for client in clients:
                assert (await client.response())[1] == b"x" * HANDED_OVER
            assert [kernel.sends for kernel in crowd.kernels] == [1, 1]

    run(loop_name, main)


@both_loops
def test_response_leaves_from_the_thread_where_requests_take_long(loop_name: str) -> None:
    """Or it would wait for the next one, which may keep the interpreter's lock."""

    def call(stream: BlockingStream) -> None:
        if stream.stream.path == "/0":
            stream.began = 0.0
        answer(stream)

    async def main() -> None:
        crowd = Crowd(call)
        async with serving(crowd.app) as subject:
            clients = [await subject.connect() for _ in range(3)]
            await crowd.gather(clients)
            for number, client in enumerate(clients):
                assert (await client.response())[1] == b"/%d" % number
            assert [kernel.sends for kernel in crowd.kernels] == [1, 1, 1]
            assert crowd.app.pool.pace.calm_at > 0

    run(loop_name, main)


@both_loops
@pytest.mark.parametrize(
    "rest", [b"zz\r\n", b"", b"FIN"], ids=["malformed", "none of it", "cut short"]
)
def test_early_answer_that_waits_for_the_loop_is_not_lost(loop_name: str, rest: bytes) -> None:
    """The loop may learn first that the body behind it is at fault, or that nothing follows."""
    answered = threading.Event()

    def call(stream: BlockingStream) -> None:
        stream.respond(401, [], b"who?")
        answered.set()

    async def main() -> None:
        crowd = Crowd(call)
        async with serving(crowd.app) as subject:
            clients = [await subject.connect() for _ in range(2)]
            post = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            clients[0].send(post)
            await until(lambda: len(crowd.kernels) == 1)
            clients[1].send(get("/1"))
            await until(lambda: crowd.app.pool.queued == 1)
            first = crowd.connections[0]
            crowd.go.set()
            wait(answered)  # the loop stands still
            if rest == b"FIN":
                first.eof_received()
            elif rest:
                first.data_received(rest)
            head, body = await clients[0].response()
            assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 401 Unauthorized", b"who?")
            assert (await clients[1].response())[0].startswith(b"HTTP/1.1 401")

    run(loop_name, main)


@both_loops
def test_response_that_waits_for_the_loop_survives_a_drain(loop_name: str) -> None:
    async def main() -> None:
        crowd = Crowd(answer)
        async with serving(crowd.app) as subject:
            clients = [await subject.connect() for _ in range(3)]
            await crowd.gather(clients)
            crowd.wait_for_answers()
            stopping = asyncio.ensure_future(subject.server.stop(PATIENCE))
            for number, client in enumerate(clients):
                assert (await client.response())[1] == b"/%d" % number
            await stopping

    run(loop_name, main)


@both_loops
def test_pipelined_requests_keep_their_order_while_others_wait(loop_name: str) -> None:
    async def main() -> None:
        crowd = Crowd(answer)
        async with serving(crowd.app) as subject:
            clients = [await subject.connect() for _ in range(3)]
            await crowd.gather(clients)
            for number, client in enumerate(clients):
                client.send(b"".join(get(f"/{number}/{one}") for one in range(20)))
            for number, client in enumerate(clients):
                assert (await client.response())[1] == b"/%d" % number
                for one in range(20):
                    assert (await client.response())[1] == b"/%d/%d" % (number, one)

    run(loop_name, main)


@both_loops
def test_client_that_left_while_its_response_waits_for_the_loop_is_no_error(
    loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The loop learns of the FIN's reset, or the response, whichever it comes to first."""

    async def main() -> None:
        crowd = Crowd(answer)
        async with serving(crowd.app) as subject:
            clients = [await subject.connect() for _ in range(3)]
            await crowd.gather(clients)
            crowd.wait_for_answers()
            clients[0].abort()
            for number in (1, 2):
                assert (await clients[number].response())[1] == b"/%d" % number
            await until(lambda: not subject.server.context.streams)
            await until(lambda: len(subject.server.context.connections) == 2)

    with no_errors(caplog):
        run(loop_name, main)

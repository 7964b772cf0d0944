"""Several servers in one process, each on a thread: what they share must stand it.

The tables of lines that have been judged, of names and of lengths belong to the module, so
all loops of a process use them. The interpreter switches threads as often as it can; on
free-threaded Python they run at once.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from granian_core import BaseInterface, BlockingPool, HTTPStream
from granian_core.testing import MemoryServer

THREADS = 4
REQUESTS = 400
PATIENCE = 60.0


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    former = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(former)


def together(work: Callable[[int], None]) -> None:
    """Run *work* on several threads that begin at one moment; raise what one of them raised."""
    barrier = threading.Barrier(THREADS)
    raised: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait(PATIENCE)
            work(number)
        except BaseException as exc:
            raised.append(exc)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    if raised:
        raise raised[0]


class Mirror(BaseInterface):
    """Answers with what it was sent."""

    async def handle_http(self, stream: HTTPStream) -> None:
        fields = [field for field in stream.headers if field[0].startswith(b"x-")]
        body = b"%b %b" % (stream.path.encode(), stream.query_string)
        stream.respond(200, [*fields, (b"content-length", b"%d" % len(body))], body)


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_tables_are_shared_by_all_loops(version: str) -> None:
    """Every thread fills and empties them with lines of its own, and with lines of all."""

    async def ask(number: int) -> None:
        async with MemoryServer(Mirror(), http_version=version) as server:
            client = server.connect()
            for turn in range(REQUESTS):
                own = [(b"x-own-%d" % (turn % 7), b"%d-%d" % (number, turn))]
                # Names that all have, values that many have: the same keys at one moment.
                own += [(b"x-all-%d" % index, b"%d" % (turn // 8 + index)) for index in range(6)]
                target = f"/{number}/{turn}?{turn % 3}"
                response = await client.request("GET", target, headers=own)
                assert response.status == 200
                assert response.body == f"/{number}/{turn} {turn % 3}".encode()
                assert [one for one in response.headers if one[0].startswith(b"x-")] == own

    together(lambda number: asyncio.run(ask(number)))


def test_pool_takes_jobs_from_everywhere_and_loses_none() -> None:
    """Threads come and go all the time: their idle time is over at once."""
    pool = BlockingPool(5, idle_timeout=0.0)
    done: Counter[int] = Counter()
    lock = threading.Lock()
    all_done = threading.Event()

    def job(number: int) -> None:
        with lock:
            done[number] += 1
            if done.total() == THREADS * REQUESTS:
                all_done.set()

    def submit(number: int) -> None:
        for _ in range(REQUESTS):
            pool.submit(job, number)

    together(submit)
    assert all_done.wait(PATIENCE)
    assert done == dict.fromkeys(range(THREADS), REQUESTS)
    assert pool.threads <= 5
    assert pool.shutdown(timeout=PATIENCE)
    assert (pool.threads, pool.idle, pool.queued) == (0, 0, 0)

"""Deliver cases to real servers over loopback sockets, and judge what comes back.

A `Harness` runs one event loop in a thread, with the servers and the client in it, so
that a client that yields twice after a piece knows that the server has read it. Each
piece is therefore one read, and nothing has to sleep.

Behind every case comes a *probe*, one more request. Whether it is answered is how the
battery knows whether a connection stayed open, and that nothing behind an error ran.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import logging
import random
import socket
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from granian_core import HTTP1Settings, Limits, Server, ServerConfig
from tests.conformance.apps import Record, check_seen, make_interface
from tests.conformance.model import Answer, Case
from tests.conformance.wire import Response, parse_responses

T = TypeVar("T")

ENGINES = ("fast", "reference")
PROBE = b"GET /probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n"
TIMEOUT = 20.0
"""Seconds after which an exchange counts as hanging; far above what any needs."""


@dataclass(slots=True)
class Target:
    """One running server."""

    app: str
    address: tuple[str, int]
    server: Server
    listener: socket.socket
    seen: list[Record]
    """What the application saw, in order; cleared before each exchange."""


@dataclass(slots=True)
class Outcome:
    """What one delivery of a case led to."""

    responses: list[Response]
    seen: list[Record]
    reset: bool
    """The connection was reset, rather than closed."""
    probed: bool = False
    """The probe was answered (its response is not among `responses`)."""

    def verdict(self) -> tuple[object, ...]:
        """Return what must not depend on the engine, or on how the bytes were cut."""
        bodies = [
            json.loads(r.body) if r.status == 200 and r.body else None for r in self.responses
        ]
        return (
            [r.status for r in self.responses],
            [r.closes for r in self.responses],
            bodies,
            self.probed,
        )


@dataclass(slots=True)
class Faults(logging.Handler):
    """Records of `_granian` that a peer's fault must not cause: above debug."""

    records: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        logging.Handler.__init__(self, logging.INFO)

    def __hash__(self) -> int:
        return id(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(f"{record.levelname} {record.name}: {record.getMessage()}")


class Harness:
    """Servers for every combination of application, engine and settings, made on demand."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.faults = Faults()
        self._targets: dict[tuple[object, ...], Target] = {}
        self._thread = threading.Thread(target=self._run, name="conformance", daemon=True)

    def __enter__(self) -> Harness:
        logging.getLogger("_granian").addHandler(self.faults)
        self.loop.set_exception_handler(self._note_exception)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.call(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        logging.getLogger("_granian").removeHandler(self.faults)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def _note_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.faults.records.append(
            f"event loop: {context.get('message')} {context.get('exception')!r}"
        )

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run *coroutine* in the harness's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    async def _stop(self) -> None:
        for target in self._targets.values():
            await target.server.stop(5)
            target.server.teardown(self.loop)
            target.listener.close()

    async def target(self, app: str, engine: str, case: Case) -> Target:
        """Return a server for *case*."""
        key = (app, engine, tuple(sorted(case.http1.items())), tuple(sorted(case.limits.items())))
        if key not in self._targets:
            self._targets[key] = await self._start(app, engine, case)
        return self._targets[key]

    async def _start(self, app: str, engine: str, case: Case) -> Target:
        http1 = dataclasses.replace(HTTP1Settings(**case.http1), engine=engine)  # type: ignore[arg-type]
        config = ServerConfig(http="1", http1=http1, limits=Limits(**case.limits))
        seen: list[Record] = []
        listener = socket.create_server(("127.0.0.1", 0))
        server = Server(make_interface(app, seen), sockets=[listener], config=config)
        await server.start()
        return Target(app, listener.getsockname(), server, listener, seen)

    # -- one exchange ------------------------------------------------------------

    async def deliver(
        self, target: Target, case: Case, pieces: Sequence[bytes], *, fin: bool
    ) -> Outcome:
        """Send *pieces* on a new connection and read until the server ends it.

        Args:
            target: The server.
            case: What the pieces belong to (for the HEAD requests in it).
            pieces: Each is sent when the server has read the one before.
            fin: Half-close behind the last piece.
        """
        target.seen.clear()
        try:
            raw, reset = await asyncio.wait_for(exchange(target.address, pieces, fin=fin), TIMEOUT)
        except asyncio.TimeoutError:
            raise AssertionError(f"hangs after {b''.join(pieces)[:300]!r}") from None
        await self._settle(target)
        heads = [
            answer.seen is not None and answer.seen.method == "HEAD" for answer in case.answers
        ]
        responses = parse_responses(raw, heads)
        outcome = Outcome(responses, list(target.seen), reset)
        if responses and outcome.seen and outcome.seen[-1]["path"] == "/probe":
            outcome.probed = True
            outcome.seen.pop()
            responses.pop()
        return outcome

    async def _settle(self, target: Target) -> None:
        """Wait until the application is done, which may be later than its client."""
        start = self.loop.time()
        while target.server.context.streams:
            assert self.loop.time() - start < TIMEOUT, "the application never ends"
            await asyncio.sleep(0)


async def exchange(
    address: tuple[str, int], pieces: Sequence[bytes], *, fin: bool
) -> tuple[bytes, bool]:
    """Send pieces, read to the end; return the bytes, and whether a reset ended them."""
    loop = asyncio.get_running_loop()
    received = bytearray()
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(client, address)
        reader = loop.create_task(_read_to_end(client, received))
        try:
            # The server may leave before all is sent; what it said until then counts.
            with contextlib.suppress(OSError):
                for piece in pieces:
                    await loop.sock_sendall(client, piece)
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                if fin:
                    client.shutdown(socket.SHUT_WR)
            reset = await reader
        finally:
            reader.cancel()
    return bytes(received), reset


async def _read_to_end(client: socket.socket, received: bytearray) -> bool:
    loop = asyncio.get_running_loop()
    try:
        while data := await loop.sock_recv(client, 65536):
            received += data
    except ConnectionResetError:
        return True
    return False


def wire(case: Case) -> bytes:
    """Return the bytes of a case with the probe behind them."""
    return case.data + PROBE if case.probe else case.data


def cuts(data: bytes, rng: random.Random, most: int = 6) -> list[bytes]:
    """Return *data* cut at random."""
    places = sorted(rng.randint(0, len(data)) for _ in range(rng.randint(1, most)))
    bounds = [0, *places, len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds) if end > start]


def judge(app: str, case: Case, outcome: Outcome) -> None:
    """Assert that the outcome of a whole delivery is acceptable."""
    statuses = [response.status for response in outcome.responses]
    expected = [sorted(answer.statuses) for answer in case.answers]
    optional = bool(case.answers) and case.answers[-1].optional
    # A client that sends on after a response which was to end the connection breaks
    # its word (RFC 9112 9.6), and may be reset; behind an error it may not.
    if statuses[-1:] != [200] or outcome.probed or case.open is not False:
        assert not outcome.reset, f"reset after {statuses}"
    assert len(expected) - optional <= len(statuses) <= len(expected), (statuses, expected)
    if case.open is not None:
        assert outcome.probed == case.open, f"probe answered: {outcome.probed}"
    calls = 0
    for response, answer in zip(outcome.responses, case.answers, strict=False):
        assert response.status in answer.statuses, (statuses, expected)
        assert response.whole
        calls += _judge_one(app, response, answer, outcome, calls)
    # Only a fault in a body lets the application see a request that the server answers.
    reached = calls < len(case.answers) and case.answers[-1].reached
    assert calls <= len(outcome.seen) <= calls + reached, outcome.seen
    if outcome.responses and not outcome.probed and case.probe:
        assert outcome.responses[-1].closes


def _judge_one(app: str, response: Response, answer: Answer, outcome: Outcome, index: int) -> int:
    """Judge one response; return 1 if the application made it."""
    if response.status != 200:
        assert response.closes or response.status == 417
        assert not response.informational or answer.reached
        return 0
    assert answer.seen is not None
    assert index < len(outcome.seen), "the application was not asked"
    if response.body:
        assert json.loads(response.body) == json.loads(json.dumps(outcome.seen[index]))
    check_seen(app, outcome.seen[index], answer.seen)
    assert response.values("connection") in (["close"], ["keep-alive"], [])
    return 1

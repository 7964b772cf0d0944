"""Deliver cases to servers, in memory and over sockets, and judge what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable

from granian_core import HTTP2Settings, Limits, Server, ServerConfig, TLSSettings
from granian_core.settings import EngineChoice, HTTPMode
from granian_core.testing import MemoryServer
from tests.conformance.http2.app import BatteryApp
from tests.conformance.http2.model import Case
from tests.conformance.http2.wire import HELLO, NO_ERROR, PROBE, Reader, ping

TIMEOUT = 20.0
"""Seconds after which an exchange counts as hanging; far above what any needs."""
TURNS = 12
"""Turns of the loop within which a server in memory has dealt with a piece."""


ENGINE: EngineChoice = "auto"
"""The engine of every server; the battery runs with each."""


def config(case: Case, mode: HTTPMode, tls: TLSSettings | None = None) -> ServerConfig:
    """Return the configuration that *case* asks for."""
    return ServerConfig(
        http=mode,
        http2=HTTP2Settings(engine=ENGINE, **case.http2),
        limits=Limits(**case.limits),
        tls=tls or TLSSettings(),
    )


def pieces(case: Case) -> list[bytes]:
    """Return what a case sends, with its beginning and the probe at its end."""
    first = [HELLO] if case.hello else []
    return [*first, *case.send, ping(PROBE)]


def whole(part: bytes) -> list[bytes]:
    """Return a piece as it is."""
    return [part]


def bytewise(part: bytes) -> list[bytes]:
    """Return a piece byte by byte, or in many pieces where it is long."""
    step = 1 if len(part) < 2000 else 997
    return [part[n : n + step] for n in range(0, len(part), step)]


def at_random(part: bytes) -> list[bytes]:
    """Return a piece cut at random, but always alike."""
    rng = random.Random(part)
    places = sorted(rng.randint(0, len(part)) for _ in range(rng.randint(0, 6)))
    bounds = itertools.pairwise([0, *places, len(part)])
    return [part[start:end] for start, end in bounds if end > start]


async def in_memory(case: Case, cut: Callable[[bytes], list[bytes]], mode: HTTPMode) -> None:
    """Deliver a case in memory; a piece has been dealt with when the loop has nothing to do."""
    app = BatteryApp(websockets=case.websockets)
    reader = Reader()
    async with MemoryServer(app, config(case, mode)) as server:
        client = server.connect()
        for piece in pieces(case):
            for part in cut(piece):
                if not client.transport.is_closing():
                    client.send(part)
            await turns()
        reader.feed(bytes(client.transport.output))
        open_ = not client.transport.is_closing() and not client.transport.eof_written
        client.abort()
        await turns()
    judge(case, reader, app, open_=open_)


async def turns() -> None:
    """Let the loop run whatever is ready."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def socket_server(
    case: Case, mode: HTTPMode, tls: TLSSettings | None
) -> AsyncIterator[tuple[BatteryApp, tuple[str, int]]]:
    """Serve the battery's application on a loopback socket."""
    app = BatteryApp(websockets=case.websockets)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with Server(app, sockets=[listener], config=config(case, mode, tls)):
            yield app, listener.getsockname()


async def over_socket(
    case: Case,
    mode: HTTPMode,
    tls: TLSSettings | None = None,
    client_tls: ssl.SSLContext | None = None,
) -> None:
    """Deliver a case over TCP or TLS, waiting for the server after each piece."""
    async with socket_server(case, mode, tls) as (app, address):
        input_, output = await asyncio.open_connection(
            *address, ssl=client_tls, server_hostname="localhost" if client_tls else None
        )
        reader = Reader()
        open_ = True
        try:
            for number, part in enumerate(pieces(case)):
                output.write(part)
                # The answer to a PING says that all before it has been dealt with.
                mark = None
                if part == ping(PROBE):
                    mark = PROBE
                elif case.hello:
                    mark = b"mark%04d" % number
                    output.write(ping(mark))
                await output.drain()
                if not await _read_until(input_, reader, mark, case):
                    open_ = False
                    break
        except ConnectionError:
            open_ = False
        output.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await output.wait_closed()
        reader.acked_pings = [data for data in reader.acked_pings if not data.startswith(b"mark")]
    judge(case, reader, app, open_=open_)


async def _read_until(
    input_: asyncio.StreamReader, reader: Reader, mark: bytes | None, case: Case
) -> bool:
    """Read until *mark* was acknowledged and every answer is there; False at the end."""
    while mark not in reader.acked_pings or (mark == PROBE and not _all_there(case, reader)):
        if mark is None:
            return True
        data = await asyncio.wait_for(input_.read(65536), TIMEOUT)
        if not data:
            return False
        reader.feed(data)
    return True


def _all_there(case: Case, reader: Reader) -> bool:
    return all(reader.answer(stream).ended for stream in case.answers)


def judge(case: Case, reader: Reader, app: BatteryApp, *, open_: bool) -> None:
    """Assert that the server did what the case allows."""
    codes = [code for _, code in reader.goaways]
    if case.goaway is None:
        assert open_
        assert codes == []
        assert PROBE in reader.acked_pings
    else:
        assert codes == [case.goaway]
        assert not open_
        assert case.goaway == NO_ERROR or PROBE not in reader.acked_pings
    answers = {stream: one.status for stream, one in reader.answers.items() if one.status}
    assert answers == dict(case.answers)
    assert all(reader.answer(stream).ended for stream in case.answers)
    resets = {n: one.reset for n, one in reader.answers.items() if one.reset is not None}
    assert resets == dict(case.resets)
    calls = case.calls
    if calls is None:
        calls = sum(status == 200 for status in case.answers.values())
    assert len(app.seen) == calls, app.seen
    if case.seen is not None:
        last = app.seen[-1]
        assert {key: last.get(key) for key in case.seen} == dict(case.seen)

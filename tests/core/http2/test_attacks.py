"""Each attack, with a bound on the work that it causes: frames, streams, tasks, bytes."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from granian_core import HTTPStream, Limits
from granian_core.http2 import budget
from granian_core.http2.contract import ENHANCE_YOUR_CALM
from granian_core.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    SETTINGS,
    frame,
    ping_frame,
    settings_frame,
    window_frame,
)
from tests.core.http2.serving import Client, Serving, echo, hold, serving, turns

CALM = [ENHANCE_YOUR_CALM]


class Count:
    """An application that counts what it is made to do."""

    def __init__(self) -> None:
        self.calls = 0
        self.running = 0
        self.most = 0
        self.cancelled = 0

    async def stubborn(self, stream: HTTPStream) -> None:
        """Run on whatever the client does."""
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def quick(self, stream: HTTPStream) -> None:
        """Answer at once."""
        self.calls += 1
        stream.respond(200, [], b"")


def codes(client: Client) -> list[int]:
    client.read()
    return [code for _, code in client.goaways]


async def others_are_served(server: Serving) -> None:
    client = server.connect()
    client.request(1, path=b"/quick")
    await client.turn()
    assert client.status(1) == 200


async def flood(server: Serving, client: Client, data: bytes, *, times: int) -> int:
    """Send *data* again and again; return how often until the server had enough."""
    for sent in range(times):
        if not client.is_open:
            return sent
        client.send(data)
        if sent % 100 == 99:
            await turns(2)
    await client.turn()
    return times


@pytest.mark.parametrize(
    ("data", "free"),
    [
        (ping_frame(b"12345678"), 0),
        (ping_frame(b"12345678", ack=True), 0),
        (settings_frame([(4, 65535)]), 30),
        (settings_frame([]), 30),
        (frame(PRIORITY, 0, 3, b"\0\0\0\0\1"), 30),
        (frame(0x10, 0, 0, b"\0\0\0\1u=1"), 30),
        (window_frame(0, 1), 300),
        (window_frame(1, 1), 300),
        (frame(DATA, 0, 1), 0),
        (frame(0xEE, 0, 0), 0),
        (frame(7, 0, 0, b"\0" * 8), 0),
    ],
    ids=["ping", "ping-ack", "settings", "empty-settings", "priority", "priority-update",
         "window-update", "stream-window-update", "empty-data", "unknown", "goaway"],
)  # fmt: skip
def test_flood_of_frames_that_do_nothing_is_calmed(data: bytes, free: int) -> None:
    async def main() -> None:
        async with serving(echo) as server:
            client = server.connect()
            client.request(1, method=b"POST", end=False)
            await client.turn()
            sent = await flood(server, client, data, times=5000)
            assert sent <= budget.USELESS_FRAMES + free + 1
            assert codes(client) == CALM
            await others_are_served(server)

    asyncio.run(main())


def test_flood_below_the_rate_goes_on() -> None:
    async def main() -> None:
        async with serving(echo) as server:
            client = server.connect()
            for _ in range(30):
                for _ in range(90):
                    client.ping()
                await server.advance(1.0)
            assert client.is_open
            assert len(client.pings(ack=True)) == 2700

    asyncio.run(main())


def test_honest_download_with_many_window_updates_is_not_calmed() -> None:
    """An update for every 16 KiB of a long download is in proportion."""
    total = 64 * 1024 * 1024

    async def download(stream: HTTPStream) -> None:
        stream.start(200)
        piece = b"x" * 131_072
        for _ in range(total // len(piece)):
            stream.write(piece)
            await stream.drain()
        stream.finish()

    async def main() -> None:
        async with serving(download) as server:
            client = server.connect()
            client.request(1)
            taken = 0
            while taken < total:
                await turns(3)
                client.transport.output.clear()
                client._position = 0
                size = 16_384 * 3
                client.window(size)
                client.window(size, 1)
                taken += size
            await client.turn(50)
            assert client.is_open

    asyncio.run(main())


def test_rapid_reset_is_calmed_and_its_tasks_are_bounded() -> None:
    count = Count()

    async def main() -> None:
        async with serving(count.stubborn) as server:
            client = server.connect()
            for stream in range(1, 20_001, 2):
                client.request(stream)
                client.reset(stream)
                if not client.is_open:
                    break
            await client.turn()
            assert codes(client) == CALM
            assert count.calls <= budget.MAX_ORPHANS + 1
            assert count.most <= budget.MAX_ORPHANS + 1

    asyncio.run(main())


def test_rapid_reset_of_quick_requests_is_calmed() -> None:
    calls = 0

    def quick(stream: HTTPStream) -> None:
        nonlocal calls
        calls += 1

    async def wait(stream: HTTPStream) -> None:
        quick(stream)
        await stream.wait_disconnect()

    async def main() -> None:
        async with serving(wait) as server:
            client = server.connect()
            for stream in range(1, 20_001, 2):
                client.request(stream)
                await turns(3)
                client.reset(stream)
                await turns(3)
                if not client.is_open:
                    break
            assert codes(client) == CALM
            assert calls <= budget.MAX_RESETS + 1

    asyncio.run(main())


def test_proxy_that_resets_a_minority_is_not_calmed() -> None:
    async def main() -> None:
        async with serving(echo) as server:
            client = server.connect()
            for stream in range(1, 4001, 2):
                client.request(stream, end=stream % 6 != 1, method=b"POST")
                if stream % 6 == 1:
                    client.reset(stream)
                await turns(4)
            await client.turn()
            assert client.is_open

    asyncio.run(main())


@pytest.mark.parametrize(
    "provoke",
    [
        lambda n: window_frame(n, 0),
        lambda n: window_frame(n, 0x7FFFFFFF),
        lambda n: frame(PRIORITY, 0, n, n.to_bytes(4, "big") + b"\0"),
        lambda n: frame(PRIORITY, 0, n, b"\0" * 4),
        lambda n: frame(DATA, 0, n, b"late"),
        lambda n: frame(HEADERS, 5, n, b"\x00\x01a\x01b"),
    ],
    ids=["window-0", "overflow", "self-dependency", "priority-size", "data", "headers"],
)
def test_resets_that_we_are_made_to_send_count(provoke: object) -> None:
    """MadeYouReset: the server's own RST_STREAM frames are the attacker's doing."""
    count = Count()

    async def main() -> None:
        async with serving(count.stubborn) as server:
            client = server.connect()
            for stream in range(1, 20_001, 2):
                client.send(client.head(stream) + provoke(stream))  # type: ignore[operator]
                if not client.is_open:
                    break
            await client.turn()
            assert codes(client) == CALM
            assert count.calls <= budget.MAX_ORPHANS + 1
            assert len(client.resets) <= budget.MAX_ORPHANS + 1

    asyncio.run(main())


def test_applications_of_reset_streams_are_cancelled_when_they_do_not_notice() -> None:
    count = Count()

    async def main() -> None:
        async with serving(count.stubborn) as server:
            client = server.connect()
            client.request(1)
            await client.turn()
            client.reset(1)
            await client.turn()
            assert (count.running, count.cancelled) == (1, 0)
            await server.advance(1.0)
            assert (count.running, count.cancelled) == (0, 1)
            assert client.is_open
            assert not server.context.streams

    asyncio.run(main())


def test_reset_streams_hold_their_place_until_their_applications_are_done() -> None:
    count = Count()

    async def main() -> None:
        async with serving(count.stubborn, max_concurrent_streams=10) as server:
            client = server.connect()
            for stream in range(1, 41, 2):
                client.request(stream)
                await client.turn()
                client.reset(stream)
            await client.turn()
            assert count.most == 10
            await server.advance(1.0)
            assert client.is_open

    asyncio.run(main())


def test_continuation_flood_is_bounded_in_frames_and_bytes() -> None:
    async def main() -> None:
        async with serving(echo) as server:
            for payload in (b"", b"\x00", b"\x00\x01a\x7f" + b"b" * 127, b"x" * 16_384):
                client = server.connect()
                await client.turn()
                client.send(frame(HEADERS, END_STREAM, 1))
                sent = await flood(server, client, frame(CONTINUATION, 0, 1, payload), times=1000)
                assert sent <= 65
                assert sent * len(payload) <= 65_536 + 16_384
                assert codes(client) == CALM
            await others_are_served(server)

    asyncio.run(main())


def test_dribbled_field_block_has_a_deadline() -> None:
    async def main() -> None:
        async with serving(echo) as server:
            client = server.connect()
            client.send(frame(HEADERS, END_STREAM, 1, b"\x82"))
            for _ in range(29):
                client.send(frame(CONTINUATION, 0, 1, b"\x86"))
                await server.advance(1.0)
            assert client.is_open
            await server.advance(1.0)
            assert codes(client) == CALM

    asyncio.run(main())


def test_header_memory_of_a_connection_is_bounded() -> None:
    """Requests beyond 1 MiB of fields are refused while the others run."""

    async def main() -> None:
        async with serving(hold) as server:
            client = server.connect()
            big = [(b"x-%d" % n, b"y" * 1000) for n in range(10)]
            for stream in range(1, 301, 2):
                client.request(stream, *big)
            await client.turn()
            refused = [stream for stream in client.fields if client.status(stream) == 431]
            assert len(server.context.streams) * 10_000 < 1024 * 1024
            assert len(refused) == 150 - len(server.context.streams) > 0
            assert client.is_open

    asyncio.run(main())


@pytest.mark.parametrize(
    "field", [b"\xbe", b"\x90", b"\x00\x01a\x00"], ids=["4-kb-reference", "static", "literal"]
)
def test_hpack_bomb_is_not_unpacked(field: bytes) -> None:
    """Some 60 KB of a block stand for up to 240 MB of fields: decoding ends at the limits."""
    count = Count()

    async def main() -> None:
        async with serving(count.quick) as server:
            client = server.connect()
            client.request(1, (b"x", b"y" * 4000))  # from now on, entry 62 of the table
            await client.turn()
            block = field * (60_000 // len(field))
            pieces = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
            attack = frame(HEADERS, END_STREAM, 3, client.encoder.encode([(b":method", b"GET")]))
            attack += b"".join(frame(CONTINUATION, 0, 3, piece) for piece in pieces)
            tracemalloc.start()
            try:
                client.send(attack + frame(CONTINUATION, END_HEADERS, 3))
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            await client.turn()
            assert codes(client) == CALM
            assert peak < 1024 * 1024
            assert count.calls == 1
            await others_are_served(server)

    asyncio.run(main())


def test_content_for_answered_streams_is_credited_and_kept_nowhere() -> None:
    """Whoever goes on sending to streams that are over takes no window from the others."""

    async def refuse(stream: HTTPStream) -> None:
        stream.respond(200, [], b"no")

    async def main() -> None:
        async with serving(refuse) as server:
            client = server.connect()
            await client.turn()
            sent = 0
            for stream in range(1, 101, 2):
                client.request(stream, method=b"POST", end=False)
                await client.turn()
                client.data(b"z" * 16_384, stream)
                client.data(b"z" * 16_384, stream)
                sent += 32_768
                assert client.is_open
            await server.advance(2)
            assert client.is_open
            assert client.bodies == dict.fromkeys(range(1, 101, 2), b"no")
            # A credit may wait until it is worth a frame, but never more than half a window.
            assert client.credits[0] >= sent
            assert not client.connection.streams

    asyncio.run(main())


def test_zero_window_takes_a_bounded_number_of_bytes_from_the_applications() -> None:
    written = 0

    async def huge(stream: HTTPStream) -> None:
        nonlocal written
        stream.start(200)
        piece = b"x" * 65_536
        while not stream.disconnected:
            stream.write(piece)
            written += len(piece)
            await stream.drain()

    async def main() -> None:
        async with serving(huge) as server:
            client = server.connect()
            client.settings((4, 0))
            for stream in range(1, 181, 2):
                client.request(stream)
            await client.turn(200)
            assert len(client.connection.streams) == 90
            assert written == client.connection.output.queued
            assert written < 20_000_000

    asyncio.run(main())


def test_zero_window_stall_ends_the_connection() -> None:
    async def main() -> None:
        async with serving(echo) as server:
            client = server.connect()
            client.settings((4, 0))
            client.request(1, method=b"POST", end=False)
            client.data(b"x" * 5000, end=True)
            await server.advance(62)
            assert codes(client) == CALM

    asyncio.run(main())


def test_dribbled_window_is_a_stall_and_other_streams_go_on() -> None:
    async def main() -> None:
        async with serving(echo) as server:
            client = server.connect()
            client.settings((4, 0))
            client.request(1, method=b"POST", end=False)
            client.data(b"x" * 5000, end=True)
            client.request(3, method=b"POST", end=False)
            for _ in range(62):
                client.window(1, 1)
                client.data(b"y" * 300, 3)
                await server.advance(1.0)
            assert client.resets == {1: 8}
            assert client.is_open

    asyncio.run(main())


def test_peer_that_makes_us_answer_and_does_not_read_is_not_read_either() -> None:
    """Acknowledgements wait in a bounded buffer; then the reading stops."""

    async def main() -> None:
        async with serving(echo) as server:
            client = server.connect()
            await client.turn()
            client.transport.stalled = True
            client.connection.pause_writing()
            for _ in range(100_000):
                if client.transport.reading_paused or not client.is_open:
                    break
                server.now += 0.02
                client.ping()
            assert client.transport.reading_paused
            assert client.connection.output.size < 70_000
            client.transport.stalled = False
            client.connection.resume_writing()
            await client.turn()
            assert not client.transport.reading_paused
            assert client.is_open

    asyncio.run(main())


def test_uploads_that_nobody_reads_are_bounded() -> None:
    async def main() -> None:
        async with serving(hold) as server:
            client = server.connect()
            await client.turn()
            for stream in range(1, 100, 2):
                client.request(stream, method=b"POST", end=False)
            await client.turn()
            granted = dict.fromkeys(range(1, 100, 2), 1048576)
            left = 65_535 + client.credits.get(0, 0)
            sent = 0
            # Send as much as is granted, on all streams in turn.
            progress = True
            while progress and client.is_open:
                progress = False
                for stream in list(granted):
                    before_stream, before = client.credits.get(stream, 0), client.credits[0]
                    if granted[stream] >= 16_384 and left >= 16_384:
                        client.data(b"z" * 16_384, stream)
                        granted[stream] -= 16_384
                        left -= 16_384
                        sent += 16_384
                        progress = True
                    await client.turn(2)
                    granted[stream] += client.credits.get(stream, 0) - before_stream
                    left += client.credits[0] - before
            assert client.is_open
            # 64 KiB for each stream, and five windows of the connection.
            assert sent <= 50 * 2 * 65_536 + 5 * 1_048_576 + 1_048_576

    asyncio.run(main())


def test_three_attackers_do_not_stop_the_others() -> None:
    async def main() -> None:
        async with serving(echo, limits=Limits()) as server:
            attackers = [server.connect() for _ in range(3)]
            for stream in range(1, 400, 2):
                attackers[0].request(stream)
                attackers[0].reset(stream)
                attackers[1].ping()
                attackers[2].send(frame(SETTINGS, 0, 0))
                client = server.connect()
                client.request(1, method=b"POST", end=False)
                client.data(b"hello", end=True)
                await client.turn(6)
                assert client.bodies[1] == b"hello"
                client.memory.abort()

    asyncio.run(main())


def test_preface_that_never_comes_ends_by_deadline() -> None:
    async def main() -> None:
        async with serving(echo) as server:
            silent = server.connect(hello=b"")
            half = server.connect(hello=b"PRI * HTTP/2.0\r\n\r\nSM")
            no_settings = server.connect(hello=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            await server.advance(29)
            assert silent.is_open
            assert half.is_open
            assert no_settings.is_open
            await server.advance(2)
            assert not silent.is_open
            assert not half.is_open
            assert not no_settings.is_open

    asyncio.run(main())


def test_settings_flood_of_unknown_names_keeps_nothing() -> None:
    async def main() -> None:
        async with serving(echo) as server:
            client = server.connect()
            await client.turn()
            tracemalloc.start()
            try:
                for base in range(0x100, 0x1000, 0x100):
                    client.settings(*((base + n, n) for n in range(256)))
                await client.turn()
                kept, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert kept < 64 * 1024  # a table of 3,840 settings has over 200 KiB
            assert client.is_open

    asyncio.run(main())


def test_frames_are_counted() -> None:
    """The bound on work is on frames: one PING is one frame."""

    async def main() -> None:
        async with serving(echo) as server:
            client = server.connect()
            before = client.connection._budget.frames
            client.ping()
            assert client.connection._budget.frames == before + 1
            await client.turn()
            assert client.count(PING) == 1

    asyncio.run(main())

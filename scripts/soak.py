"""Keep a server busy with mixed traffic for as long as you like, and see that it does not grow.

Rounds of traffic (HTTP/1.1, HTTP/2, WebSockets, uploads, static files, clients that give up)
alternate with rests. In each rest every worker is asked what it holds: resident memory,
descriptors, tasks, threads. The first third of the rounds warms up; from the second to the
last nothing may grow::

    python scripts/soak.py                       # 10 minutes, 20 rounds
    python scripts/soak.py --seconds 60 --rounds 12 --workers 2 -- --task-impl rust

What stands behind ``--`` goes to the server. Linux. Needs httpx, h2 and websockets.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
import websockets

from tests.e2e.serving import ServerProcess, serving

APP = "tests.e2e.apps.soak:app"
PATIENCE = 60.0
"""Seconds for one exchange, and for a server to come to rest."""
REST = 3.0
"""Seconds after which a server that does not come to rest is taken as it is."""
CALM = ("descriptors", "tasks")
"""What is the same whenever nobody asks for anything."""
COUNTS = {"descriptors": 0, "tasks": 0, "threads": 32, "objects": 1000}
"""What is counted, and by how much it may differ: pool threads start when two jobs coincide."""
SLACK = 4 << 20
"""Bytes of resident memory by which a worker may differ for no reason: the allocator's arenas."""
RELATIVE_SLACK = 0.03
"""The same, as a part of the resident memory."""

State: TypeAlias = dict[str, int]
Client: TypeAlias = Callable[["Traffic"], Awaitable[None]]


@dataclass
class Traffic:
    """One round's clients, and what they have done so far in all rounds."""

    server: ServerProcess
    done: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    until: float = 0.0

    @property
    def over(self) -> bool:
        """Whether the round is."""
        return time.monotonic() >= self.until

    async def round(self, seconds: float, clients: int) -> None:
        """Run *clients* clients of each kind for some seconds."""
        self.until = time.monotonic() + seconds
        await asyncio.gather(*(self._repeat(kind) for kind in KINDS for _ in range(clients)))

    async def _repeat(self, kind: Client) -> None:
        while not self.over:
            try:
                await asyncio.wait_for(kind(self), PATIENCE)
            except Exception as exc:  # whatever it is, it goes into the report
                self.faults.append(f"{kind.__name__}: {exc!r}")
                await asyncio.sleep(0.1)

    def expect(self, name: str, *, right: bool) -> None:
        """Count an answer, or a fault."""
        self.done[name] += 1
        if not right:
            self.faults.append(f"{name}: a wrong answer")


async def keep_alive(traffic: Traffic) -> None:
    """A few requests on each of some connections."""
    async with httpx.AsyncClient(base_url=traffic.server.url, trust_env=False) as client:
        for path in ("/", "/slow", "/", "/static/file.txt") * 5:
            answer = await client.get(path)
            traffic.expect("HTTP/1.1", right=answer.status_code == 200)


async def http2(traffic: Traffic) -> None:
    """Several streams at a time on one connection."""
    url = traffic.server.url
    async with httpx.AsyncClient(base_url=url, http1=False, http2=True, trust_env=False) as client:
        for _ in range(5):
            answers = await asyncio.gather(*(client.get(path) for path in ("/", "/slow", "/large")))
            for answer in answers:
                traffic.expect("HTTP/2", right=answer.status_code == 200)


async def upload(traffic: Traffic) -> None:
    """A body in chunks, echoed."""

    async def chunks() -> object:
        for _ in range(8):
            yield bytes(32_768)

    async with httpx.AsyncClient(base_url=traffic.server.url, trust_env=False) as client:
        answer = await client.post("/echo", content=chunks())  # type: ignore[arg-type]
        traffic.expect("upload", right=len(answer.content) == 8 * 32_768)


async def websocket(traffic: Traffic) -> None:
    """Some messages; every second client goes without a word."""
    url = traffic.server.url.replace("http", "ws")
    connection = await websockets.connect(url, proxy=None)
    for size in (1, 100, 20_000):
        await connection.send(bytes(size))
        traffic.expect("WebSocket", right=await connection.recv() == bytes(size))
    if random.random() < 0.5:  # noqa: S311 - which one does not matter
        connection.transport.abort()
    else:
        await connection.close()


async def reset(traffic: Traffic) -> None:
    """Give up at some point: in the head, in the body, in the answer."""
    request, waits = random.choice(ABORTED)  # noqa: S311 - which one does not matter
    reader, writer = await asyncio.open_connection(traffic.server.host, traffic.server.port)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.write(request)
    if waits:
        await reader.read(1)
    else:
        await asyncio.sleep(0.005)
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    traffic.done["reset"] += 1


ABORTED = (
    (b"", False),
    (b"GET / HT", False),
    (b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", False),
    (b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n", True),
    (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\nabc", False),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", True),
)
"""What is sent before the reset, and whether the client waits for an answer's first byte."""
KINDS: tuple[Client, ...] = (keep_alive, http2, upload, websocket, reset)


async def ask(server: ServerProcess) -> State:
    """Return what the worker that gets this connection holds."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=PATIENCE) as client:
        answer: State = (await client.get("/state")).json()
        return answer


async def rest(server: ServerProcess, workers: int, calm: dict[int, State]) -> dict[int, State]:
    """Wait until every worker is at rest; return what each of them holds.

    At rest means: as few descriptors and tasks as before any traffic (*calm*), or, after a
    while, as many as there are then.
    """
    states: dict[int, State] = {}
    start = time.monotonic()
    while time.monotonic() < start + PATIENCE:
        state = await ask(server)
        states[state["pid"]] = state
        resting = [
            pid
            for pid, held in states.items()
            if pid not in calm or all(held[name] <= calm[pid][name] for name in CALM)
        ]
        late = time.monotonic() > start + REST
        if len(states) == workers and (late or len(resting) == workers):
            break
        await asyncio.sleep(0.02)
    return states


def growth(history: Sequence[dict[int, State]]) -> list[str]:
    """Say what has grown, worker by worker: a leak lies above all of what there was before."""
    found = []
    third = max(1, len(history) // 3)
    for pid in history[-1]:
        if any(pid not in states for states in history):
            found.append(f"worker {pid} was not there all the time")
            continue
        before = [states[pid] for states in history[third : 2 * third]]
        after = [states[pid] for states in history[-third:]]
        for name, slack in COUNTS.items():
            most, least = max(one[name] for one in before), min(one[name] for one in after)
            if least > most + slack:
                found.append(f"worker {pid}: {name} grew from {most} to {least}")
        begin = statistics.median(one["resident"] for one in before)
        end = statistics.median(one["resident"] for one in after)
        if end - begin > max(SLACK, RELATIVE_SLACK * begin):
            found.append(f"worker {pid}: resident memory grew from {begin:.0f} to {end:.0f} bytes")
    return found


async def soak(
    server: ServerProcess, *, seconds: float, rounds: int, clients: int, workers: int
) -> tuple[Traffic, list[dict[int, State]]]:
    """Run the rounds against *server*.

    Args:
        server: It serves `APP` and a directory with ``file.txt`` at ``/static``.
        seconds: Length of all rounds together.
        rounds: How many there are.
        clients: How many of each kind there are at a time.
        workers: How many workers the server has.

    Returns:
        What the clients have done, and what the workers held at each rest.
    """
    traffic = Traffic(server)
    history: list[dict[int, State]] = []
    calm = await rest(server, workers, {})
    for number in range(rounds):
        await traffic.round(seconds / rounds, clients)
        history.append(await rest(server, workers, calm))
        for pid, state in sorted(history[-1].items()):
            shown = ", ".join(f"{name} {state[name]}" for name in COUNTS)
            print(f"round {number + 1}: {pid}: {state['resident'] >> 10} KiB, {shown}", flush=True)
    return traffic, history


def main() -> int:
    """Run the command; return 1 where something grew or went wrong."""
    parser = argparse.ArgumentParser(description="Mixed traffic, and a look at what grows.")
    parser.add_argument("--seconds", type=float, default=600.0, help="of traffic, default 600")
    parser.add_argument("--rounds", type=int, default=20, help="between rests, default 20")
    parser.add_argument("--clients", type=int, default=4, help="of each kind, default 4")
    parser.add_argument("--workers", type=int, default=2, help="default 2")
    parser.add_argument("option", nargs="*", help="further options of the server")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "file.txt").write_text("static" * 1000, encoding="ascii")
        options = ("--workers", str(given.workers), "--static-path-mount", directory)
        with serving(APP, *options, *given.option) as server:
            server.log.wait_for("Serving asgi")
            traffic, history = asyncio.run(
                soak(
                    server,
                    seconds=given.seconds,
                    rounds=given.rounds,
                    clients=given.clients,
                    workers=given.workers,
                )
            )
        log = server.log.text
    print(", ".join(f"{count} {name}" for name, count in sorted(traffic.done.items())))
    found = [*growth(history), *traffic.faults]
    found += [line for line in log.splitlines() if line.startswith(("[ERROR]", "[CRITICAL]"))]
    print("\n".join(found) if found else "nothing grew, nothing failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

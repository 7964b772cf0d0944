"""What the options for tuning do: the same server, with one option changed.

    python -m benchmarks.knobs                       # every comparison of `KNOBS`
    python -m benchmarks.knobs --knob threads --rounds 5 --seconds 4

Runs the ``granian`` of the interpreter that runs it, on one CPU, with wrk on another. Rounds
are interleaved; figures are medians, and ratios are to the first line of each table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.cases import CASES, Case
from benchmarks.errors import BenchmarkError
from benchmarks.load import LoadPlan, run_load, wrk_version
from benchmarks.measure import default_cpus
from benchmarks.processes import RunningServer, free_port
from benchmarks.servers import HOST

WAIT_S = 0.05
"""Seconds that the applications of `benchmarks.apps.waiting` wait."""
WARM_UP_S = 1.0
REST_S = 1.0
"""Seconds after it for the calls that it left behind: of 4 threads, each has 16 to finish."""
IDEAL_SAMPLE_S = 10.0
"""Shortest sample where there is an ideal: what is under way in the end is not counted, which
is up to one request of each connection."""


@dataclass(frozen=True)
class Knob:
    """One comparison."""

    title: str
    target: str
    interface: str
    variants: tuple[tuple[str, ...], ...]
    """Options of the server; the first is what the others are compared with."""
    connections: int = 64
    ideal_rate: float | None = None
    """Requests per second that a server without any cost would answer."""
    case: Case = CASES["get-browser"]


KNOBS = {
    "threads": Knob(
        "WSGI that waits 50 ms, 64 connections",
        "benchmarks.apps.waiting:wsgi",
        "wsgi",
        tuple(("--blocking-threads", str(count)) for count in (64, 16, 4)),
        ideal_rate=64 / WAIT_S,
    ),
    "backpressure": Knob(
        "ASGI that waits 50 ms, 64 connections",
        "benchmarks.apps.waiting:asgi",
        "asgi",
        ((), ("--backpressure", "64"), ("--backpressure", "16")),
        ideal_rate=64 / WAIT_S,
    ),
    "few-permits": Knob(
        "ASGI that answers at once, one permit",
        "benchmarks.apps.asgi:application",
        "asgi",
        ((), ("--backpressure", "1")),
    ),
    "loop": Knob(
        "ASGI that answers at once, by event loop",
        "benchmarks.apps.asgi:application",
        "asgi",
        (("--loop", "uvloop"), ("--loop", "asyncio"), ("--loop", "rloop")),
    ),
    "task-impl": Knob(
        "ASGI that answers at once, by the start of its task",
        "benchmarks.apps.asgi:application",
        "asgi",
        (("--task-impl", "asyncio"), ("--task-impl", "rust")),
    ),
    "engine": Knob(
        "ASGI that answers at once, by parser",
        "benchmarks.apps.asgi:application",
        "asgi",
        (("--http1-engine", "fast"), ("--http1-engine", "reference")),
    ),
    "access-log": Knob(
        "ASGI that answers at once, with an access log",
        "benchmarks.apps.asgi:application",
        "asgi",
        (("--no-access-log",), ("--access-log",)),
    ),
}
"""Every comparison by its name."""


@dataclass(frozen=True)
class Figures:
    """What one sample showed."""

    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


def measure(knob: Knob, options: Sequence[str], seconds: float) -> Figures:
    """Start the server, load it, and return one sample.

    Raises:
        BenchmarkError: The server or the load generator failed.
    """
    server_cpus, load_cpus = default_cpus()
    plan = LoadPlan(knob.connections, 0.0, load_cpus)
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", knob.interface, "--host", HOST]
    command += ["--port", str(port), *options, knob.target]
    with (
        tempfile.NamedTemporaryFile(prefix="benchmark-") as log,
        RunningServer(command, port, server_cpus, log) as server,
    ):
        server.wait_ready()
        run_load(knob.case, port, WARM_UP_S, plan)
        if knob.ideal_rate is not None:
            time.sleep(REST_S)
            seconds = max(seconds, IDEAL_SAMPLE_S)
        before = server.tree()
        load = run_load(knob.case, port, seconds, plan)
        cpu_s = server.tree().cpu_s - before.cpu_s
    if load.failures:
        message = f"{' '.join(options)}: {load.failures}"
        raise BenchmarkError(message)
    return Figures(
        load.requests / load.seconds,
        cpu_s / load.requests * 1e6,
        load.p50_us / 1000,
        load.p99_us / 1000,
    )


def compare(knob: Knob, rounds: int, seconds: float) -> str:
    """Measure every variant, interleaved; return the table."""
    samples: dict[tuple[str, ...], list[Figures]] = {options: [] for options in knob.variants}
    missing: dict[tuple[str, ...], str] = {}
    for _ in range(rounds):
        for options, found in samples.items():
            if options in missing:
                continue
            try:
                found.append(measure(knob, options, seconds))
            except BenchmarkError as error:
                missing[options] = str(error).strip().splitlines()[-1]
    lines = [knob.title]
    reference: Figures | None = None
    for options, found in samples.items():
        name = " ".join(options) or "(defaults)"
        if options in missing:
            lines.append(f"  {name:30} not measured: {missing[options]}")
            continue
        middle = Figures(
            *(
                statistics.median(getattr(one, field) for one in found)
                for field in ("rate", "cpu_us", "p50_ms", "p99_ms")
            )
        )
        reference = reference or middle
        ideal = f", {middle.rate / knob.ideal_rate:.1%} of ideal" if knob.ideal_rate else ""
        lines.append(
            f"  {name:30} {middle.rate:8.0f} requests/s{ideal}, "
            f"CPU {middle.cpu_us:6.1f} us ({middle.cpu_us / reference.cpu_us:.2f}), "
            f"p50 {middle.p50_ms:.1f} ms, p99 {middle.p99_ms:.1f} ms"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.knobs", description=__doc__)
    parser.add_argument("--knob", action="append", choices=KNOBS, help="only this; repeatable")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one sample")
    given = parser.parse_args(arguments)
    try:
        print(wrk_version())
        for name in given.knob or KNOBS:
            print(f"\n{name}: {compare(KNOBS[name], given.rounds, given.seconds)}", flush=True)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

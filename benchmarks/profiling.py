"""Where our server spends its time, as a table of functions: py-spy samples the loaded worker."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.environments import Environment
from benchmarks.errors import BenchmarkError
from benchmarks.load import run_load
from benchmarks.processes import RunningServer, free_port, pinned

if TYPE_CHECKING:
    from benchmarks.measure import Entry, Plan

PROFILER = Environment("profiler", ("py-spy",))
"""py-spy, apart from every server."""

_RATE_HZ = 499
"""Samples per second; odd, so that they do not fall into step with timers."""


@dataclass(frozen=True)
class FunctionCost:
    """Share of the samples of one function."""

    name: str
    """As py-spy writes it: ``function (file)``."""
    own: float
    """Share of samples in the function itself, 0 to 1."""
    total: float
    """Share of samples in it or in what it called."""


@dataclass(frozen=True)
class Profile:
    """What the sampling found."""

    samples: int
    functions: tuple[FunctionCost, ...]
    """By own share, the largest first."""


def summarise(stacks: Iterable[str]) -> Profile:
    """Summarise collapsed stacks, lines of ``outermost;…;innermost COUNT``."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        if not stack:
            continue
        frames = [_plain(frame) for frame in stack.split(";")]
        own[frames[-1]] += int(count)
        # A recursive function counts once for a sample.
        for frame in set(frames):
            total[frame] += int(count)
    samples = sum(own.values())
    functions = [
        FunctionCost(name, own[name] / samples, seen / samples) for name, seen in total.items()
    ]
    functions.sort(key=lambda function: (-function.own, -function.total, function.name))
    return Profile(samples, tuple(functions))


def _plain(frame: str) -> str:
    """Drop the line number of ``function (file:line)`` and the id of ``thread (id): name``."""
    if frame.startswith("thread ("):
        return f"thread {frame.partition('): ')[2]}"
    head, separator, line = frame.rpartition(":")
    return f"{head})" if separator and line.rstrip(")").isdigit() else frame


def to_text(profile: Profile, title: str, limit: int = 50) -> str:
    """Return the table of the *limit* functions with the largest own share."""
    lines = [title, f"{profile.samples} samples", f"{'own':>7}{'total':>8}  function"]
    lines += [
        f"{function.own:>7.1%}{function.total:>8.1%}  {function.name}"
        for function in profile.functions[:limit]
    ]
    return "\n".join(lines) + "\n"


def profile(
    entry: Entry, interpreter: Path, profiler: Path, plan: Plan, *, native: bool, raw: Path
) -> Profile:
    """Load *entry* and sample its worker.

    Args:
        entry: What to load.
        interpreter: The Python of the server.
        profiler: The Python beside which py-spy is installed.
        plan: How to load; its seconds are the length of the profile.
        native: Also sample frames of extension modules; threads that wait are then counted too.
        raw: Where the collapsed stacks are written, for flame graph tools.

    Raises:
        BenchmarkError: The server or py-spy failed.
    """
    port = free_port()
    command = entry.server.command(str(interpreter), entry.case, entry.interface, port)
    with (
        tempfile.NamedTemporaryFile(prefix="benchmark-") as log,
        RunningServer(command, port, plan.server_cpus, log) as server,
    ):
        server.wait_ready()
        idle = server.tree()
        run_load(entry.case, port, plan.warm_up_s, plan.load)
        worker = server.tree().busiest_since(idle)
        spy = [str(profiler.with_name("py-spy")), "record", "--pid", str(worker)]
        spy += ["--rate", str(_RATE_HZ), "--duration", str(max(1, round(plan.seconds)))]
        spy += ["--threads", "--format", "raw", "--output", str(raw)]
        # A thread that py-spy has stopped to look at it seems busy even while it waits, so only
        # sampling without stopping tells work from waiting; native frames need the stop.
        spy.append("--native" if native else "--nonblocking")
        _sample_under_load(spy, entry, port, plan)
    return summarise(raw.read_text().splitlines())


def _sample_under_load(spy: Sequence[str], entry: Entry, port: int, plan: Plan) -> None:
    """Run py-spy while a thread keeps the load going."""
    failures: list[BenchmarkError] = []

    def load() -> None:
        try:
            run_load(entry.case, port, plan.seconds + 2.0, plan.load)
        except BenchmarkError as error:
            failures.append(error)

    thread = threading.Thread(target=load, name="load")
    thread.start()
    with pinned(plan.load.cpus):
        done = subprocess.run(spy, capture_output=True, text=True, check=False)
    thread.join()
    if done.returncode:
        message = f"py-spy failed (it needs ptrace rights):\n{done.stderr[-2000:]}"
        raise BenchmarkError(message)
    for failure in failures:
        raise failure

"""Generating load: wrk for requests, our open-loop client at a fixed rate, our WebSocket client."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.environments import ROOT
from benchmarks.errors import BenchmarkError
from benchmarks.processes import pinned
from benchmarks.servers import HOST

if TYPE_CHECKING:
    from benchmarks.cases import Case

_SCRIPT = Path(__file__).with_name("load.lua")
_GRACE_S = 30.0
"""How much longer than asked a load generator may take before it is ended."""


@dataclass(frozen=True)
class LoadPlan:
    """How hard and how long to load."""

    connections: int
    rate: float
    """Requests per second of the fixed-rate case."""
    cpus: frozenset[int]
    """Where the load generator runs."""


@dataclass(frozen=True)
class LoadResult:
    """What a load generator counted on its side."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    failures: dict[str, int]
    """Answers that were not 200 and broken connections, by kind; only kinds that occurred."""


def parse_result(text: str) -> LoadResult:
    """Read the JSON line that ends a load generator's output.

    Raises:
        BenchmarkError: There is none.
    """
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if not lines:
        message = f"the load generator printed no result:\n{text[-2000:]}"
        raise BenchmarkError(message)
    values = json.loads(lines[-1])
    failures = {kind: count for kind, count in values.pop("failures").items() if count}
    return LoadResult(failures=failures, **values)


def wrk_version() -> str:
    """Return wrk's version line.

    Raises:
        BenchmarkError: wrk is not installed.
    """
    command = shutil.which("wrk")
    if command is None:
        message = "wrk is not installed (Debian: apt-get install wrk)"
        raise BenchmarkError(message)
    # wrk prints its version together with its usage and exits with 1.
    done = subprocess.run([command, "-v"], capture_output=True, text=True, check=False)
    return done.stdout.partition("Copyright")[0].strip()


def run_load(case: Case, port: int, seconds: float, plan: LoadPlan) -> LoadResult:
    """Load the server on *port* for *seconds* and return what came back.

    Raises:
        BenchmarkError: The load generator failed or got no answer at all.
    """
    if case.websocket is not None:
        command = _websocket(case, port, seconds, plan)
    elif case.fixed_rate:
        command = _open_loop(case, port, seconds, plan)
    else:
        command = _wrk(case, port, seconds, plan)
    with pinned(plan.cpus):
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=seconds + _GRACE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            message = f"{command[0]} did not end {_GRACE_S:.0f} s after its time"
            raise BenchmarkError(message) from error
    if done.returncode:
        message = f"{' '.join(command)} failed:\n{(done.stderr or done.stdout)[-2000:]}"
        raise BenchmarkError(message)
    result = parse_result(done.stdout)
    if not result.requests:
        message = f"no request was answered: {result.failures}"
        raise BenchmarkError(message)
    return result


def _wrk(case: Case, port: int, seconds: float, plan: LoadPlan) -> list[str]:
    # wrk takes whole seconds or milliseconds are lost: it knows no fraction.
    command = ["wrk", "-t1", f"-c{plan.connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    for name, value in case.headers:
        command += ["-H", f"{name}: {value}"]
    command += ["-s", str(_SCRIPT), f"http://{HOST}:{port}{case.path}"]
    return [*command, "--", case.method, str(case.body_octets)]


def _open_loop(case: Case, port: int, seconds: float, plan: LoadPlan) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.open_loop", "--case", case.name]
    command += ["--port", str(port), "--seconds", str(seconds), "--rate", str(plan.rate)]
    return [*command, "--connections", str(plan.connections)]


def _websocket(case: Case, port: int, seconds: float, plan: LoadPlan) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.websocket_load", "--case", case.name]
    command += ["--port", str(port), "--seconds", str(seconds)]
    return [*command, "--connections", str(plan.connections)]


def check_answer(case: Case, port: int) -> None:
    """Send the case's request once and make sure that the right answer comes.

    Raises:
        BenchmarkError: It does not; a number measured then would mean nothing.
    """
    if case.websocket is not None:
        return  # its load generator looks into what comes back
    connection = http.client.HTTPConnection(HOST, port, timeout=10.0)
    try:
        body = os.urandom(case.body_octets) if case.body_octets else None
        connection.request(case.method, case.path, body, dict(case.headers))
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        message = f"{case.name}: {type(error).__name__}: {error}"
        raise BenchmarkError(message) from error
    finally:
        connection.close()
    right = content == body if body else len(content) == case.response_octets
    if answer.status != 200 or not right:
        message = f"{case.name}: answered {answer.status} with {len(content)} octets of body"
        raise BenchmarkError(message)

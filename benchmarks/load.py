"""Generating load: wrk for requests, h2load for HTTP/2, and clients of our own for the rest."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.environments import ROOT
from benchmarks.errors import BenchmarkError
from benchmarks.material import material
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
    elif case.large:
        command = _download(case, port, seconds)
    elif case.streams:
        return _h2load(case, port, seconds, plan)
    else:
        command = _wrk(case, port, seconds, plan)
    return _finished(parse_result(_output(command, seconds, plan)))


def _output(command: list[str], seconds: float, plan: LoadPlan) -> str:
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
        except FileNotFoundError as error:
            message = f"{command[0]} is not installed (Debian: wrk, nghttp2-client)"
            raise BenchmarkError(message) from error
    if done.returncode:
        message = f"{' '.join(command)} failed:\n{(done.stderr or done.stdout)[-2000:]}"
        raise BenchmarkError(message)
    return done.stdout


def _finished(result: LoadResult) -> LoadResult:
    if not result.requests:
        message = f"no request was answered: {result.failures}"
        raise BenchmarkError(message)
    return result


def _url(case: Case, port: int) -> str:
    return f"http{'s' if case.tls else ''}://{HOST}:{port}{case.path}"


def _h2load(case: Case, port: int, seconds: float, plan: LoadPlan) -> LoadResult:
    """Load with h2load, which writes a line for each request to a file."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        log, body = Path(directory) / "log", Path(directory) / "body"
        command = ["h2load", "-t1", f"-c{case.connections or plan.connections}"]
        command += [f"-m{case.streams}", f"-D{max(1, round(seconds))}", f"--log-file={log}"]
        if case.body_octets:
            body.write_bytes(b"x" * case.body_octets)
            command.append(f"--data={body}")
        for name, value in case.headers:
            command += ["-H", f"{name}: {value}"]
        text = _output([*command, _url(case, port)], seconds, plan)
        return _finished(parse_h2load(text, log.read_text()))


def parse_h2load(text: str, log: str) -> LoadResult:
    """Read what h2load printed, and its log: start, status and microseconds of each request.

    Raises:
        BenchmarkError: There is no result.
    """
    time_of = re.search(r"finished in ([0-9.]+)(ms|s|us)", text)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    if time_of is None or counts is None:
        message = f"h2load printed no result:\n{text[-2000:]}"
        raise BenchmarkError(message)
    taken = sorted(int(line.split()[2]) for line in log.splitlines())
    kinds = dict(zip(("failed", "errored", "timeout"), map(int, counts.groups()[1:]), strict=True))
    return LoadResult(
        requests=int(counts[1]),
        seconds=float(time_of[1]) * {"s": 1.0, "ms": 1e-3, "us": 1e-6}[time_of[2]],
        p50_us=taken[len(taken) // 2] if taken else 0.0,
        p99_us=taken[len(taken) * 99 // 100] if taken else 0.0,
        failures={kind: count for kind, count in kinds.items() if count},
    )


def _download(case: Case, port: int, seconds: float) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.download", "--path", case.path]
    command += ["--octets", str(case.response_octets)]
    return [*command, "--port", str(port), "--seconds", str(seconds)]


def _wrk(case: Case, port: int, seconds: float, plan: LoadPlan) -> list[str]:
    # wrk takes whole seconds or milliseconds are lost: it knows no fraction.
    command = ["wrk", "-t1", f"-c{plan.connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    for name, value in case.headers:
        command += ["-H", f"{name}: {value}"]
    command += ["-s", str(_SCRIPT), _url(case, port)]
    variety = "varied" if case.varied else "alike"
    return [*command, "--", case.method, str(case.body_octets), variety]


def _open_loop(case: Case, port: int, seconds: float, plan: LoadPlan) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.open_loop", "--case", case.name]
    command += ["--port", str(port), "--seconds", str(seconds), "--rate", str(plan.rate)]
    return [*command, "--connections", str(plan.connections)]


def _websocket(case: Case, port: int, seconds: float, plan: LoadPlan) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.websocket_load", "--case", case.name]
    command += ["--port", str(port), "--seconds", str(seconds)]
    return [*command, "--connections", str(plan.connections)]


def _connection(case: Case, port: int) -> http.client.HTTPConnection:
    if not case.tls:
        return http.client.HTTPConnection(HOST, port, timeout=10.0)
    context = ssl.create_default_context(cafile=str(material().certificate))
    context.check_hostname = False
    return http.client.HTTPSConnection(HOST, port, timeout=10.0, context=context)


def check_answer(case: Case, port: int) -> None:
    """Send the case's request once and make sure that the right answer comes.

    Raises:
        BenchmarkError: It does not; a number measured then would mean nothing.
    """
    if case.websocket is not None:
        return  # its load generator looks into what comes back
    if case.large:
        return  # the client counts what comes back
    connection = _connection(case, port)
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

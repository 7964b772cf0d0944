"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import chart, profiling, report
from benchmarks.cases import CASES, INTERFACES
from benchmarks.environments import ROOT, default_cache, prepare, versions
from benchmarks.errors import BenchmarkError
from benchmarks.load import LoadPlan, wrk_version
from benchmarks.measure import Entry, Failure, Plan, Sample, default_cpus, entries, run
from benchmarks.processes import raise_open_files
from benchmarks.servers import OURS, SERVERS

_SPARE_FILES = 256
"""Open files that a server or load generator needs besides its connections."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare this tree's server with its peers on this machine (Linux, wrk).",
    )
    what = made.add_argument_group("what")
    what.add_argument("--case", action="append", choices=CASES, help="only this; repeatable")
    what.add_argument("--interface", action="append", choices=INTERFACES, help="repeatable")
    what.add_argument("--server", action="append", choices=SERVERS, help="repeatable")
    what.add_argument(
        "--reference",
        choices=SERVERS,
        help=f"compare the others with this server (default: {OURS}, else the first selected)",
    )
    how = made.add_argument_group("how")
    how.add_argument("--quick", action="store_true", help="3 rounds of 2 s in place of 7 of 4 s")
    how.add_argument("--rounds", type=int, metavar="N")
    how.add_argument("--seconds", type=float, metavar="S", help="length of one sample")
    how.add_argument("--connections", type=int, default=64, metavar="N", help="default: 64")
    how.add_argument(
        "--rate", type=float, default=1000.0, metavar="N", help="of the fixed-rate case, per second"
    )
    how.add_argument("--server-cpu", type=int, metavar="CPU", help="default: the last one")
    how.add_argument("--load-cpu", type=int, metavar="CPU", help="default: the first one")
    how.add_argument("--python", default=sys.executable, help="interpreter for the servers")
    how.add_argument("--cache", type=Path, default=default_cache(), help="environments' directory")
    out = made.add_argument_group("results")
    out.add_argument("--output", type=Path, metavar="DIR", help="also write text, JSON and SVG")
    out.add_argument("--render", type=Path, metavar="JSON", help="report on a recorded run")
    other = made.add_argument_group("profile")
    other.add_argument(
        "--profile",
        action="store_true",
        help="sample the selected server (default: ours) under load with py-spy instead",
    )
    other.add_argument("--native", action="store_true", help="with frames of extension modules")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0, or 1 when something could not be measured."""
    options = parser().parse_args(arguments)
    try:
        if options.render:
            return _publish(report.from_json(options.render.read_text()), options.output)
        most = max(case.websocket.clients for case in CASES.values() if case.websocket)
        raise_open_files(max(options.connections, most) + _SPARE_FILES)
        if options.profile:
            return _profile(options)
        return _compare(options)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1


def _plan(options: argparse.Namespace) -> Plan:
    rounds, seconds, warm_up = (3, 2.0, 1.0) if options.quick else (7, 4.0, 1.0)
    server_cpus, load_cpus = default_cpus()
    if options.server_cpu is not None:
        server_cpus = frozenset((options.server_cpu,))
    if options.load_cpu is not None:
        load_cpus = frozenset((options.load_cpu,))
    load = LoadPlan(options.connections, options.rate, load_cpus)
    return Plan(options.rounds or rounds, options.seconds or seconds, warm_up, load, server_cpus)


def _selected(options: argparse.Namespace, servers: Sequence[str]) -> list[list[Entry]]:
    groups = entries(
        [case for name, case in CASES.items() if name in (options.case or CASES)],
        [name for name in INTERFACES if name in (options.interface or INTERFACES)],
        [server for name, server in SERVERS.items() if name in servers],
    )
    if not groups:
        message = "no selected server takes part in the selected cases and interfaces"
        raise BenchmarkError(message)
    return groups


def _compare(options: argparse.Namespace) -> int:
    wrk = wrk_version()
    groups = _selected(options, options.server or list(SERVERS))
    servers = {entry.server.name: entry.server for group in groups for entry in group}
    interpreters: dict[str, Path] = {}
    for name, server in servers.items():
        _progress(f"environment {server.environment.name}")
        interpreters[name] = prepare(server.environment, options.cache, options.python)
    plan = _plan(options)
    conditions = _conditions(plan, interpreters, wrk)
    samples: list[Sample] = []
    failures: list[Failure] = []
    for result in run(groups, interpreters, plan, _progress):
        (samples if isinstance(result, Sample) else failures).append(result)  # type: ignore[arg-type]
    reference = options.reference or (OURS if OURS in servers else next(iter(servers)))
    results = report.Results(conditions, reference, tuple(samples), tuple(failures))
    return _publish(results, options.output)


def _conditions(plan: Plan, interpreters: dict[str, Path], wrk: str) -> dict[str, Any]:
    conditions: dict[str, Any] = {
        "machine": f"{_cpu_model()}, {os.cpu_count()} CPUs, Linux {platform.release()}",
        "load": wrk,
        "plan": f"{plan.rounds} interleaved rounds of {plan.seconds:g} s, "
        f"{plan.load.connections} connections, server on CPU {sorted(plan.server_cpus)}, "
        f"load on CPU {sorted(plan.load.cpus)}, fixed rate {plan.load.rate:g}/s",
    }
    if plan.server_cpus & plan.load.cpus:
        conditions["caution"] = "server and load share a CPU"
    for name, interpreter in interpreters.items():
        found = versions(interpreter)
        shown = ("python", *SERVERS[name].distributions)
        conditions[SERVERS[name].label] = (
            program_version(SERVERS[name].program)
            if SERVERS[name].program
            else {key: found[key] for key in shown if key in found}
        )
    return conditions


def program_version(program: str) -> str:
    """Return what a server that is no Python distribution says of its version."""
    try:
        done = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    return (done.stderr or done.stdout).strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _publish(results: report.Results, output: Path | None) -> int:
    text = report.to_text(results)
    print(text, end="")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / "benchmark.txt").write_text(text)
        (output / "benchmark.json").write_text(report.to_json(results))
        (output / "benchmark.svg").write_text(chart.to_svg(results))
        _progress(f"written to {output}")
    failed = results.failures or any(sample.failures for sample in results.samples)
    return 1 if failed else 0


def _profile(options: argparse.Namespace) -> int:
    """Profile each selected cell; the default is the yardstick case with every interface."""
    wrk_version()
    options.case = options.case or ["get-browser"]
    groups = _selected(options, options.server or [OURS])
    plan = _plan(options)
    profiler = prepare(profiling.PROFILER, options.cache, sys.executable)
    output = options.output or ROOT / "benchmarks" / "results"
    output.mkdir(parents=True, exist_ok=True)
    for entry in (entry for group in groups for entry in group):
        interpreter = prepare(entry.server.environment, options.cache, options.python)
        name = f"{entry.server.name}-{entry.interface}-{entry.case.name}"
        raw = output / f"{name}.stacks"
        found = profiling.profile(
            entry, interpreter, profiler, plan, native=options.native, raw=raw
        )
        text = profiling.to_text(
            found, f"{entry.server.label}, {entry.interface}/{entry.case.name}"
        )
        (output / f"{name}.txt").write_text(text)
        print(text)
    _progress(f"stacks for flame graph tools are in {output}")
    return 0


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

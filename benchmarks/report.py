"""From samples to a report: medians, ratios with their spread, text, JSON. It measures nothing."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cases import CASES
from benchmarks.measure import Failure, Sample
from benchmarks.servers import SERVERS

_MEGA = 1_000_000


@dataclass(frozen=True)
class Ratio:
    """CPU per request of the reference server against a peer's; below 1 it costs less."""

    of_medians: float
    low: float
    """The smallest ratio of one round."""
    high: float


@dataclass(frozen=True)
class Row:
    """The medians of one server in one group."""

    server: str
    rounds: int
    cpu_us: float
    rate: float
    p50_us: float
    p99_us: float
    worker_rss: int
    tree_rss: int
    peak_rss: int
    failures: int
    """Failed requests of all rounds together."""
    connection_octets: int
    """Resident octets of each idle connection, where the case is about them."""
    ratio: Ratio | None
    """The reference against this server; None for the reference itself and where one is missing."""


@dataclass(frozen=True)
class Group:
    """What was compared with each other: one case and interface."""

    case: str
    interface: str
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """What the group is about, for people."""
        return f"{self.interface.upper()} {CASES[self.case].description}"


@dataclass(frozen=True)
class Results:
    """Everything that a run found."""

    conditions: Mapping[str, Any]
    """How it was measured: machine, versions, plan. Values are what JSON can hold."""
    reference: str
    """The server that the others are compared with."""
    samples: tuple[Sample, ...]
    failures: tuple[Failure, ...] = ()


def ratio(reference: Iterable[Sample], peer: Iterable[Sample]) -> Ratio | None:
    """Compare CPU per request, None unless both were measured in one round at least.

    The ratio is that of the medians over all rounds; its spread is that of the ratios within each
    round, for only samples of one round saw the same machine.
    """
    ours = {sample.round: sample.cpu_us for sample in reference}
    theirs = {sample.round: sample.cpu_us for sample in peer}
    common = [ours[number] / theirs[number] for number in ours if number in theirs]
    if not common:
        return None
    medians = statistics.median(ours.values()) / statistics.median(theirs.values())
    return Ratio(medians, min(common), max(common))


def groups(results: Results) -> list[Group]:
    """Return the medians of every group, in the order of measurement."""
    cells: dict[tuple[str, str], dict[str, list[Sample]]] = {}
    for sample in results.samples:
        cell = cells.setdefault((sample.case, sample.interface), {})
        cell.setdefault(sample.server, []).append(sample)
    return [
        Group(case, interface, tuple(_rows(cell, results.reference)))
        for (case, interface), cell in cells.items()
    ]


def _rows(cell: Mapping[str, Sequence[Sample]], reference: str) -> Iterable[Row]:
    ours = cell.get(reference, ())
    for server, samples in cell.items():
        yield Row(
            server=server,
            rounds=len(samples),
            cpu_us=statistics.median(sample.cpu_us for sample in samples),
            rate=statistics.median(sample.rate for sample in samples),
            p50_us=statistics.median(sample.p50_us for sample in samples),
            p99_us=statistics.median(sample.p99_us for sample in samples),
            worker_rss=int(statistics.median(sample.worker_rss for sample in samples)),
            tree_rss=int(statistics.median(sample.tree_rss for sample in samples)),
            peak_rss=int(statistics.median(sample.peak_rss for sample in samples)),
            failures=sum(sum(sample.failures.values()) for sample in samples),
            connection_octets=int(
                statistics.median(sample.connection_octets for sample in samples)
            ),
            ratio=None if server == reference else ratio(ours, samples),
        )


def label(server: str) -> str:
    """Return the name that a report shows for *server*."""
    return SERVERS[server].label if server in SERVERS else server


def to_text(results: Results) -> str:
    """Return the report as plain text."""
    lines = [f"{name}: {_shown(value)}" for name, value in results.conditions.items()]
    for group in groups(results):
        lines += ["", f"{group.case}/{group.interface}: {group.title}", *_table(group, results)]
    for failure in results.failures:
        where = f"{failure.case}/{failure.interface} {label(failure.server)}"
        lines += ["", f"NOT MEASURED {where}, round {failure.round + 1}: {failure.reason}"]
    return "\n".join(lines) + "\n"


def shown_rate(rate: float) -> str:
    """Return requests per second as a table has them; large downloads are few."""
    return f"{rate:.0f}" if rate >= 10.0 else f"{rate:.2f}"


def _table(group: Group, results: Results) -> list[str]:
    against = f"CPU of {label(results.reference)} / of it"
    lines = [
        f"  {'server':<38}{'CPU us/req':>11}{'req/s':>9}{'p50 us':>9}{'p99 us':>9}"
        f"{'worker MB':>11}{'peak MB':>9}{'tree MB':>9}   {against}"
    ]
    for row in group.rows:
        compared = ""
        if row.ratio is not None:
            spread = f"({row.ratio.low:.2f} .. {row.ratio.high:.2f})"
            compared = f"{row.ratio.of_medians:.3f} {spread}"
        if row.connection_octets:
            compared += f"   {row.connection_octets / 1024:.1f} KiB per connection"
        failed = f"   {row.failures} FAILED REQUESTS" if row.failures else ""
        lines.append(
            f"  {label(row.server):<38}{row.cpu_us:>11.1f}{shown_rate(row.rate):>9}"
            f"{row.p50_us:>9.0f}"
            f"{row.p99_us:>9.0f}{row.worker_rss / _MEGA:>11.1f}"
            f"{row.peak_rss / _MEGA:>9.1f}{row.tree_rss / _MEGA:>9.1f}"
            f"   {compared}{failed}".rstrip()
        )
    return lines


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(item) for item in value)
    return str(value)


def to_json(results: Results) -> str:
    """Return everything as JSON: the samples, from which the rest follows, and the medians."""
    document = dataclasses.asdict(results)
    document["groups"] = [dataclasses.asdict(group) for group in groups(results)]
    return json.dumps(document, indent=2) + "\n"


def from_json(text: str) -> Results:
    """Read what :func:`to_json` wrote; the medians are computed again from the samples."""
    document = json.loads(text)
    return Results(
        conditions=document["conditions"],
        reference=document["reference"],
        samples=tuple(Sample(**sample) for sample in document["samples"]),
        failures=tuple(Failure(**failure) for failure in document["failures"]),
    )

"""The conformance tables, fed to both engines by hand: every split gives one verdict."""

from __future__ import annotations

import random

import pytest

from granian_core.http1.target import decode_path, split_target
from granian_core.settings import HTTP1Settings, Limits
from tests.conformance.cases import ALL
from tests.conformance.model import Case, Seen
from tests.core.http1.engines import (
    ENGINES,
    Call,
    Recorder,
    bytewise,
    cut_at,
    drive,
    joined,
    random_cuts,
)

PROBE = b"GET /probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n"

# Body limits and the switch for keep-alive are the connection's, not the engines'.
ENGINE_CASES = {
    name: case
    for name, case in ALL.items()
    if "max_body_size" not in case.limits and "keep_alive" not in case.http1
}

cases = pytest.mark.parametrize("case", ENGINE_CASES.values(), ids=ENGINE_CASES)
engines = pytest.mark.parametrize("engine", ENGINES)


def wire(case: Case) -> bytes:
    return case.data + PROBE if case.probe else case.data


def run(engine: str, case: Case, pieces: list[bytes]) -> list[Call]:
    return drive(
        ENGINES[engine],
        pieces,
        HTTP1Settings(**case.http1),  # type: ignore[arg-type]
        Limits(**case.limits),
        eof=not case.probe,
    )


def requests(calls: list[Call]) -> list[list[Call]]:
    """Group calls by request; an error in a head is a group of its own."""
    groups: list[list[Call]] = []
    for call in calls:
        if call[0] == "request" or (call[0] == "error" and _is_over(groups)):
            groups.append([call])
        else:
            groups[-1].append(call)
    return groups


def _is_over(groups: list[list[Call]]) -> bool:
    return not groups or groups[-1][-1][0] == "end" or groups[-1][0][6] == 0


def check_seen(group: list[Call], seen: Seen) -> None:
    _, method, target, minor, headers, *_ = group[0]
    assert isinstance(target, bytes)
    assert isinstance(headers, list)
    raw_path, query, authority = split_target(target)
    fields = [(name.decode(), value.decode("latin-1")) for name, value in headers]
    if authority is not None:
        fields = [("host", authority.decode()), *(pair for pair in fields if pair[0] != "host")]
    trailers = [call[1] for call in group if call[0] == "end"]
    assert method == seen.method
    assert decode_path(raw_path) == seen.path
    assert query.decode() == seen.query
    assert f"1.{minor}" == seen.version
    for name in {name for name, _ in seen.fields}:
        assert [p for p in fields if p[0] == name] == [p for p in seen.fields if p[0] == name]
    assert not {name for name, _ in fields} & set(seen.absent)
    assert b"".join(bytes(call[1]) for call in group if call[0] == "data") == seen.body  # type: ignore[call-overload]
    expected = [(name.encode(), value.encode("latin-1")) for name, value in seen.trailers]
    assert (trailers[0] if trailers else None) == (expected or None)


@engines
@cases
def test_case_whole_gives_an_acceptable_outcome(engine: str, case: Case) -> None:
    groups = requests(run(engine, case, [wire(case)]))
    probed = bool(groups) and groups[-1][0][:3] == ("request", "GET", b"/probe")
    if probed:
        groups.pop()
    if case.open is not None:
        assert probed == case.open
    assert len(groups) == len(case.answers)
    for group, answer in zip(groups, case.answers, strict=True):
        last = group[-1]
        if last[0] == "error":
            assert last[1] in answer.statuses
            assert len(group) == 1 or answer.reached
        else:
            assert 200 in answer.statuses
            assert answer.seen is not None
            check_seen(group, answer.seen)


@cases
def test_case_whole_gives_the_same_calls_on_both_engines(case: Case) -> None:
    assert run("fast", case, [wire(case)]) == run("reference", case, [wire(case)])


@engines
@cases
def test_case_byte_by_byte_gives_the_same_calls(engine: str, case: Case) -> None:
    data = wire(case)
    if len(data) > 80_000:
        pieces = [data[i : i + 997] for i in range(0, len(data), 997)]
    else:
        pieces = bytewise(data)
    assert run(engine, case, pieces) == run(engine, case, [data])


@cases
def test_case_split_in_two_at_every_offset_gives_the_same_calls(case: Case) -> None:
    data = wire(case)
    whole = run("fast", case, [data])
    rng = random.Random(case.id)
    offsets = list(range(1, len(data)))
    for offset in offsets if len(data) <= 1000 else rng.sample(offsets, 100):
        assert run("fast", case, cut_at(data, [offset])) == whole, offset
    for offset in rng.sample(offsets, min(len(offsets), 25)):
        assert run("reference", case, cut_at(data, [offset])) == whole, offset


@engines
@cases
def test_case_at_random_cuts_gives_the_same_calls(engine: str, case: Case) -> None:
    data = wire(case)
    whole = run(engine, case, [data])
    rng = random.Random(case.id)
    for _ in range(5):
        pieces = random_cuts(data, rng)
        assert run(engine, case, pieces) == whole, pieces


@cases
def test_case_truncated_anywhere_gives_the_same_calls_and_no_more_answers(case: Case) -> None:
    data = case.data
    offsets = (
        range(len(data)) if len(data) <= 400 else random.Random(1).sample(range(len(data)), 40)
    )
    complete = len(case.answers)
    settings = HTTP1Settings(**case.http1)  # type: ignore[arg-type]
    limits = Limits(**case.limits)
    for offset in offsets:
        results = [
            drive(ENGINES[engine], [data[:offset]], settings, limits, eof=True)
            for engine in ENGINES
        ]
        assert results[0] == results[1], offset
        assert len(requests(results[0])) <= complete, offset


@engines
@cases
def test_case_with_fin_before_any_answer_gives_the_same_calls(engine: str, case: Case) -> None:
    """The end of the input is kept, like the bytes before it, until it is its turn."""
    settings = HTTP1Settings(**case.http1)  # type: ignore[arg-type]
    limits = Limits(**case.limits)
    size = len(case.data)
    offsets = range(size) if size <= 100 else random.Random(case.id).sample(range(size), 20)
    for end in (size, *offsets):
        data = case.data[:end]
        recorder = Recorder(ENGINES[engine], settings, limits, answer=False)
        recorder.engine.receive_data(data)
        recorder.engine.receive_eof()
        while recorder.complete:
            recorder.respond()
        expected = drive(ENGINES[engine], [data], settings, limits, eof=True)
        assert joined(recorder.calls) == expected, data

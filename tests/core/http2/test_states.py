"""The tables of states: whole, closed, and what RFC 9113 5.1 says of the closed states."""

from __future__ import annotations

import pytest

from granian_core.http2 import states


@pytest.mark.parametrize(
    ("table", "rows", "columns"),
    [
        (states.STREAM, states.STREAM_STATES, states.STREAM_EVENTS),
        (states.CONNECTION, states.CONNECTION_STATES, states.CONNECTION_EVENTS),
    ],
    ids=["stream", "connection"],
)
def test_tables_have_a_cell_for_everything(
    table: tuple[tuple[int, ...], ...], rows: tuple[str, ...], columns: tuple[str, ...]
) -> None:
    assert len(table) == len(rows)
    assert all(len(row) == len(columns) for row in table)
    cells = {cell for row in table for cell in row}
    assert all(cell < len(rows) or states.DROP <= cell <= states.MISUSE for cell in cells)


def test_closed_streams_stay_closed() -> None:
    for state in (states.CLOSED, states.RESET_BY_PEER, states.RESET_BY_US, states.SKIPPED):
        assert all(cell >= states.DROP for cell in states.STREAM[state])


def test_stream_that_we_have_reset_is_never_a_fault() -> None:
    received = states.STREAM[states.RESET_BY_US][: states.SEND]
    assert set(received) == {states.DROP}


def test_nothing_is_sent_on_an_idle_stream() -> None:
    assert set(states.STREAM[states.IDLE][states.SEND :]) == {states.MISUSE}

"""Draw the diagrams of docs/engines.md from the tables of states that the HTTP/2 engine runs on.

python scripts/write_engines.py
"""

from __future__ import annotations

from pathlib import Path

from granian_core.http2 import states

PAGE = Path(__file__).resolve().parent.parent / "docs" / "engines.md"
BEGIN, END = "<!-- states: begin -->\n", "<!-- states: end -->\n"

VERDICTS = {
    states.DROP: "dropped",
    states.RESET_PROTOCOL: "RST PROTOCOL_ERROR",
    states.RESET_CLOSED: "RST STREAM_CLOSED",
    states.GOAWAY_PROTOCOL: "GOAWAY PROTOCOL_ERROR",
    states.GOAWAY_CLOSED: "GOAWAY STREAM_CLOSED",
    states.MISUSE: "raises",
}

Table = tuple[tuple[int, ...], ...]


def diagram(table: Table, rows: tuple[str, ...], columns: tuple[str, ...]) -> str:
    """Return the moves from one state to another, as Mermaid draws them."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{name}" as s{number}' for number, name in enumerate(rows)]
    lines.append("    [*] --> s0")
    for state, cells in enumerate(table):
        events: dict[int, list[str]] = {}
        for event, cell in enumerate(cells):
            if cell < len(rows) and cell != state:
                events.setdefault(cell, []).append(columns[event])
        lines += [f"    s{state} --> s{to}: {', '.join(names)}" for to, names in events.items()]
    return "\n".join([*lines, "```", ""])


def grid(table: Table, rows: tuple[str, ...], columns: tuple[str, ...]) -> str:
    """Return a whole table; ``·`` is the same state."""
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for state, cells in enumerate(table):
        words = ["·" if cell == state else VERDICTS.get(cell) or rows[cell] for cell in cells]
        lines.append(f"| **{rows[state]}** | " + " | ".join(words) + " |")
    return "\n".join([*lines, ""])


def section() -> str:
    """Return what stands between the markers."""
    parts = ["\n### A stream\n\n"]
    for table, rows, columns in (
        (states.STREAM, states.STREAM_STATES, states.STREAM_EVENTS),
        (states.CONNECTION, states.CONNECTION_STATES, states.CONNECTION_EVENTS),
    ):
        parts += [diagram(table, rows, columns), "\n", grid(table, rows, columns)]
        parts.append("\n### The connection\n\n")
    return "".join(parts[:-1]) + "\n"


def updated(page: str) -> str:
    """Return *page* with the section made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + section() + END + after


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

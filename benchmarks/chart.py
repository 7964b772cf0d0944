"""The chart: CPU per request as horizontal bars, one panel per case and interface, as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from benchmarks.report import Group, Results, Row, groups, label

_WIDTH = 910
_MARGIN = 24
_LABEL_WIDTH = 240
_VALUE_WIDTH = 190
_BAR = 18
_ROW = 26
_TITLE = 34
_GAP = 22
_HEADER = 62

_REFERENCE_COLOUR = "#0b6e4f"
_PEER_COLOUR = "#9aa5b1"
_FLOOR_COLOUR = "#d9dee4"


def to_svg(results: Results) -> str:
    """Return the chart as an SVG document; shorter bars are better."""
    panels = groups(results)
    height = _HEADER + sum(_panel_height(panel) for panel in panels) + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="system-ui, sans-serif" font-size="13" '
        'fill="#1f2933" role="img" aria-label="CPU time per request">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(_MARGIN, 32, "CPU time per request", size=19, weight="600"),
        _text(_MARGIN, 52, _subtitle(results), size=12, colour="#616e7c"),
    ]
    top = _HEADER
    for panel in panels:
        parts += _panel(panel, results.reference, top)
        top += _panel_height(panel)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _subtitle(results: Results) -> str:
    return (
        "microseconds of the whole process tree, median of interleaved rounds; less is better. "
        f"In brackets: {label(results.reference)} against it"
    )


def _panel_height(panel: Group) -> int:
    return _TITLE + _ROW * len(panel.rows) + _GAP


def _panel(panel: Group, reference: str, top: int) -> Iterable[str]:
    yield _text(_MARGIN, top + 22, panel.title, size=14, weight="600")
    longest = max(row.cpu_us for row in panel.rows)
    for index, row in enumerate(panel.rows):
        yield from _bar(row, reference, longest, top + _TITLE + index * _ROW)


def _bar(row: Row, reference: str, longest: float, top: int) -> Sequence[str]:
    room = _WIDTH - 2 * _MARGIN - _LABEL_WIDTH - _VALUE_WIDTH
    length = max(1.0, room * row.cpu_us / longest)
    left = _MARGIN + _LABEL_WIDTH
    baseline = top + 14
    value = f"{row.cpu_us:.1f} µs"
    if row.ratio is not None:
        value += f"  [{row.ratio.of_medians:.2f}: {row.ratio.low:.2f}..{row.ratio.high:.2f}]"
    bold = "600" if row.server == reference else "400"
    return (
        _text(left - 10, baseline, label(row.server), weight=bold, anchor="end"),
        f'<rect x="{left}" y="{top}" width="{length:.1f}" height="{_BAR}" rx="2" '
        f'fill="{_colour(row.server, reference)}"/>',
        _text(left + length + 8, baseline, value, weight=bold),
    )


def _colour(server: str, reference: str) -> str:
    if server == reference:
        return _REFERENCE_COLOUR
    return _FLOOR_COLOUR if server == "floor" else _PEER_COLOUR


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 13,
    weight: str = "400",
    anchor: str = "start",
    colour: str = "#1f2933",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
    )

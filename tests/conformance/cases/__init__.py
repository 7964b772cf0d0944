"""The tables: one module each, with a ``CASES`` tuple."""

from __future__ import annotations

from tests.conformance.cases import (
    chunked,
    expect,
    fields,
    framing,
    host,
    persistence,
    pipelining,
    request_line,
    sizes,
    trailers,
    upgrade,
)
from tests.conformance.model import Case

TABLES: dict[str, tuple[Case, ...]] = {
    "request-line": request_line.CASES,
    "host": host.CASES,
    "fields": fields.CASES,
    "framing": framing.CASES,
    "chunked": chunked.CASES,
    "trailers": trailers.CASES,
    "sizes": sizes.CASES,
    "persistence": persistence.CASES,
    "pipelining": pipelining.CASES,
    "expect": expect.CASES,
    "upgrade": upgrade.CASES,
}

ALL: dict[str, Case] = {
    f"{table}:{case.id}": case for table, cases in TABLES.items() for case in cases
}
"""Every case, by ``table:id``."""

"""The tables, one file for each part of RFC 9113."""

from __future__ import annotations

from tests.conformance.http2.cases import (
    compression,
    extended_connect,
    fields,
    flow,
    frames,
    limits,
    pseudo,
    starting,
    streams,
)
from tests.conformance.http2.model import Case

TABLES: dict[str, list[Case]] = {
    "starting": starting.CASES,
    "frames": frames.CASES,
    "compression": compression.CASES,
    "streams": streams.CASES,
    "flow": flow.CASES,
    "fields": fields.CASES,
    "pseudo": pseudo.CASES,
    "extended-connect": extended_connect.CASES,
    "limits": limits.CASES,
}

ALL: dict[str, Case] = {f"{name}-{case.id}": case for name, rows in TABLES.items() for case in rows}

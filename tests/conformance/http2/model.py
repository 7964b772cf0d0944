"""What a case of the HTTP/2 battery says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One delivery, and everything that the server may do about it."""

    id: str
    spec: str
    """Where the rule stands."""
    send: tuple[bytes, ...]
    """Each piece is sent when the server has dealt with the one before."""
    hello: bool = True
    """Whether the client's preface and SETTINGS go before."""
    answers: Mapping[int, int] = field(default_factory=dict)
    """Statuses by stream; streams that are not named get no answer."""
    resets: Mapping[int, int] = field(default_factory=dict)
    """Codes of RST_STREAM by stream."""
    goaway: int | None = None
    """Code of GOAWAY; None if the connection stays open."""
    closes: bool = False
    """The connection ends without an error of ours."""
    calls: int | None = None
    """How many requests reach the application; None for the answers of 200."""
    seen: Mapping[str, Any] | None = None
    """What the application saw of its last request."""
    http2: Mapping[str, Any] = field(default_factory=dict)
    """Settings other than the defaults."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    websockets: bool = False
    """Whether the application has WebSockets: then extended CONNECT is announced."""


def case(id_: str, spec: str, *send: bytes, **rest: Any) -> Case:
    """Return a case; short to write in a table."""
    return Case(id=id_, spec=spec, send=send, **rest)

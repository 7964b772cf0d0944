"""What a case of the battery is: bytes in, and the outcomes that are acceptable.

A case never says *how* its bytes are delivered; `tests.conformance.runner` delivers
every case whole, byte by byte and at seeded random cuts, behind it a further request
(the *probe*), and expects the same verdict each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Pairs = tuple[tuple[str, str], ...]
Overrides = Mapping[str, int | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the application must have seen of one request."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    version: str = "1.1"
    fields: Pairs = ()
    """Header fields that must be there with these values, repeats in this order."""
    absent: tuple[str, ...] = ()
    """Names that must not be among the header fields."""
    body: bytes = b""
    trailers: Pairs = ()
    """The trailer section; checked where the interface exposes one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One expected final response."""

    statuses: frozenset[int]
    """Acceptable statuses; more than one only where the RFC leaves the choice."""
    seen: Seen | None = None
    """What the application saw; None when the server answers by itself."""
    reached: bool = False
    """Whether the application may run although the server answers (a fault in the body)."""
    optional: bool = False
    """Whether the connection may end without it (the client left inside the request)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of a table."""

    id: str
    data: bytes
    answers: tuple[Answer, ...]
    spec: str
    """``RFC section``, or the sentence of our own rules."""
    open: bool | None = True
    """Whether the connection takes a further request; None where both are right."""
    probe: bool = True
    """False where the bytes end inside a message: then the client half-closes instead."""
    http1: Overrides = field(default_factory=dict)
    """`HTTP1Settings` that differ from the defaults."""
    limits: Overrides = field(default_factory=dict)
    """`Limits` that differ from the defaults."""

    @property
    def small(self) -> bool:
        """Whether delivering it byte by byte is cheap."""
        return len(self.data) <= 700


def accept(
    id: str,  # noqa: A002 - the word that the tables read best with
    data: bytes,
    spec: str,
    *seen: Seen,
    open: bool | None = True,  # noqa: A002
    http1: Overrides | None = None,
    limits: Overrides | None = None,
) -> Case:
    """Make a case whose requests the application answers, each in order."""
    answers = tuple(Answer(statuses=frozenset({200}), seen=each) for each in (seen or (Seen(),)))
    return Case(
        id=id,
        data=data,
        answers=answers,
        spec=spec,
        open=open,
        http1=http1 or {},
        limits=limits or {},
    )


def refuse(
    id: str,  # noqa: A002
    data: bytes,
    statuses: int | set[int],
    spec: str,
    *before: Seen,
    reached: bool = False,
    probe: bool = True,
    open: bool | None = False,  # noqa: A002
    http1: Overrides | None = None,
    limits: Overrides | None = None,
) -> Case:
    """Make a case that ends in an error answer and a closed connection.

    Args:
        id: Unique within its table.
        data: The request bytes.
        statuses: The acceptable statuses.
        spec: RFC and section.
        before: Requests that are answered in front of the faulty one.
        reached: The fault is in the body, so the application may be running.
        probe: See `Case.probe`.
        open: See `Case.open`.
        http1: See `Case.http1`.
        limits: See `Case.limits`.
    """
    allowed = frozenset({statuses} if isinstance(statuses, int) else statuses)
    answers = (
        *(Answer(statuses=frozenset({200}), seen=each) for each in before),
        Answer(statuses=allowed, reached=reached, optional=reached and not probe),
    )
    return Case(
        id=id,
        data=data,
        answers=answers,
        spec=spec,
        open=open,
        probe=probe,
        http1=http1 or {},
        limits=limits or {},
    )


def either(
    id: str,  # noqa: A002
    data: bytes,
    status: int,
    spec: str,
    seen: Seen | None = None,
    *,
    reached: bool = False,
    http1: Overrides | None = None,
    limits: Overrides | None = None,
) -> Case:
    """Make a case that may be accepted or refused with *status*; both engines must agree."""
    answer = Answer(statuses=frozenset({200, status}), seen=seen or Seen(), reached=reached)
    return Case(
        id=id,
        data=data,
        answers=(answer,),
        spec=spec,
        open=None,
        http1=http1 or {},
        limits=limits or {},
    )


def silent(id: str, data: bytes, spec: str) -> Case:  # noqa: A002
    """Make a case that is closed without any answer (the head never became complete)."""
    return Case(id=id, data=data, answers=(), spec=spec, open=False, probe=False)

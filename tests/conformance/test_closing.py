"""How a connection ends, over real sockets: nobody's answer is lost to a reset."""

from __future__ import annotations

import pytest

from tests.conformance.model import refuse, silent
from tests.conformance.runner import ENGINES, Harness, Outcome
from tests.conformance.test_battery import deliver

engines = pytest.mark.parametrize("engine", ENGINES)
FLOOD = [b"x" * 65536] * 64
"""Four mebibytes that the client goes on sending, whatever the server says."""

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@engines
@pytest.mark.parametrize(
    ("status", "head", "limits"),
    [
        (
            413,
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n",
            {"max_body_size": 10},
        ),
        (413, CHUNKED + b"400000\r\n", {"max_body_size": 10}),
        (400, b"POST / HTTP/1.1\r\nHost : a\r\n\r\n", {}),
        (400, CHUNKED + b"zz\r\n", {}),
        (501, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", {}),
        (505, b"GET / HTTP/3.0\r\n\r\n", {}),
        (417, b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 4194304\r\n\r\n", {}),
        (414, b"GET /" + b"p" * 70_000, {}),
        (431, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200, {}),
    ],
)
def test_client_that_goes_on_sending_reads_the_answer(
    harness: Harness, engine: str, status: int, head: bytes, limits: dict[str, int]
) -> None:
    """Lingering close (RFC 9112 9.6): what still comes is read and dropped."""
    case = refuse("flood", head, status, "9112 9.6", reached=True, limits=limits)
    outcome = deliver(harness, "core", engine, case, [head, *FLOOD], fin=True)
    assert not outcome.reset
    assert [response.status for response in outcome.responses] == [status]
    assert outcome.responses[0].closes


@engines
def test_slow_head_is_answered_408(harness: Harness, engine: str) -> None:
    case = refuse(
        "slow", b"GET / HTTP/1.1\r\n", 408, "9110 15.5.9", http1={"header_read_timeout": 200}
    )
    outcome = deliver(harness, "core", engine, case, [case.data], fin=False)
    assert [response.status for response in outcome.responses] == [408]
    assert outcome.responses[0].closes
    assert not outcome.seen


@engines
def test_connection_that_never_speaks_is_closed_silently(harness: Harness, engine: str) -> None:
    case = silent("mute", b"", "9112 9.5")
    mute = refuse("mute", b"", 408, case.spec, http1={"header_read_timeout": 200})
    outcome: Outcome = deliver(harness, "core", engine, mute, [], fin=False)
    assert outcome.responses == []
    assert not outcome.reset

"""What the tests of the interfaces run over: both HTTP versions, in the clear and over TLS.

A test of a module that uses the fixture `wire` runs over all four. One that looks at what
only some of them have says so with one of the marks below. ``GRANIAN_TEST_WIRES``, names
with commas between, is for a quicker run over some of them.

A test of an interface that runs over HTTP/1.1 does so once more with the application kept
apart from its connections, as with I/O threads; and those that run in the clear do so once more
for each version with its reference engine.
"""

from __future__ import annotations

import os

import pytest

WIRES = ("http/1.1", "http/1.1+tls", "http/2", "http/2+tls")

over_http1 = pytest.mark.wires("http/1.1", "http/1.1+tls")
"""Looks at bytes of HTTP/1.1: chunks, status lines, connections that end with a response."""
over_cleartext = pytest.mark.wires("http/1.1", "http/2")
"""Looks at what TLS makes different by intention: the scheme, the facts about the session."""
over_cleartext_http1 = pytest.mark.wires("http/1.1")
"""Both: half-closed connections, the number of writes, the scope to its last key."""

on_one_loop = pytest.mark.on_one_loop
"""Looks at what has left by the time that a call returns: apart from its connection, an
application can only know that it will."""

APART = "http/1.1+apart"
WITH_REFERENCE = {"http/1.1": "http/1.1+reference", "http/2": "http/2+reference"}


def wires_of(definition: pytest.Item) -> tuple[str, ...]:
    """Return those on which a test has a meaning."""
    marker = definition.get_closest_marker("wires")
    names: tuple[str, ...] = marker.args if marker is not None else WIRES
    assert set(names) <= set(WIRES), names
    plain = names
    is_async = definition.path.parent.name in ("asgi", "rsgi")
    if is_async and "http/1.1" in names and definition.get_closest_marker("on_one_loop") is None:
        names = (*names, APART)
    if definition.path.parent.name in ("asgi", "rsgi", "wsgi"):
        names += tuple(WITH_REFERENCE[name] for name in plain if name in WITH_REFERENCE)
    chosen = os.environ.get("GRANIAN_TEST_WIRES")
    if chosen:
        # A test that has none of the chosen ones runs over its first: none goes untested.
        names = tuple(name for name in names if name in chosen.split(",")) or names[:1]
    return names

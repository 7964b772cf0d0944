"""One server for each interface and runtime mode, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from granian_core.testing.certs import CertificateFiles
from tests.e2e.compat.apps import FILE
from tests.e2e.compat.serving import INTERFACES, MODES, TIMES, Serving, serving


@pytest.fixture(scope="session", autouse=True)
def _times(request: pytest.FixtureRequest) -> Iterator[None]:
    """Say, with ``-s``, how long the servers took."""
    yield
    for what, seconds in TIMES.items():
        if seconds:
            middle = sorted(seconds)[len(seconds) // 2]
            print(f"\n{what}: median {middle:.2f} s, most {max(seconds):.2f} s of {len(seconds)}")


@pytest.fixture(scope="package", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """The word for ``runtime_mode``."""
    return str(request.param)


@pytest.fixture(scope="package", params=INTERFACES)
def server(request: pytest.FixtureRequest, mode: str) -> Iterator[Serving]:
    """A server on TCP."""
    with serving(request.param, mode, static_path_mount=[FILE.parent]) as server:
        yield server


@pytest.fixture(scope="package", params=INTERFACES)
def tls_server(
    request: pytest.FixtureRequest, mode: str, certificate: CertificateFiles
) -> Iterator[Serving]:
    """A server on TCP with TLS."""
    with serving(request.param, mode, tls=certificate, ssl_protocol_min="tls1.2") as server:
        yield server

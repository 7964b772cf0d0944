"""What the end-to-end tests share: the ways in which a server can be reached."""

from __future__ import annotations

import pytest

from granian_core.testing.certs import CertificateFiles, issue_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    """A certificate for the loopback names."""
    return issue_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module", params=["http", "https"])
def tls(request: pytest.FixtureRequest, certificate: CertificateFiles) -> CertificateFiles | None:
    """What a server is to serve TLS with: every test that asks for it runs without and with."""
    return certificate if request.param == "https" else None

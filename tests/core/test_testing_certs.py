"""Certificates for tests are valid for what they were asked for."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest

pytest.importorskip("trustme", reason="needs granian-core[testing]")

from granian_core.testing.certs import CertificateFiles, issue_certificate


def handshake(files: CertificateFiles, name: str) -> None:
    """Complete a TLS handshake in memory, the client checking *name*."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files.certificate, files.key)
    client_context = ssl.create_default_context(cafile=str(files.authority))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in {client, server} - done:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            done.add(side)
        if len(done) == 2:
            return
    pytest.fail("the handshake did not end")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_default_certificate_is_good_for_loopback(tmp_path: Path, name: str) -> None:
    """A client that trusts the authority accepts every loopback name."""
    files = issue_certificate(tmp_path)
    handshake(files, name)
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600


def test_certificate_is_good_for_its_identities_alone(tmp_path: Path) -> None:
    """Issuing again into the directory replaces the files; other names are refused."""
    issue_certificate(tmp_path)
    files = issue_certificate(tmp_path, "app.example")
    handshake(files, "app.example")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(files, "localhost")

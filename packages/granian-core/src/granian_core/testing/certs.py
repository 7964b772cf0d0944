"""Certificates for tests, made on the spot (needs the extra ``granian-core[testing]``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files of one server certificate and of the authority that issued it."""

    certificate: Path
    """The server's certificate chain."""
    key: Path
    """The private key of the certificate."""
    authority: Path
    """What a client has to trust."""


def issue_certificate(directory: Path, *identities: str) -> CertificateFiles:
    """Make an authority and a certificate for *identities*; write both to *directory*.

    Args:
        directory: An existing directory.
        identities: Host names and addresses; ``localhost`` and both loopback addresses
            if there are none.
    """
    authority = trustme.CA()
    issued = authority.issue_cert(*(identities or ("localhost", "127.0.0.1", "::1")))
    files = CertificateFiles(
        directory / "server.pem", directory / "server.key", directory / "authority.pem"
    )
    files.certificate.unlink(missing_ok=True)
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(files.certificate), append=True)
    issued.private_key_pem.write_to_path(str(files.key))
    files.key.chmod(0o600)
    authority.cert_pem.write_to_path(str(files.authority))
    return files

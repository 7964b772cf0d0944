"""Certificates for tests, made on the spot (needs the extra ``granian-core[testing]``)."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

if TYPE_CHECKING:
    from pathlib import Path

LOOPBACK = ("localhost", "127.0.0.1", "::1")

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files of one certificate and of the authority that issued it."""

    certificate: Path
    """The certificate chain."""
    key: Path
    """The private key of the certificate."""
    authority: Path
    """What the other side has to trust."""


class Authority:
    """An authority that issues certificates and revokes them.

    Args:
        directory: An existing directory; everything is written there.
        name: Begins the names of its files.

    Attributes:
        certificate: PEM file of its own certificate.
    """

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._name = name
        self._ca = trustme.CA()
        self._revoked: list[int] = []
        self.certificate = directory / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.certificate))

    def issue(
        self,
        *identities: str,
        name: str = "server",
        common_name: str | None = None,
        expired: bool = False,
        not_after: datetime.datetime | None = None,
        rsa: bool = False,
    ) -> CertificateFiles:
        """Issue a certificate, good for servers and for clients.

        Args:
            identities: Host names, addresses, or an e-mail address; the loopback names if
                there are none.
            name: Begins the names of its files; existing ones are replaced.
            common_name: The subject's common name.
            expired: Let it have ended yesterday.
            not_after: When it ends, if not in 30 days.
            rsa: Give it an RSA key instead of one on a curve.
        """
        now = datetime.datetime.now(datetime.timezone.utc)
        issued = self._ca.issue_cert(
            *(identities or LOOPBACK),
            common_name=common_name,
            not_before=now - 30 * _DAY,
            not_after=not_after or (now - _DAY if expired else now + 30 * _DAY),
            key_type=trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA,
        )
        files = CertificateFiles(
            self._directory / f"{name}.pem", self._directory / f"{name}.key", self.certificate
        )
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        files.certificate.write_bytes(chain)
        files.key.touch(mode=0o600)
        files.key.write_bytes(issued.private_key_pem.bytes())
        return files

    def revocation_list(self, *revoked: CertificateFiles, expired: bool = False) -> Path:
        """Write a PEM revocation list of everything that was revoked so far.

        Args:
            revoked: What to revoke now.
            expired: Let the list have ended yesterday.
        """
        for files in revoked:
            certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
            self._revoked.append(certificate.serial_number)
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(x509.load_pem_x509_certificate(self._ca.cert_pem.bytes()).subject)
            .last_update(now - 2 * _DAY)
            .next_update(now - _DAY if expired else now + 30 * _DAY)
        )
        for number in self._revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(number)
            builder = builder.add_revoked_certificate(entry.revocation_date(now - 2 * _DAY).build())
        key = serialization.load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        assert isinstance(key, EllipticCurvePrivateKey)  # of trustme's authorities
        signed = builder.sign(key, hashes.SHA256())
        path = self._directory / f"{self._name}.crl"
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return path


def issue_certificate(directory: Path, *identities: str) -> CertificateFiles:
    """Make an authority and a certificate for *identities*; write both to *directory*.

    Args:
        directory: An existing directory.
        identities: Host names and addresses; ``localhost`` and both loopback addresses
            if there are none.
    """
    return Authority(directory).issue(*identities)

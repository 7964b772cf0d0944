"""From certificate files to `ssl.SSLContext` objects, or to one line that says what is wrong.

One context per certificate, all with the same rules; which one serves a connection is
settled by the name that its client asks for (SNI), the first where that tells nothing.
Contexts are never changed once they serve: a reload makes new ones.
"""

from __future__ import annotations

import datetime
import logging
import os
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING

from granian_core.errors import ConfigurationError
from granian_core.tls.hello import offered_protocols
from granian_core.tls.info import TLSInfo
from granian_core.tls.x509 import DERError, host_names, last_moment, subject_name

if TYPE_CHECKING:
    from granian_core.settings import TLSSettings

logger = logging.getLogger("_granian.tls")

CERTIFICATE, KEY, PASSWORD = "--ssl-certificate", "--ssl-keyfile", "--ssl-keyfile-password"

TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secret and authenticated only (RFC 9325 section 4.2); all are allowed to HTTP/2."""

NO_APPLICATION_PROTOCOL = 120
"""The alert of RFC 7301 section 3.2."""
HELLO_LIMIT = 131_396
"""Bytes of a ClientHello that are kept to be read; OpenSSL accepts no longer one."""

ENDS_SOON = datetime.timedelta(days=14)
"""How long before its end a certificate is worth a warning."""

_said: set[tuple[str, datetime.datetime]] = set()
"""Warnings of an end that were given; workers inherit them by fork, and do not repeat them."""

_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
_PEM_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_PEM_KEY = b"PRIVATE KEY-----"
_PEM_CRL = b"-----BEGIN X509 CRL-----"


class TLSSession(ssl.SSLObject):
    """One session, and what its client said first.

    Attributes:
        hello: The records that hold the ClientHello, until it was read.
        fault: Why we refuse it, where that is not OpenSSL's reason.
    """

    hello: bytes | None = b""
    fault: str = ""


class TLSContexts:
    """The certificates of a server, ready to serve.

    Args:
        settings: Files and rules; they name one certificate at least.
        protocols: ALPN names, the preferred one first.

    Attributes:
        default: The context that every session starts with.

    Raises:
        ConfigurationError: A file can not be used; names the option, the file and a remedy.
    """

    def __init__(self, settings: TLSSettings, protocols: Sequence[str]) -> None:
        self._settings = settings
        self._protocols = list(protocols)
        self._known = frozenset(name.encode() for name in protocols)
        self._by_name: dict[str, ssl.SSLContext] = {}
        self._certificates: dict[ssl.SSLContext, str] = {}
        self._infos: dict[tuple[ssl.SSLContext, str | None, str], TLSInfo] = {}
        for certificate, key in zip(settings.certificate, settings.keyfile, strict=True):
            self._add(os.fspath(certificate), os.fspath(key))
        self.default = next(iter(self._certificates))
        self.default.sni_callback = self._on_hello
        self._suites = {one["name"]: one["id"] & 0xFFFF for one in self.default.get_ciphers()}

    # -- a session ----------------------------------------------------------------

    def start(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> TLSSession:
        """Return a new session between two buffers."""
        session = self.default.wrap_bio(incoming, outgoing, server_side=True)
        assert isinstance(session, TLSSession)
        return session

    def describe(self, session: ssl.SSLObject) -> TLSInfo:
        """Return the facts about a session whose handshake is over."""
        cipher = session.cipher()
        name = cipher[0] if cipher is not None else ""
        key = (session.context, session.version(), name)
        info = self._infos.get(key)
        if info is None:
            info = self._infos[key] = TLSInfo(
                version=_VERSIONS.get(key[1] or ""),
                cipher_suite=self._suites.get(name),
                server_cert=self._certificates[session.context],
            )
        if session.context.verify_mode is ssl.CERT_NONE:
            return info  # nothing in it is about the client
        return _with_client(info, session)

    def _on_hello(
        self, session: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> int | None:
        """Choose the certificate; refuse a client that speaks nothing we do.

        OpenSSL calls this for every ClientHello, with or without a name.
        """
        assert isinstance(session, TLSSession)
        if session.hello is not None:
            offered = offered_protocols(session.hello)
            session.hello = None
            # RFC 7301 section 3.2. Left to itself, `ssl` would go on without a protocol.
            if offered and self._known.isdisjoint(offered):
                session.fault = f"the client speaks only {b', '.join(offered)!r}"
                return NO_APPLICATION_PROTOCOL
        chosen = self._choose(name)
        if chosen is not None and chosen is not context:
            session.context = chosen
        return None

    def _choose(self, name: str | None) -> ssl.SSLContext | None:
        """Return the context for a server name, or None for the default one."""
        if not name or not self._by_name:
            return None
        name = name.lower()
        chosen = self._by_name.get(name)
        if chosen is None:
            # RFC 6125 section 6.4.3: a wildcard stands for one whole label, the leftmost.
            chosen = self._by_name.get(f"*.{name.partition('.')[2]}")
        return chosen

    # -- files --------------------------------------------------------------------

    def _add(self, certificate: str, key: str) -> None:
        pem = _read_pem(CERTIFICATE, certificate, _PEM_CERTIFICATE, "certificate")
        _read_pem(KEY, key, _PEM_KEY, "private key")
        context = self._new_context()
        _load_pair(context, certificate, key, pem, self._settings.keyfile_password)
        text = _first_certificate(pem)
        self._certificates[context] = text
        try:
            names = host_names(ssl.PEM_cert_to_DER_cert(text))
        except (DERError, ValueError) as exc:
            raise ConfigurationError(
                CERTIFICATE, certificate, f"can not be read as a certificate: {exc}"
            ) from exc
        _warn_of_the_end(certificate, text)
        for name in names:
            self._by_name.setdefault(name, context)

    def _new_context(self) -> ssl.SSLContext:
        settings = self._settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslobject_class = TLSSession
        context.minimum_version = (
            ssl.TLSVersion.TLSv1_2 if settings.protocol_min == "tls1.2" else ssl.TLSVersion.TLSv1_3
        )
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_ciphers(TLS12_CIPHERS)
        context.set_alpn_protocols(self._protocols)
        # A connection that resumes takes one ticket and gets one: a second only costs.
        context.num_tickets = 1
        if settings.ca is not None:
            _load_authorities(context, settings)
        return context


def check_files(settings: TLSSettings) -> None:
    """Load everything that *settings* name, and forget it; warn, even if again, of what ends soon.

    Raises:
        ConfigurationError: As for `TLSContexts`.
    """
    _said.clear()
    TLSContexts(settings, ())


def _warn_of_the_end(path: str, text: str) -> None:
    try:
        end = last_moment(ssl.PEM_cert_to_DER_cert(text))
    except (DERError, ValueError) as exc:
        # OpenSSL has accepted it: serve, even if nobody can say for how long.
        logger.debug("the end of %s can not be read: %s", path, exc)
        return
    now = datetime.datetime.now(datetime.timezone.utc)
    if end - now > ENDS_SOON or (path, end) in _said:
        return
    _said.add((path, end))
    if end <= now:
        logger.warning("%s=%s: expired on %s; clients will refuse it", CERTIFICATE, path, end)
    else:
        logger.warning("%s=%s: expires on %s", CERTIFICATE, path, end)


def _load_pair(
    context: ssl.SSLContext, certificate: str, key: str, pem: bytes, password: str | None
) -> None:
    asked = False

    def give() -> str:
        # Always given: without it, OpenSSL would ask on the terminal.
        nonlocal asked
        asked = True
        return password or ""

    try:
        context.load_cert_chain(certificate, key, give)
    except ssl.SSLError as exc:
        raise _pair_error(exc, certificate, key, pem, encrypted=asked, password=password) from exc
    except ValueError as exc:  # a password above OpenSSL's 1024 bytes
        raise ConfigurationError(PASSWORD, None, str(exc)) from exc
    except OSError as exc:
        raise ConfigurationError(KEY, key, _unreadable(exc)) from exc


def _pair_error(
    exc: ssl.SSLError,
    certificate: str,
    key: str,
    pem: bytes,
    *,
    encrypted: bool,
    password: str | None,
) -> ConfigurationError:
    """Find out which of certificate, key and password OpenSSL has complained about."""
    reason = exc.reason or ""
    if reason == "KEY_VALUES_MISMATCH" or reason == "KEY_TYPE_MISMATCH":
        return ConfigurationError(
            KEY, key, f"is not the key of {certificate}; name them in pairs, in the same order"
        )
    if reason.endswith(("_TOO_SMALL", "_TOO_WEAK")):
        return ConfigurationError(
            CERTIFICATE,
            certificate,
            f"is too weak ({reason.lower().replace('_', ' ')}); use RSA from 2048 bits, or ECDSA",
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(
            cadata=pem.decode("ascii", "ignore")
        )
    except ssl.SSLError:
        return ConfigurationError(
            CERTIFICATE, certificate, "holds a damaged certificate; issue or copy it again"
        )
    if not encrypted:
        return ConfigurationError(
            KEY, key, "holds no private key that OpenSSL can read; copy it again, as PEM"
        )
    if password is None:
        return ConfigurationError(KEY, key, f"is encrypted; give its password by {PASSWORD}")
    return ConfigurationError(PASSWORD, None, f"does not decrypt {key}; give the right one")


def _load_authorities(context: ssl.SSLContext, settings: TLSSettings) -> None:
    """Set up the verification of clients."""
    assert settings.ca is not None
    _load_locations(context, "--ssl-ca", os.fspath(settings.ca), _PEM_CERTIFICATE, "certificate")
    for crl in settings.crl:
        _load_locations(context, "--ssl-crl", os.fspath(crl), _PEM_CRL, "revocation list")
    if settings.crl:
        # Every issuer on the way needs its list: what nobody vouches for counts as revoked.
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    context.verify_mode = ssl.CERT_REQUIRED if settings.client_verify else ssl.CERT_OPTIONAL


def _load_locations(
    context: ssl.SSLContext, option: str, path: str, marker: bytes, what: str
) -> None:
    _read_pem(option, path, marker, what)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as exc:
        raise ConfigurationError(
            option, path, f"holds a damaged {what}; issue or copy it again"
        ) from exc
    except OSError as exc:
        raise ConfigurationError(option, path, _unreadable(exc)) from exc


def _read_pem(option: str, path: str, marker: bytes, what: str) -> bytes:
    """Return the content of a file that must hold *marker*."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as exc:
        raise ConfigurationError(option, path, _unreadable(exc)) from exc
    if marker not in content:
        remedy = f"holds no {what} in PEM form"
        if content[:1] == b"\x30":
            remedy += "; this is DER: convert it with openssl"
        elif b"-----BEGIN" in content:
            found = content.partition(b"-----BEGIN ")[2].partition(b"-----")[0]
            remedy += f" but {found.decode('ascii', 'replace').lower()!r}; name another file"
        else:
            remedy += "; name another file"
        raise ConfigurationError(option, path, remedy)
    return content


def _unreadable(exc: OSError) -> str:
    return f"can not be read: {exc.strerror or exc}; check the path and its permissions"


def _first_certificate(pem: bytes) -> str:
    end = b"-----END CERTIFICATE-----"
    start = pem.index(_PEM_CERTIFICATE)
    block = pem[start:].partition(end)[0] + end
    return block.replace(b"\r\n", b"\n").decode("ascii", "replace") + "\n"


def _with_client(info: TLSInfo, session: ssl.SSLObject) -> TLSInfo:
    """Add the client's certificate, which has been verified, to *info*."""
    leaf = session.getpeercert(binary_form=True)
    if leaf is None:
        return info
    # CPython 3.13; below, the leaf alone is public.
    sent = getattr(session, "get_unverified_chain", None)
    chain: Sequence[bytes] = (sent() if sent is not None else None) or [leaf]
    try:
        name = subject_name(leaf)
    except DERError as exc:  # OpenSSL reads more than we do
        logger.debug("the subject of a client certificate can not be read: %s", exc)
        name = None
    return TLSInfo(
        version=info.version,
        cipher_suite=info.cipher_suite,
        server_cert=info.server_cert,
        client_cert_chain=tuple(ssl.DER_cert_to_PEM_cert(one) for one in chain),
        client_cert_name=name,
    )

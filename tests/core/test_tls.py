"""TLS: what is configured, what clients get, and what a hostile one can not do."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("trustme", reason="needs granian-core[testing]")

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat

from granian_core import (
    BaseInterface,
    ClientDisconnected,
    ConfigurationError,
    HTTPStream,
    Limits,
    Server,
    ServerConfig,
    TLSSettings,
)
from granian_core.loops import loops
from granian_core.sockets import bind_tcp
from granian_core.testing.certs import Authority, CertificateFiles
from granian_core.tls import TLSContexts, TLSInfo, check_files
from granian_core.tls.hello import looks_like_http, offered_protocols
from granian_core.tls.x509 import DERError, host_names, last_moment, subject_name

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
TIMEOUT = 30.0

both_loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> CertificateFiles:
    return authority.issue()


@pytest.fixture(autouse=True)
def _nothing_but_debug_lines(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever peers do, the log has nothing to say above DEBUG."""
    caplog.set_level(logging.DEBUG, "_granian")
    yield
    # asyncio says at INFO that a turn took long.
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


def settings(files: CertificateFiles, *more: CertificateFiles, **changes: Any) -> TLSSettings:
    pairs = (files, *more)
    changes = {
        "certificate": tuple(pair.certificate for pair in pairs),
        "keyfile": tuple(pair.key for pair in pairs),
        **changes,
    }
    return TLSSettings(**changes)


# -- a server and its clients ---------------------------------------------------------


class Application(BaseInterface):
    """Answers with the facts of the session; keeps what streams say."""

    def __init__(self, handler: Callable[[HTTPStream], Awaitable[None]] | None = None) -> None:
        self.infos: list[TLSInfo | None] = []
        self._handler = handler

    async def handle_http(self, stream: HTTPStream) -> None:
        self.infos.append(stream.tls)
        if self._handler is not None:
            await self._handler(stream)
            return
        body = await stream.read_all()
        stream.respond(200, [(b"x-scheme", stream.scheme.encode())], body)


class Running:
    """A server on a port of its own."""

    def __init__(self, server: Server, application: Application) -> None:
        self.server = server
        self.application = application
        self.port = server.addresses[0][1] or 0

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT)

    @contextlib.contextmanager
    def secure(self, context: ssl.SSLContext, name: str = "localhost") -> Iterator[ssl.SSLSocket]:
        with self.connect() as plain, context.wrap_socket(plain, server_hostname=name) as sock:
            yield sock

    def ask(self, context: ssl.SSLContext, request: bytes = LAST, name: str = "localhost") -> bytes:
        with self.secure(context, name) as sock:
            sock.sendall(request)
            return read_to_end(sock)

    def ask_plain(self, data: bytes) -> bytes:
        with self.connect() as sock:
            sock.sendall(data)
            return read_to_end(sock)

    async def wait_failures(self, count: int) -> None:
        async def wait() -> None:
            while self.server.tls_handshakes[1] < count or self.server.context.connections:
                await asyncio.sleep(0.01)

        await asyncio.wait_for(wait(), TIMEOUT)
        assert self.server.tls_handshakes[1] == count


def read_to_end(sock: socket.socket) -> bytes:
    parts = []
    while data := sock.recv(65536):
        parts.append(data)
    return b"".join(parts)


@contextlib.asynccontextmanager
async def serving(
    tls: TLSSettings,
    handler: Callable[[HTTPStream], Awaitable[None]] | None = None,
    **config: Any,
) -> AsyncIterator[Running]:
    application = Application(handler)
    (sock,) = bind_tcp(["127.0.0.1"], 0)
    with sock:
        made = Server(application, sockets=[sock], config=ServerConfig(tls=tls, **config))
        async with made as server:
            yield Running(server, application)


def run(loop_name: str, main: Coroutine[Any, Any, None]) -> None:
    if loop_name not in loops:
        main.close()
        pytest.skip(f"{loop_name} is not installed")
    loop = loops.get(loop_name)
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    try:
        loop.run_until_complete(asyncio.wait_for(main, 4 * TIMEOUT))
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
    assert faults == []


def client(
    files: CertificateFiles,
    identity: CertificateFiles | None = None,
    *,
    maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    alpn: list[str] | None = None,
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files.authority))
    context.maximum_version = maximum
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    if alpn is not None:
        context.set_alpn_protocols(alpn)
    return context


# -- what is configured -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "option", "remedy"),
    [
        ({"certificate": ("a",)}, "--ssl-certificate", "give its --ssl-keyfile too"),
        ({"keyfile": ("a",)}, "--ssl-keyfile", "give its --ssl-certificate too"),
        ({"certificate": ("a", "b"), "keyfile": ("a",)}, "--ssl-certificate", "has no key"),
        ({"ca": "a"}, "--ssl-ca", "use it together with --ssl-certificate"),
        ({"client_verify": True}, "--ssl-client-verify", "together with --ssl-certificate"),
        ({"keyfile_password": "x"}, "--ssl-keyfile-password", "together with --ssl-certificate"),
        (
            {"certificate": ("a",), "keyfile": ("a",), "client_verify": True},
            "--ssl-client-verify",
            "use it together with --ssl-ca",
        ),
        (
            {"certificate": ("a",), "keyfile": ("a",), "crl": ("a",)},
            "--ssl-crl",
            "use it together with --ssl-ca",
        ),
        ({"protocol_min": "tls1.1"}, "--ssl-protocol-min", "use one of tls1.2, tls1.3"),
        ({"handshake_timeout": 0.0}, "--tls-handshake-timeout", "use 0.05 seconds or more"),
    ],
)
def test_settings_that_contradict_each_other(
    values: dict[str, Any], option: str, remedy: str
) -> None:
    with pytest.raises(ConfigurationError, match=remedy) as caught:
        TLSSettings(**values)
    assert caught.value.option == option


def test_the_password_is_in_no_repr() -> None:
    made = TLSSettings(certificate=(Path("a"),), keyfile=(Path("b"),), keyfile_password="hush")
    assert "hush" not in repr(ServerConfig(tls=made))


def encode_key(files: CertificateFiles, form: PrivateFormat, password: bytes | None) -> bytes:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        how = serialization.BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, form, how)


@pytest.mark.parametrize("password", [None, "correct horse"])
@pytest.mark.parametrize("rsa", [False, True], ids=["ecdsa", "rsa"])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_keys_of_every_form(
    authority: Authority, tmp_path: Path, form: PrivateFormat, rsa: bool, password: str | None
) -> None:
    """PKCS#8, PKCS#1 and SEC1, encrypted or not."""
    issued = authority.issue(rsa=rsa, name="formed")
    key = tmp_path / "key.pem"
    key.write_bytes(encode_key(issued, form, password.encode() if password else None))
    if form is PrivateFormat.PKCS8:
        marker = b"BEGIN ENCRYPTED PRIVATE KEY" if password else b"BEGIN PRIVATE KEY"
    else:
        marker = b"BEGIN RSA PRIVATE KEY" if rsa else b"BEGIN EC PRIVATE KEY"
    assert marker in key.read_bytes()
    check_files(settings(issued, keyfile=(key,), keyfile_password=password))


@pytest.fixture
def broken(authority: Authority, files: CertificateFiles, tmp_path: Path) -> dict[str, Path]:
    """Files that can not be used, by what is wrong with them."""
    other = authority.issue(name="other")
    content = {
        "empty": b"",
        "text": b"hello\n",
        "der": ssl.PEM_cert_to_DER_cert(first_pem(files)),
        "key": files.key.read_bytes(),
        "other key": other.key.read_bytes(),
        "certificate": files.certificate.read_bytes(),
        "damaged certificate": files.certificate.read_bytes().replace(b"MII", b"MIX", 1),
        "damaged key": files.key.read_bytes().replace(b"M", b"%", 1),
        "encrypted key": encode_key(files, PrivateFormat.PKCS8, b"right"),
        "damaged crl": b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
    }
    paths = {"absent": tmp_path / "absent", "directory": tmp_path}
    for name, data in content.items():
        paths[name] = tmp_path / name.replace(" ", "-")
        paths[name].write_bytes(data)
    return paths


def first_pem(files: CertificateFiles) -> str:
    text = files.certificate.read_text()
    return text[: text.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("field", "fault", "option", "remedy"),
    [
        ("certificate", "absent", "--ssl-certificate", "can not be read: No such file"),
        ("certificate", "directory", "--ssl-certificate", "can not be read: Is a directory"),
        ("certificate", "empty", "--ssl-certificate", "holds no certificate in PEM form"),
        ("certificate", "text", "--ssl-certificate", "holds no certificate .* another file"),
        ("certificate", "der", "--ssl-certificate", "this is DER: convert it"),
        ("certificate", "key", "--ssl-certificate", "holds no certificate .* but 'ec private key'"),
        ("certificate", "damaged certificate", "--ssl-certificate", "a damaged certificate"),
        ("keyfile", "absent", "--ssl-keyfile", "can not be read: No such file"),
        ("keyfile", "certificate", "--ssl-keyfile", "holds no private key .* but 'certificate'"),
        ("keyfile", "damaged key", "--ssl-keyfile", "no private key that OpenSSL can read"),
        ("keyfile", "other key", "--ssl-keyfile", "is not the key of"),
        ("keyfile", "encrypted key", "--ssl-keyfile", "give its password by --ssl-keyfile-pass"),
        ("ca", "absent", "--ssl-ca", "can not be read: No such file"),
        ("ca", "key", "--ssl-ca", "holds no certificate in PEM form but 'ec private key'"),
        ("ca", "damaged certificate", "--ssl-ca", "holds a damaged certificate"),
        ("crl", "absent", "--ssl-crl", "can not be read: No such file"),
        ("crl", "certificate", "--ssl-crl", "holds no revocation list .* but 'certificate'"),
        ("crl", "damaged crl", "--ssl-crl", "holds a damaged revocation list"),
    ],
)
def test_files_that_can_not_be_used(
    files: CertificateFiles,
    broken: dict[str, Path],
    field: str,
    fault: str,
    option: str,
    remedy: str,
) -> None:
    """One line that names option, file and remedy; for a server too, before it starts."""
    path = broken[fault]
    several = field in ("certificate", "keyfile", "crl")
    changes: dict[str, Any] = {field: (path,) if several else path}
    if field == "crl":
        changes["ca"] = files.authority
    with pytest.raises(ConfigurationError, match=remedy) as caught:
        check_files(settings(files, **changes))
    assert (caught.value.option, caught.value.value) == (option, os.fspath(path))
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=remedy):
        Server(Application(), config=ServerConfig(tls=settings(files, **changes)))


@pytest.mark.parametrize("password", ["open sesame", "", "x" * 2000])
def test_a_wrong_password_is_said_and_not_shown(
    files: CertificateFiles, broken: dict[str, Path], password: str
) -> None:
    made = settings(files, keyfile=(broken["encrypted key"],), keyfile_password=password)
    with pytest.raises(ConfigurationError, match="does not decrypt|cannot be longer") as caught:
        check_files(made)
    assert caught.value.option == "--ssl-keyfile-password"
    assert not password or password not in str(caught.value)


# -- the ClientHello ------------------------------------------------------------------------


def client_hello(alpn: list[str] | None = None, name: str | None = "localhost") -> bytes:
    context = ssl.create_default_context()
    if alpn is not None:
        context.set_alpn_protocols(alpn)
    outgoing = ssl.MemoryBIO()
    context.check_hostname = name is not None
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def fragmented(hello: bytes, size: int) -> bytes:
    """Cut a ClientHello into records of *size* bytes."""
    message = hello[5:]
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(hello[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)


@pytest.mark.parametrize("alpn", [[], ["h2"], ["h2", "http/1.1"], ["spdy/1", "x" * 255]])
@pytest.mark.parametrize("size", [1, 7, 200, 16_000])
def test_protocols_that_a_client_offers(alpn: list[str], size: int) -> None:
    hello = client_hello(alpn or None)
    expected = [name.encode() for name in alpn]
    assert offered_protocols(fragmented(hello, size)) == expected
    assert offered_protocols(hello + b"more") == expected


def test_a_client_hello_that_is_cut_short_offers_nothing() -> None:
    hello = client_hello(["h2"])
    assert [offered_protocols(hello[:end]) for end in range(len(hello))] == [[]] * len(hello)


@given(st.binary(max_size=300), st.integers(0, 400))
def test_no_client_hello_makes_the_reader_fail(junk: bytes, at: int) -> None:
    hello = client_hello(["h2"], None)
    assert isinstance(offered_protocols(junk), list)
    assert isinstance(offered_protocols(b"\x16\x03\x01" + junk), list)
    assert isinstance(offered_protocols(hello[:at] + junk + hello[at + len(junk) :]), list)


def test_http_is_told_from_tls() -> None:
    assert looks_like_http(GET)
    assert looks_like_http(b"PRI * HTTP/2.0\r\n")
    assert not looks_like_http(client_hello())
    assert not looks_like_http(b"\x80\x2e\x01\x00\x02")


# -- certificates ---------------------------------------------------------------------------


def der(files: CertificateFiles) -> bytes:
    return ssl.PEM_cert_to_DER_cert(first_pem(files))


def test_names_of_a_certificate(authority: Authority) -> None:
    issued = authority.issue("Example.org", "*.example.org", "::1", name="names", common_name="no")
    assert host_names(der(issued)) == ["example.org", "*.example.org"]


def bare_certificate(*attributes: tuple[x509.ObjectIdentifier, str]) -> bytes:
    """Return the DER of a certificate that has a subject and nothing else."""
    name = x509.Name([x509.NameAttribute(*one) for one in attributes]).public_bytes()
    body = b"\x02\x01\x01" + 3 * b"\x30\x00" + name + b"\x30\x00"
    tbs = b"\x30" + bytes([len(body)]) + body
    return b"\x30" + bytes([len(tbs)]) + tbs


def test_the_common_name_counts_where_there_is_no_other() -> None:
    name = (x509.NameOID.COMMON_NAME, "Old.example")
    assert host_names(bare_certificate((x509.NameOID.COUNTRY_NAME, "XX"), name)) == ["old.example"]


@pytest.mark.parametrize(
    "name", ["client", "a, b", "#1", " x ", 'say "hi"', "a=b+c;<d>\\", "Zoë", "tab\there"]
)
def test_the_subject_as_rfc_4514_has_it(authority: Authority, name: str) -> None:
    issued = authority.issue(name="subject", common_name=name)
    certificate = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    ours = subject_name(der(issued))
    if "\t" in name:
        assert "CN=tab\\09here" in ours
        return
    assert ours == certificate.subject.rfc4514_string()
    assert x509.Name.from_rfc4514_string(ours) == certificate.subject


def test_attributes_without_a_short_name_are_their_encoding() -> None:
    certificate = bare_certificate((x509.NameOID.EMAIL_ADDRESS, "a@b"))
    assert subject_name(certificate) == "1.2.840.113549.1.9.1=#1603614062"


@pytest.mark.parametrize(
    ("days", "said"), [(-1, "expired on"), (1, "expires on"), (13, "expires on"), (15, "")]
)
def test_a_certificate_near_its_end_is_worth_a_warning(
    authority: Authority, caplog: pytest.LogCaptureFixture, days: int, said: str
) -> None:
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    files = authority.issue(name="ending", not_after=end)
    with caplog.at_level(logging.WARNING, logger="_granian.tls"):
        check_files(TLSSettings(certificate=(files.certificate,), keyfile=(files.key,)))

    assert [said in message and "ending.pem" in message for message in caplog.messages] == (
        [True] if said else []
    )


def test_who_embeds_a_server_is_warned_too_and_once_for_a_certificate(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    files = authority.issue(name="embedded", not_after=end)
    settings = TLSSettings(certificate=(files.certificate,), keyfile=(files.key,))

    async def main() -> None:
        for _ in range(2):
            async with Server(Application(), config=ServerConfig(tls=settings)) as server:
                server.reload_tls()

    with caplog.at_level(logging.WARNING, logger="_granian.tls"):
        asyncio.run(main())
        assert ["embedded.pem" in message for message in caplog.messages] == [True]
        check_files(settings)  # a start of the command
        assert ["embedded.pem" in message for message in caplog.messages] == [True, True]


@pytest.mark.parametrize(("year", "text"), [(1950, "50"), (2049, "49"), (2050, "2050")])
def test_the_end_of_a_certificate_has_two_forms(year: int, text: str) -> None:
    tag = 0x17 if len(text) == 2 else 0x18

    def der(kind: int, *parts: bytes) -> bytes:
        content = b"".join(parts)
        return bytes((kind, len(content))) + content

    end = der(tag, f"{text}0102030405Z".encode())
    fields = [der(2, b"1"), der(0x30), der(0x30), der(0x30, end, end), der(0x30), der(0x30)]

    moment = last_moment(der(0x30, der(0x30, *fields)))

    assert moment.isoformat() == f"{year}-01-02T03:04:05+00:00"


@given(st.integers(0, 700), st.binary(max_size=4))
def test_damaged_certificates_raise_one_error_only(at: int, junk: bytes) -> None:
    for data in (CERTIFICATE[:at], CERTIFICATE[:at] + junk + CERTIFICATE[at + len(junk) :]):
        for read in (host_names, subject_name, last_moment):
            with contextlib.suppress(DERError):
                read(data)


CERTIFICATE = b""


@pytest.fixture(scope="module", autouse=True)
def _certificate(files: CertificateFiles) -> None:
    global CERTIFICATE  # noqa: PLW0603 - hypothesis and fixtures do not mix
    CERTIFICATE = der(files)


# -- what clients get -----------------------------------------------------------------------


@both_loops
def test_requests_over_tls(files: CertificateFiles, loop: str) -> None:
    """One connection, two requests; the stream knows that it is secured."""

    async def main() -> None:
        async with serving(settings(files)) as running:
            answer = await asyncio.to_thread(running.ask, client(files), GET + LAST)
            assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
            assert answer.count(b"x-scheme: https\r\n") == 2
            first, second = running.application.infos
            assert first is second  # made once a connection
            assert first is not None
            assert first.version == 0x0304
            assert first.cipher_suite in (0x1301, 0x1302, 0x1303)
            assert first.server_cert == first_pem(files)
            assert (first.client_cert_chain, first.client_cert_name) == ((), None)
            assert running.server.tls_handshakes == (1, 0)

    run(loop, main())


@both_loops
def test_tls_1_2_is_served_where_it_is_allowed(files: CertificateFiles, loop: str) -> None:
    async def main() -> None:
        old = client(files, maximum=ssl.TLSVersion.TLSv1_2)
        async with serving(settings(files)) as running:
            with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
                await asyncio.to_thread(running.ask, old)
            await running.wait_failures(1)
        async with serving(settings(files, protocol_min="tls1.2")) as running:
            assert (await asyncio.to_thread(running.ask, old)).startswith(b"HTTP/1.1 200 OK")
            (info,) = running.application.infos
            assert info is not None
            assert info.version == 0x0303
            assert info.cipher_suite in (0xC02B, 0xC02C, 0xCCA9)

    run(loop, main())


@both_loops
@pytest.mark.parametrize(
    ("alpn", "agreed"),
    [(None, None), (["http/1.1"], "http/1.1"), (["x", "http/1.1"], "http/1.1")],
    ids=["none", "ours", "ours last"],
)
def test_alpn(
    files: CertificateFiles, loop: str, alpn: list[str] | None, agreed: str | None
) -> None:
    async def main() -> None:
        async with serving(settings(files)) as running:

            def talk() -> str | None:
                context = client(files, alpn=alpn)
                with running.secure(context) as sock:
                    sock.sendall(LAST)
                    assert read_to_end(sock).startswith(b"HTTP/1.1 200 OK")
                    return sock.selected_alpn_protocol()

            assert await asyncio.to_thread(talk) == agreed

    run(loop, main())


@both_loops
def test_a_client_that_speaks_nothing_of_ours_gets_the_alert(
    files: CertificateFiles, loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """RFC 7301 section 3.2: fatal no_application_protocol."""

    async def main() -> None:
        async with serving(settings(files)) as running:
            with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
                await asyncio.to_thread(running.ask, client(files, alpn=["h3", "spdy/1"]))
            await running.wait_failures(1)
            assert running.application.infos == []

    run(loop, main())
    assert "the client speaks only b'h3, spdy/1'" in caplog.text


@both_loops
def test_the_certificate_follows_the_name(authority: Authority, loop: str) -> None:
    first = authority.issue("one.example", "localhost", name="first")
    second = authority.issue("two.example", "*.wild.example", name="second")

    async def main() -> None:
        async with serving(settings(first, second)) as running:
            for name, expected in [
                ("one.example", first),
                ("two.example", second),
                ("TWO.example", second),
                ("a.wild.example", second),
                ("a.b.wild.example", first),
                ("wild.example", first),
                ("unknown.example", first),
                (None, first),
            ]:
                context = client(first)
                context.check_hostname = False
                await asyncio.to_thread(running.ask, context, LAST, name)  # type: ignore[arg-type]
                info = running.application.infos[-1]
                assert info is not None
                assert info.server_cert == first_pem(expected), name

    run(loop, main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_by_tickets(files: CertificateFiles, version: ssl.TLSVersion) -> None:
    async def main() -> None:
        async with serving(settings(files, protocol_min="tls1.2")) as running:
            context = client(files, maximum=version)

            def talk(session: ssl.SSLSession | None) -> tuple[bool | None, ssl.SSLSession | None]:
                with (
                    running.connect() as plain,
                    context.wrap_socket(
                        plain, server_hostname="localhost", session=session
                    ) as sock,
                ):
                    sock.sendall(LAST)
                    read_to_end(sock)
                    return sock.session_reused, sock.session

            _, session = await asyncio.to_thread(talk, None)
            reused, _ = await asyncio.to_thread(talk, session)
            assert reused

    run("asyncio", main())


# -- client certificates ------------------------------------------------------------------------


@both_loops
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificates(
    authority: Authority,
    files: CertificateFiles,
    tmp_path: Path,
    loop: str,
    version: ssl.TLSVersion,
) -> None:
    good = authority.issue("good@example.org", name="good", common_name="Good, Client")
    revoked = authority.issue("bad@example.org", name="revoked")
    expired = authority.issue("old@example.org", name="expired", expired=True)
    stranger = Authority(tmp_path).issue("x@example.org", name="stranger")
    crl = authority.revocation_list(revoked)

    async def main(verify: bool) -> None:
        made = settings(
            files,
            protocol_min="tls1.2",
            ca=authority.certificate,
            crl=(crl,),
            client_verify=verify,
        )
        async with serving(made) as running:

            async def attempt(identity: CertificateFiles | None) -> bool:
                try:
                    answer = await asyncio.to_thread(
                        running.ask, client(files, identity, maximum=version)
                    )
                except (ssl.SSLError, ConnectionError):
                    return False
                return answer.startswith(b"HTTP/1.1 200 OK")

            assert await attempt(good)
            (info,) = running.application.infos
            assert info is not None
            assert info.client_cert_chain[0] == first_pem(good)
            assert info.client_cert_name is not None
            assert "CN=Good\\, Client" in info.client_cert_name
            assert info.client_cert_error is None
            for bad in (revoked, expired, stranger):
                assert not await attempt(bad), bad.certificate.name
            assert await attempt(None) is not verify
            await running.wait_failures(4 if verify else 3)

    run(loop, main(verify=True))
    run(loop, main(verify=False))


@pytest.mark.parametrize("fault", ["expired list", "no list of this issuer"])
def test_what_no_list_vouches_for_counts_as_revoked(
    authority: Authority, files: CertificateFiles, tmp_path: Path, fault: str
) -> None:
    good = authority.issue("good@example.org", name="vouched")
    other = Authority(tmp_path)
    crl = authority.revocation_list(expired=True) if "exp" in fault else other.revocation_list()

    async def main() -> None:
        made = settings(files, ca=authority.certificate, crl=(crl,), client_verify=True)
        async with serving(made) as running:
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                assert await asyncio.to_thread(running.ask, client(files, good)) == b""
            await running.wait_failures(1)
            assert running.application.infos == []

    run("asyncio", main())


# -- hostile and mistaken clients -----------------------------------------------------------


@both_loops
def test_plain_http_on_the_tls_port_is_told(files: CertificateFiles, loop: str) -> None:
    async def main() -> None:
        async with serving(settings(files)) as running:
            for request in (GET, b"G", b"POST / HTTP/1.1\r\n" + b"x" * 100_000):
                with contextlib.suppress(ConnectionError):
                    answer = await asyncio.to_thread(running.ask_plain, request)
                    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
                    assert b"connection: close\r\n" in answer
                    assert answer.endswith(b"This port speaks TLS only: use https://\n")
            await running.wait_failures(3)
            assert running.application.infos == []

    run(loop, main())


@both_loops
@pytest.mark.parametrize(
    "garbage",
    [b"\x00" * 100, b"\x16\x03\x01\xff\xff" + b"\xff" * 70_000, b"\x80\x2e\x01\x00\x02", b"\xff"],
    ids=["zeros", "endless record", "SSLv2", "one byte"],
)
def test_garbage_ends_the_connection_and_nothing_else(
    files: CertificateFiles, loop: str, garbage: bytes
) -> None:
    async def main() -> None:
        limits = Limits(linger_timeout=0.05)
        async with serving(settings(files, handshake_timeout=0.2), limits=limits) as running:
            with contextlib.suppress(ConnectionError):
                await asyncio.to_thread(running.ask_plain, garbage)
            await running.wait_failures(1)
            assert (await asyncio.to_thread(running.ask, client(files))).startswith(b"HTTP/1.1 200")

    run(loop, main())


@both_loops
@pytest.mark.parametrize("said", [b"", client_hello()[:50], client_hello()], ids=len)
def test_a_handshake_that_takes_too_long_is_ended(
    files: CertificateFiles, loop: str, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(settings(files, handshake_timeout=0.1)) as running:
            with contextlib.suppress(ConnectionError):
                await asyncio.to_thread(running.ask_plain, said)
            await running.wait_failures(1)

    run(loop, main())
    assert "TLS handshake failed: timed out" in caplog.text


@both_loops
def test_who_leaves_before_saying_anything_has_not_failed(
    files: CertificateFiles, loop: str
) -> None:
    """A load balancer that only probes the port is no news."""

    async def main() -> None:
        async with serving(settings(files)) as running:
            running.connect().close()
            assert (await asyncio.to_thread(running.ask, client(files))).startswith(b"HTTP/1.1 200")
            await running.wait_failures(0)
            with running.connect() as sock:
                sock.sendall(client_hello()[:20])
                while not running.server.context.connections:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.05)  # let the bytes arrive before the end does
            await running.wait_failures(1)

    run(loop, main())


@both_loops
def test_every_byte_may_come_alone(files: CertificateFiles, loop: str) -> None:
    async def main() -> None:
        async with serving(settings(files)) as running:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            session = client(files).wrap_bio(incoming, outgoing, server_hostname="localhost")
            answer = b""
            sent = False
            while not answer.endswith(b"\r\n\r\n"):
                try:
                    if not sent:
                        session.do_handshake()
                        session.write(LAST)
                        sent = True
                    answer += session.read(1000)
                except ssl.SSLWantReadError:
                    for byte in outgoing.read():
                        writer.write(bytes([byte]))
                        await asyncio.sleep(0)
                    incoming.write(await reader.read(65536))
            assert answer.startswith(b"HTTP/1.1 200 OK")
            writer.close()

    run(loop, main())


@both_loops
@pytest.mark.parametrize("notify", [True, False], ids=["close_notify", "FIN alone"])
def test_a_client_that_closes_is_gone(files: CertificateFiles, loop: str, notify: bool) -> None:
    """No half-close under TLS: reading raises, and what is written goes nowhere."""
    seen: list[str] = []

    async def main() -> None:
        done = asyncio.Event()

        async def handler(stream: HTTPStream) -> None:
            await stream.wait_disconnect()
            seen.append("disconnected" if stream.disconnected else "half-closed")
            stream.respond(200, [], b"too late")
            done.set()

        async with serving(settings(files), handler) as running:

            def talk() -> bytes:
                with running.secure(client(files)) as sock:
                    sock.sendall(GET)
                    if notify:
                        with sock.unwrap() as plain:
                            return read_to_end(plain)
                    sock.shutdown(socket.SHUT_WR)
                    with contextlib.suppress(OSError):
                        read_to_end(sock)
                    return b""

            assert await asyncio.to_thread(talk) == b""
            await asyncio.wait_for(done.wait(), TIMEOUT)

    run(loop, main())
    assert seen == ["disconnected"]


@both_loops
def test_a_body_that_is_cut_raises(files: CertificateFiles, loop: str) -> None:
    async def main() -> None:
        raised = asyncio.Event()

        async def handler(stream: HTTPStream) -> None:
            try:
                await stream.read_all()
            except ClientDisconnected:
                raised.set()
                raise

        async with serving(settings(files), handler) as running:

            def talk() -> None:
                with running.secure(client(files)) as sock:
                    sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
                    sock.unwrap().close()

            await asyncio.to_thread(talk)
            await asyncio.wait_for(raised.wait(), TIMEOUT)

    run(loop, main())


@both_loops
def test_a_broken_record_ends_the_session(
    files: CertificateFiles, loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(settings(files)) as running:

            def talk() -> None:
                with running.secure(client(files)) as sock:
                    os.write(sock.fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)
                    with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
                        sock.recv(100)

            await asyncio.to_thread(talk)
            await running.wait_failures(0)  # the handshake was fine

    run(loop, main())
    assert "TLS session broken" in caplog.text


# -- much data ----------------------------------------------------------------------------------


@both_loops
def test_a_large_body_comes_back(files: CertificateFiles, loop: str) -> None:
    """Every byte, in order, with both directions at work and the loop never starved."""
    size = 8 << 20
    content = os.urandom(1 << 16) * (size >> 16)

    async def handler(stream: HTTPStream) -> None:
        stream.start(200, [(b"content-length", b"%d" % size)])
        async for data in stream:
            stream.write(data)
            await stream.drain()
        stream.finish()

    async def talk(port: int) -> bytes:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client(files), server_hostname="localhost"
        )

        async def send() -> None:
            writer.write(head % size)
            for at in range(0, size, 1 << 16):
                writer.write(content[at : at + (1 << 16)])
                await writer.drain()

        sending = asyncio.ensure_future(send())
        answer = await reader.read()
        await sending
        writer.close()
        return answer

    async def main() -> None:
        async with serving(settings(files), handler) as running:
            # On a loop of its own: uvloop's client loses what it has not read when we close.
            answer = await asyncio.to_thread(asyncio.run, talk(running.port))
            body = answer.partition(b"\r\n\r\n")[2]
            assert len(body) == size
            assert body == content

    run(loop, main())


@both_loops
def test_a_client_that_does_not_read_stalls_the_writer_then_is_dropped(
    files: CertificateFiles, loop: str
) -> None:
    async def main() -> None:
        ended = asyncio.Event()
        written = 0

        async def handler(stream: HTTPStream) -> None:
            nonlocal written
            stream.start(200)
            while not stream.disconnected:
                stream.write(b"x" * 65_536)
                written += 65_536
                await stream.drain()
            ended.set()

        limits = Limits(write_timeout=0.2)
        async with serving(settings(files), handler, limits=limits) as running:
            with contextlib.ExitStack() as stack:
                opening = running.secure(client(files))
                sock = await asyncio.to_thread(stack.enter_context, opening)
                sock.sendall(GET)
                await asyncio.wait_for(ended.wait(), TIMEOUT)
            assert written < 64 << 20

    run(loop, main())


# -- reload and drain ---------------------------------------------------------------------------


@both_loops
def test_reload_changes_the_certificate_and_drops_nobody(
    authority: Authority, loop: str, tmp_path: Path
) -> None:
    served = Authority(tmp_path).issue()
    old = first_pem(served)

    async def main() -> None:
        async with serving(settings(served)) as running:
            with contextlib.ExitStack() as stack:
                opening = running.secure(client(served))
                sock = await asyncio.to_thread(stack.enter_context, opening)
                Authority(tmp_path).issue()
                running.server.reload_tls()

                await asyncio.to_thread(running.ask, client(served))
                sock.sendall(LAST)
                assert (await asyncio.to_thread(read_to_end, sock)).startswith(b"HTTP/1.1 200 OK")
            new_info, old_info = running.application.infos
            assert old_info is not None
            assert new_info is not None
            assert old_info.server_cert == old
            assert new_info.server_cert == first_pem(served) != old

            served.key.write_bytes(b"")
            with pytest.raises(ConfigurationError, match="holds no private key"):
                running.server.reload_tls()
            await asyncio.to_thread(running.ask, client(served))

    run(loop, main())


def test_a_handshake_across_a_reload_ends_with_what_it_began_with(
    authority: Authority, files: CertificateFiles
) -> None:
    async def main() -> None:
        async with serving(settings(files)) as running:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            session = client(files).wrap_bio(incoming, outgoing, server_hostname="localhost")
            with pytest.raises(ssl.SSLWantReadError):
                session.do_handshake()
            writer.write(outgoing.read())
            incoming.write(await reader.read(65536))
            running.server.reload_tls()
            session.do_handshake()
            session.write(LAST)
            writer.write(outgoing.read())
            incoming.write(await reader.read())
            assert session.read(10_000).startswith(b"HTTP/1.1 200 OK")
            writer.close()

    run("asyncio", main())


def test_a_server_without_tls_has_nothing_to_reload() -> None:
    with pytest.raises(RuntimeError, match="does not serve TLS"):
        Server(Application()).reload_tls()


@both_loops
def test_a_stop_answers_what_is_on_its_way(files: CertificateFiles, loop: str) -> None:
    """In flight: answered. Idle, and those that have not said hello: closed at once."""

    async def main() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def handler(stream: HTTPStream) -> None:
            if stream.path == "/slow":
                begun.set()
                await go_on.wait()
            stream.respond(200, [], b"done")

        async with serving(settings(files), handler) as running:

            def idle() -> bytes:
                with running.secure(client(files)) as sock:
                    sock.sendall(GET)
                    return read_to_end(sock)

            slow = GET.replace(b"/ ", b"/slow ", 1)
            asked = asyncio.ensure_future(asyncio.to_thread(running.ask, client(files), slow))
            resting = asyncio.ensure_future(asyncio.to_thread(idle))
            with running.connect() as silent:
                await asyncio.wait_for(begun.wait(), TIMEOUT)
                while len(running.server.context.connections) < 3:
                    await asyncio.sleep(0.01)
                stopping = asyncio.ensure_future(running.server.stop(TIMEOUT))
                assert (await resting).endswith(b"done")
                assert await asyncio.to_thread(silent.recv, 1) == b""
                go_on.set()
                answer = await asked
                assert b"connection: close\r\n" in answer
                assert answer.endswith(b"done")
                await stopping

    run(loop, main())


# -- protocols ---------------------------------------------------------------------------------


def test_contexts_refuse_what_nobody_should_use(files: CertificateFiles) -> None:
    context = TLSContexts(settings(files, protocol_min="tls1.2"), ["http/1.1"]).default
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.num_tickets == 1
    assert all(one["aead"] for one in context.get_ciphers())

"""TLS at the command: its options, real clients, stops and reloads under load."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from granian_core.testing.certs import Authority, CertificateFiles
from tests.e2e.load import Load
from tests.e2e.serving import (
    IO_TIMEOUT,
    ROOT,
    ServerFailed,
    ServerProcess,
    launch,
    read_to_end,
    read_until,
    serving,
)

LIFECYCLE = "tests.e2e.apps.lifecycle:app"
FACTS = "tests.e2e.apps.asgi_raw:tls_facts"
OPENSSL, CURL = shutil.which("openssl"), shutil.which("curl")

needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed")

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def s_client(server: ServerProcess, *options: str) -> str:
    """Run ``openssl s_client`` with one request; return everything that it says."""
    assert OPENSSL is not None
    assert server.tls is not None
    address = f"{server.host}:{server.port}"
    trust = ("-CAfile", str(server.tls.authority))
    done = subprocess.run(
        [OPENSSL, "s_client", "-connect", address, *trust, "-ign_eof", *options],
        input=GET,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=IO_TIMEOUT,
        check=False,
    )
    return done.stdout.decode("latin-1")


def curl(server: ServerProcess, *options: str, path: str = "/") -> subprocess.CompletedProcess[str]:
    assert CURL is not None
    assert server.tls is not None
    trust = ("--cacert", str(server.tls.authority))
    return subprocess.run(
        [CURL, "-sS", "-i", "--max-time", "15", *trust, *options, f"{server.url}{path}"],
        capture_output=True,
        text=True,
        timeout=2 * IO_TIMEOUT,
        check=False,
    )


def assert_nothing_logged(server: ServerProcess) -> None:
    assert not re.search(r"ERROR|Traceback|SSL handshake failed", server.log.text), server.log.text


# -- versions, ALPN, names --------------------------------------------------------------


@needs_openssl
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_versions(certificate: CertificateFiles, loop: str) -> None:
    with serving(FACTS, "--loop", loop, tls=certificate, interface="asginl") as server:
        assert "Protocol  : TLSv1.3" in s_client(server, "-tls1_3")
        refused = s_client(server, "-tls1_2")
        assert "alert protocol version" in refused
        assert "HTTP/1.1" not in refused
        assert_nothing_logged(server)
    options = ("--ssl-protocol-min", "tls1.2", "--loop", loop)
    with serving(FACTS, *options, tls=certificate, interface="asginl") as server:
        said = s_client(server, "-tls1_2")
        assert "Protocol  : TLSv1.2" in said
        assert "HTTP/1.1 200 OK" in said
        assert "Compression: NONE" in said
        assert "Secure Renegotiation IS supported" in said  # so that it can be refused safely
        refused = s_client(server, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        assert "HTTP/1.1 200 OK" not in refused
        weak = s_client(server, "-tls1_2", "-cipher", "AES128-SHA:ECDHE-ECDSA-AES128-SHA")
        assert "alert handshake failure" in weak
        assert_nothing_logged(server)


@needs_openssl
def test_a_client_can_not_renegotiate(certificate: CertificateFiles) -> None:
    assert OPENSSL is not None
    options = ("--ssl-protocol-min", "tls1.2")
    with serving(FACTS, *options, tls=certificate, interface="asginl") as server:
        command = [OPENSSL, "s_client", "-connect", f"{server.host}:{server.port}", "-tls1_2"]
        done = subprocess.run(
            command,
            input=b"R\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=IO_TIMEOUT,
            check=False,
        )
        assert b"RENEGOTIATING" in done.stdout
        assert b"no renegotiation" in done.stdout
        assert_nothing_logged(server)


@needs_openssl
def test_alpn(certificate: CertificateFiles) -> None:
    with serving(FACTS, "--http", "1", tls=certificate, interface="asginl") as server:
        assert "ALPN protocol: http/1.1" in s_client(server, "-alpn", "h2,http/1.1")
        assert "HTTP/1.1 200 OK" in s_client(server)  # no ALPN at all
        refused = s_client(server, "-alpn", "h2,h3")
        assert "alert no application protocol" in refused
        assert "SSL alert number 120" in refused
        assert_nothing_logged(server)


@needs_openssl
def test_certificates_are_chosen_by_name(authority: Authority, tmp_path: Path) -> None:
    first = authority.issue("one.example", name="one", common_name="one")
    second = authority.issue("*.two.example", name="two", common_name="two", rsa=True)
    options = ("--ssl-certificate", str(second.certificate), "--ssl-keyfile", str(second.key))
    # Appended after the pair that `tls` stands for.
    with serving(FACTS, *options, tls=first, interface="asginl") as server:
        for name, subject in [
            ("one.example", "one"),
            ("www.two.example", "two"),
            ("two.example", "one"),
            ("a.b.two.example", "one"),
        ]:
            said = s_client(server, "-servername", name)
            assert re.search(rf"subject=.*CN = {subject}\n", said), said
            assert "Verify return code: 0 (ok)" in said
        assert "CN = one\n" in s_client(server, "-noservername")


@needs_openssl
def test_sessions_resume(certificate: CertificateFiles, tmp_path: Path) -> None:
    session = tmp_path / "session"
    with serving(FACTS, tls=certificate, interface="asginl") as server:
        assert "New, TLSv1.3" in s_client(server, "-sess_out", str(session))
        again = s_client(server, "-sess_in", str(session), "-msg")
        assert "Reused, TLSv1.3" in again
        first = s_client(server, "-msg")
        # Who comes back takes one ticket and gets one.
        assert [said.count("NewSessionTicket") for said in (first, again)] == [1, 1]


# -- client certificates ------------------------------------------------------------------


@needs_openssl
@needs_curl
@pytest.mark.parametrize("verify", [True, False], ids=["required", "optional"])
def test_client_certificates(authority: Authority, tmp_path: Path, verify: bool) -> None:
    server_files = authority.issue(name="mtls-server")
    good = authority.issue("good@example.org", name="good", common_name="A client")
    revoked = authority.issue("bad@example.org", name="bad")
    expired = authority.issue("old@example.org", name="old", expired=True)
    stranger = Authority(tmp_path).issue("x@example.org", name="stranger")
    options = ["--ssl-ca", str(authority.certificate)]
    options += ["--ssl-crl", str(authority.revocation_list(revoked))]
    if verify:
        options.append("--ssl-client-verify")
    with serving(FACTS, *options, tls=server_files, interface="asginl") as server:
        answer = curl(server, "--cert", str(good.certificate), "--key", str(good.key))
        facts = json.loads(answer.stdout.partition("\n\n")[2])["tls"]
        assert facts["client_cert_chain"][0] in good.certificate.read_text()
        assert "CN=A client" in facts["client_cert_name"]
        assert facts["client_cert_error"] is None
        for bad, alert in [
            (revoked, "alert certificate revoked"),
            (expired, "alert certificate expired"),
            (stranger, "alert unknown ca"),
        ]:
            said = s_client(server, "-cert", str(bad.certificate), "-key", str(bad.key))
            assert alert in said
            assert "HTTP/1.1 200 OK" not in said
            denied = curl(server, "--cert", str(bad.certificate), "--key", str(bad.key))
            assert denied.returncode != 0
        nobody = s_client(server)
        assert ("alert certificate required" in nobody) is verify
        assert ("HTTP/1.1 200 OK" in nobody) is not verify
        assert_nothing_logged(server)


# -- other clients --------------------------------------------------------------------------


@needs_curl
@pytest.mark.parametrize(
    ("interface", "target", "needs"),
    [
        ("asgi", "tests.e2e.apps.asgi_starlette:app", "starlette"),
        ("rsgi", "tests.e2e.apps.rsgi_raw:app", "json"),
        ("wsgi", "tests.e2e.apps.wsgi_flask:app", "flask"),
    ],
    ids=["asgi", "rsgi", "wsgi"],
)
def test_curl(
    certificate: CertificateFiles, tmp_path: Path, interface: str, target: str, needs: str
) -> None:
    pytest.importorskip(needs)
    large = tmp_path / "large"
    large.write_text("0123456789" * 300_000)
    with serving(target, tls=certificate, interface=interface) as server:
        for option in ("--http1.1", "--http2", "--no-alpn"):
            echoed = curl(server, option, "--data-binary", f"@{large}", path="/echo")
            assert echoed.returncode == 0, echoed.stderr
            assert echoed.stdout.partition("\n\n")[2].endswith(large.read_text())
        assert_nothing_logged(server)


def test_the_asgi_extension(certificate: CertificateFiles) -> None:
    with serving(FACTS, tls=certificate, interface="asginl") as server, server.client() as client:
        facts = client.get("/").json()
    assert facts["scheme"] == "https"
    tls = facts["tls"]
    assert tls.pop("server_cert") in certificate.certificate.read_text()
    assert tls.pop("cipher_suite") in (0x1301, 0x1302, 0x1303)
    assert tls == {
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": 0x0304,
    }


def test_without_tls_there_is_no_extension() -> None:
    with serving(FACTS, interface="asginl") as server, server.client() as client:
        assert client.get("/").json() == {"scheme": "http", "tls": None}


def test_a_unix_socket_may_speak_tls(certificate: CertificateFiles, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with serving(FACTS, tls=certificate, uds=path, interface="asginl") as server:
        answer = server.exchange(GET)
    assert b'"scheme": "https"' in answer


def test_the_access_log_knows_the_scheme(certificate: CertificateFiles) -> None:
    options = ("--access-log", "--access-log-fmt", "line %(scheme)s %(status)s.")
    with serving(FACTS, *options, tls=certificate, interface="asginl") as server:
        with server.client() as client:
            client.get("/")
        server.log.wait_for(r"line https 200\.")
        with server.connect_plain() as sock:
            sock.sendall(GET)
            read_to_end(sock)
        server.log.wait_for(r"line - 400\.")


def test_the_python_api(certificate: CertificateFiles) -> None:
    code = (
        "import pathlib, sys\n"
        "from granian import Granian\n"
        "certificate, key = map(pathlib.Path, sys.argv[1:3])\n"
        f"Granian({FACTS!r}, port=0, interface='asginl', ssl_cert=certificate, ssl_key=key,\n"
        "        ssl_protocol_min='tls1.2').serve()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(certificate.certificate), str(certificate.key)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    server = ServerProcess(process, None, certificate)
    try:
        server.wait_ready()
        assert "Listening at: https://127.0.0.1:" in server.log.text
        with server.client() as client:
            assert client.get("/").json()["scheme"] == "https"
        assert server.stop() == 0
    finally:
        server.kill()


# -- mistakes and attacks ---------------------------------------------------------------------


@needs_curl
def test_plain_http_on_the_tls_port(certificate: CertificateFiles) -> None:
    assert CURL is not None
    with serving(FACTS, tls=certificate, interface="asginl") as server:
        url = f"http://{server.host}:{server.port}/"
        done = subprocess.run(
            [CURL, "-sSi", url], capture_output=True, text=True, timeout=IO_TIMEOUT, check=False
        )
        assert done.stdout.startswith("HTTP/1.1 400 Bad Request\n")
        assert "use https://" in done.stdout
        assert_nothing_logged(server)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_hostile_clients_leave_no_trace_in_the_log(
    certificate: CertificateFiles, loop: str
) -> None:
    options = ("--loop", loop, "--tls-handshake-timeout", "0.3", "--log-level", "debug")
    with serving(FACTS, *options, tls=certificate, interface="asginl") as server:
        said = [b"\x00" * 50, b"\x16\x03\x01\xff\xff" + os.urandom(40_000), b"\x16", b"", b"GET"]
        for data in said:
            with server.connect_plain() as sock, contextlib.suppress(ConnectionError):
                sock.sendall(data)
                sock.settimeout(IO_TIMEOUT)
                read_to_end(sock)  # the server closes
        untrusting = ssl.create_default_context()
        with server.connect_plain() as sock, pytest.raises(ssl.SSLCertVerificationError):
            untrusting.wrap_socket(sock, server_hostname="localhost")
        with server.client() as client:
            assert client.get("/").status_code == 200
        server.log.wait_for("TLS handshake failed: timed out")
        server.log.wait_for("TLS handshake failed: plain HTTP")
        assert_nothing_logged(server)


def test_many_silent_clients_do_not_keep_others_out(certificate: CertificateFiles) -> None:
    """The longest-idle connection makes room, also before its handshake is over."""
    options = ("--max-connections", "20")
    with (
        serving(FACTS, *options, tls=certificate, interface="asginl") as server,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(60):
            stack.enter_context(server.connect_plain())
        with server.client() as client:
            assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    ("option", "content", "words"),
    [
        ("--ssl-certificate", "hello", "holds no certificate in PEM form"),
        ("--ssl-keyfile", "hello", "holds no private key in PEM form"),
        ("--ssl-ca", "hello", "holds no certificate in PEM form"),
        ("--ssl-crl", "hello", "holds no revocation list in PEM form"),
    ],
)
def test_bad_files_are_one_line(
    certificate: CertificateFiles, tmp_path: Path, option: str, content: str, words: str
) -> None:
    """Exit code 1 before any worker starts."""
    bad = tmp_path / "bad"
    bad.write_text(content)
    values = {
        "--ssl-certificate": str(certificate.certificate),
        "--ssl-keyfile": str(certificate.key),
    }
    if option == "--ssl-crl":
        values["--ssl-ca"] = str(certificate.authority)
    values[option] = str(bad)
    arguments = [part for pair in values.items() for part in pair]
    server = launch(FACTS, *arguments, interface="asginl")
    try:
        assert server.wait() == 1
        assert server.log.text.strip().splitlines()[-1].startswith(f"Error: {option}={bad}: ")
        assert words in server.log.text
        assert "Traceback" not in server.log.text
        assert "Spawning" not in server.log.text
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("password", "words"),
    [
        (None, "is encrypted; give its password by --ssl-keyfile-password"),
        ("open sesame", "--ssl-keyfile-password: does not decrypt"),
        ("right", None),
    ],
    ids=["none", "wrong", "right"],
)
def test_an_encrypted_key(
    certificate: CertificateFiles, tmp_path: Path, password: str | None, words: str | None
) -> None:
    assert OPENSSL is not None
    key = tmp_path / "key"
    subprocess.run(
        [OPENSSL, "pkcs8", "-topk8", "-in", certificate.key, "-out", key, "-passout", "pass:right"],
        check=True,
        capture_output=True,
    )
    files = CertificateFiles(certificate.certificate, key, certificate.authority)
    env = {"GRANIAN_SSL_KEYFILE_PASSWORD": password} if password else {}
    if words is None:
        with serving(FACTS, tls=files, env=env, interface="asginl") as server:
            assert b"200 OK" in server.exchange(GET)
        assert password is not None
        assert password not in server.log.text
        return
    server = launch(FACTS, tls=files, env=env, interface="asginl")
    try:
        assert server.wait() == 1
        assert words in server.log.text
        assert not password or password not in server.log.text
    finally:
        server.kill()


def test_a_certificate_without_key_is_an_error(certificate: CertificateFiles) -> None:
    server = launch(FACTS, "--ssl-certificate", str(certificate.certificate), interface="asginl")
    try:
        assert server.wait() == 1
        assert "give its --ssl-keyfile too" in server.log.text
    finally:
        server.kill()


# -- stops and reloads ----------------------------------------------------------------------


def served_certificate(server: ServerProcess) -> str:
    with server.connect() as sock:
        assert isinstance(sock, ssl.SSLSocket)
        der = sock.getpeercert(binary_form=True)
        assert der is not None
        return ssl.DER_cert_to_PEM_cert(der)


async def wait_logged(server: ServerProcess, text: str, times: int) -> None:
    deadline = time.monotonic() + 2 * IO_TIMEOUT
    while server.log.text.count(text) < times:
        assert time.monotonic() < deadline, server.log.text
        await asyncio.sleep(0.02)


def replace(files: CertificateFiles, new: CertificateFiles) -> None:
    """Put *new* in the place of *files*, each file at once."""
    for old, path in [(files.certificate, new.certificate), (files.key, new.key)]:
        os.replace(path, old)


@pytest.fixture
def renewable(authority: Authority) -> CertificateFiles:
    return authority.issue(name="renewable")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_renewed_certificates_are_served_after_a_reload_that_loses_nothing(
    authority: Authority, renewable: CertificateFiles, loop: str
) -> None:
    async def main(server: ServerProcess) -> Load:
        load = Load(server.host, server.port, tls=server.context(), connections=8, reuse=20)
        async with load:
            for number in range(1, 4):
                await load.wait_workers(2 * number)
                await load.wait_answered(100)
                before = await asyncio.to_thread(served_certificate, server)
                replace(renewable, authority.issue(name="renewed"))
                server.process.send_signal(signal.SIGHUP)
                await wait_logged(server, "Stopped old worker-", 2 * number)
                assert await asyncio.to_thread(served_certificate, server) != before
            await load.wait_workers(8)
            await load.wait_answered(100)
        return load

    options = ("--workers", "2", "--respawn-interval", "0", "--loop", loop)
    with serving(LIFECYCLE, *options, tls=renewable) as server:
        server.log.wait_for("Serving asgi on https://")
        load = asyncio.run(main(server))
        assert server.stop() == 0
        assert_nothing_logged(server)
    assert load.result.faults == []
    assert load.result.retried <= load.result.answered / 100
    assert len(load.result.pids) == 8


def test_a_broken_renewal_keeps_the_old_certificate(renewable: CertificateFiles) -> None:
    with serving(LIFECYCLE, tls=renewable) as server:
        server.log.wait_for("Serving asgi")
        before = served_certificate(server)
        renewable.key.write_text("nothing")
        server.process.send_signal(signal.SIGHUP)
        server.log.wait_for("--ssl-keyfile=.*holds no private key")
        assert served_certificate(server) == before
        with server.client() as client:
            assert client.get("/").text == "hello"


def test_sigterm_under_load_loses_nothing(certificate: CertificateFiles) -> None:
    async def main(server: ServerProcess) -> Load:
        load = Load(
            server.host,
            server.port,
            tls=server.context(),
            connections=8,
            reuse=10,
            may_be_refused=True,
        )
        async with load:
            await load.wait_answered(300)
            server.process.send_signal(signal.SIGTERM)
            await load.wait_refused()
        return load

    with serving(LIFECYCLE, "--workers", "2", tls=certificate) as server:
        server.log.wait_for("Serving asgi")
        load = asyncio.run(main(server))
        assert server.wait() == 0
    assert load.result.faults == []
    assert load.result.answered >= 300


def test_a_request_in_flight_is_answered_whole(certificate: CertificateFiles) -> None:
    with serving(LIFECYCLE, tls=certificate) as server, server.connect() as sock:
        sock.sendall(b"GET /slow?1 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.log.wait_for("slow begins")
        server.process.send_signal(signal.SIGTERM)
        server.log.wait_for("Stopping worker-1")
        answer = read_to_end(sock)
        assert b"connection: close" in answer
        assert answer.endswith(b"slow done")
        assert server.wait() == 0


def test_idle_and_silent_connections_do_not_hold_a_stop(certificate: CertificateFiles) -> None:
    with serving(LIFECYCLE, tls=certificate) as server, contextlib.ExitStack() as stack:
        server.log.wait_for("Serving asgi")
        for _ in range(20):
            sock = stack.enter_context(server.connect())
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            read_until(sock, b"hello")
            stack.enter_context(server.connect_plain())
            half = stack.enter_context(server.connect_plain())
            half.sendall(b"\x16\x03\x01")
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 5  # not the handshake's or the drain's timeout


def test_an_upload_across_a_stop_arrives(certificate: CertificateFiles) -> None:
    with serving("tests.e2e.apps.asgi_starlette:app", tls=certificate) as server:
        with server.connect() as sock:
            size = 1 << 20
            sock.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
            sock.sendall(b"a" * (size // 2))
            server.process.send_signal(signal.SIGTERM)
            server.log.wait_for("Stopping worker-1")
            sock.sendall(b"b" * (size // 2))
            answer = read_to_end(sock)
        assert answer.endswith(b"ab".join([b"a" * (size // 2 - 1), b"b" * (size // 2 - 1)]))
        assert server.wait() == 0


def test_a_port_that_is_no_tls_port_is_told_by_openssl() -> None:
    """The other mistake: a TLS client on a plain port gets an HTTP answer and says so."""
    with serving(FACTS, interface="asginl") as server, server.connect() as sock:
        with pytest.raises(ssl.SSLError), contextlib.closing(sock):
            ssl.create_default_context().wrap_socket(sock, server_hostname="localhost")
        with server.client() as client:
            assert client.get("/").status_code == 200


def test_failed_starts_leave_nothing_behind(certificate: CertificateFiles) -> None:
    server = launch(FACTS, "--ssl-keyfile", str(certificate.key), interface="asginl")
    try:
        with pytest.raises(ServerFailed, match="give its --ssl-certificate too"):
            server.wait_ready()
    finally:
        server.kill()

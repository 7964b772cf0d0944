"""HTTP/2 at the command: its modes, its options, and clients that other people wrote."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from granian_core.testing.certs import Authority
from tests.e2e.serving import IO_TIMEOUT, ServerProcess, serving

APP = "tests.e2e.apps.http2"
CURL, NGHTTP, H2LOAD = (shutil.which(name) for name in ("curl", "nghttp", "h2load"))

needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed")
needs_nghttp = pytest.mark.skipif(NGHTTP is None, reason="nghttp is not installed")
needs_h2load = pytest.mark.skipif(H2LOAD is None, reason="h2load is not installed")
interfaces = pytest.mark.parametrize(
    ("interface", "engine"),
    [("asgi", "fast"), ("rsgi", "fast"), ("wsgi", "fast"), ("asgi", "reference")],
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def run(*command: str | None) -> str:
    """Run a client; return what it says."""
    assert command[0] is not None
    done = subprocess.run(
        [part for part in command if part is not None],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=IO_TIMEOUT,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace")


def url(server: ServerProcess, path: str = "/") -> str:
    return f"http://{server.host}:{server.port}{path}"


def curl_version(server: ServerProcess, *options: str) -> str:
    """Return the HTTP version that curl was answered with; 0 for none."""
    form = "%{http_version}"
    return run(CURL, "-s", "-o", "/dev/null", "-w", form, *options, url(server))


@needs_curl
@pytest.mark.parametrize(
    ("mode", "options", "version"),
    [
        ("auto", (), "1.1"),
        ("auto", ("--http2-prior-knowledge",), "2"),
        ("auto", ("--http2",), "1.1"),  # Upgrade: h2c is ignored
        ("1", (), "1.1"),
        ("1", ("--http2-prior-knowledge",), "0"),
        ("2", ("--http2-prior-knowledge",), "2"),
        ("2", ("--http1.1",), "0"),
    ],
)
def test_mode_decides_over_cleartext(mode: str, options: tuple[str, ...], version: str) -> None:
    with serving(f"{APP}:asgi", "--http", mode) as server:
        assert curl_version(server, *options) == version


@needs_curl
@pytest.mark.parametrize(
    ("mode", "options", "version"),
    [
        ("auto", (), "2"),
        ("auto", ("--http1.1",), "1.1"),
        ("auto", ("--no-alpn", "--http1.1"), "1.1"),
        ("1", (), "1.1"),
        ("2", (), "2"),
        ("2", ("--http1.1",), "0"),
    ],
)
def test_alpn_decides_over_tls(
    mode: str, options: tuple[str, ...], version: str, authority: Authority
) -> None:
    certificate = authority.issue("localhost", "127.0.0.1")
    with serving(f"{APP}:asgi", "--http", mode, tls=certificate) as server:
        target = f"https://localhost:{server.port}/"
        trust = ("--cacert", str(certificate.authority), "--resolve")
        place = f"localhost:{server.port}:127.0.0.1"
        form = "%{http_version}"
        seen = run(CURL, "-s", "-o", "/dev/null", "-w", form, *trust, place, *options, target)
        assert seen == version


@needs_curl
@interfaces
def test_curl_uploads_and_downloads(interface: str, engine: str, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"b" * 3_000_000)
    options = ("--http2-engine", engine)
    with serving(f"{APP}:{interface}", *options, interface=interface) as server:
        host = f"{server.host}:{server.port}"
        knowing = ("-s", "--http2-prior-knowledge")
        assert run(CURL, *knowing, url(server, "/a%20b?c")) == f"2 GET /a b {host} 0"
        sent = run(CURL, *knowing, "--data-binary", f"@{body}", url(server, "/up"))
        assert sent == f"2 POST /up {host} 3000000"
        form = "%{size_download}"
        size = run(CURL, *knowing, "-o", "/dev/null", "-w", form, url(server, "/large"))
        assert size == "1048576"


@interfaces
def test_httpx_multiplexes_over_tls(interface: str, engine: str, authority: Authority) -> None:
    pytest.importorskip("h2")
    certificate = authority.issue("localhost", "127.0.0.1")
    context = ssl.create_default_context(cafile=str(certificate.authority))
    options = ("--http2-engine", engine)
    with (
        serving(f"{APP}:{interface}", *options, interface=interface, tls=certificate) as server,
        httpx.Client(http2=True, verify=context, timeout=IO_TIMEOUT) as client,
    ):
        base = f"https://127.0.0.1:{server.port}"
        for number in range(20):
            answer = client.post(f"{base}/{number}", content=b"z" * number)
            assert answer.http_version == "HTTP/2"
            assert answer.text.startswith("2 POST")
            assert answer.text.endswith(f" {number}")
        assert len(client.get(f"{base}/large").content) == 1_048_576


@needs_nghttp
def test_nghttp_gets_many_resources() -> None:
    with serving(f"{APP}:asgi") as server:
        targets = [url(server, f"/{number}") for number in range(50)]
        said = run(NGHTTP, "-ns", *targets)
        assert len(re.findall(r"^ *\d+ .* 200 .*/\d+$", said, re.MULTILINE)) == 50, said


@needs_h2load
@interfaces
def test_h2load_gets_an_answer_to_everything(interface: str, engine: str) -> None:
    options = ("--http2-engine", engine)
    with serving(f"{APP}:{interface}", *options, interface=interface) as server:
        said = run(H2LOAD, "-n", "500", "-c", "4", "-m", "25", url(server))
        assert "500 succeeded, 0 failed, 0 errored" in said, said


@needs_nghttp
def test_settings_are_those_of_the_options() -> None:
    options = {
        "--http2-max-concurrent-streams": 33,
        "--http2-initial-stream-window-size": 70_001,
        "--http2-initial-connection-window-size": 90_002,
        "--http2-max-headers-size": 9_003,
        "--http2-max-frame-size": 20_004,
    }
    arguments = [part for flag, value in options.items() for part in (flag, str(value))]
    with serving(f"{APP}:asgi", *arguments) as server:
        said = run(NGHTTP, "-nv", "--no-dep", url(server))
        for name, value in {
            "SETTINGS_MAX_CONCURRENT_STREAMS(0x03)": 33,
            "SETTINGS_INITIAL_WINDOW_SIZE(0x04)": 70_001,
            "SETTINGS_MAX_FRAME_SIZE(0x05)": 20_004,
            "SETTINGS_MAX_HEADER_LIST_SIZE(0x06)": 9_003,
        }.items():
            assert f"{name}:{value}" in said, said
        assert f"window_size_increment={90_002 - 65_535}" in said


def test_frame_size_below_the_least_is_raised_with_one_warning() -> None:
    with serving(f"{APP}:asgi", "--http2-max-frame-size", "1024", "--workers", "2") as server:
        server.stop()
        assert server.log.text.count("raised to 16384") == 1, server.log.text


@needs_curl
def test_keep_alive_pings_do_not_disturb_a_client() -> None:
    options = ("--http2-keep-alive-interval", "50", "--http2-keep-alive-timeout", "1s")
    with serving(f"{APP}:asgi", *options, "--http2-adaptive-window") as server:
        assert curl_version(server, "--http2-prior-knowledge") == "2"

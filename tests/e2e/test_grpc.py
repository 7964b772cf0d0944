"""A gRPC client and its trailers, over cleartext and over TLS."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from granian_core.testing.certs import CertificateFiles
from tests.e2e.serving import IO_TIMEOUT, ServerProcess, serving

grpc = pytest.importorskip("grpc", reason="needs grpcio")


@pytest.fixture(scope="module")
def server(tls: CertificateFiles | None) -> Iterator[ServerProcess]:
    with serving("tests.e2e.apps.grpc_echo:app", interface="asginl", tls=tls) as running:
        yield running


@pytest.fixture
def channel(server: ServerProcess) -> Iterator[object]:
    address = f"localhost:{server.port}"
    # The one address that the server has: localhost may have another one.
    options = [("grpc.enable_http_proxy", 0), ("grpc.default_authority", address)]
    target = f"ipv4:{server.host}:{server.port}"
    if server.tls is None:
        opened = grpc.insecure_channel(target, options)
    else:
        trust = grpc.ssl_channel_credentials(server.tls.authority.read_bytes())
        opened = grpc.secure_channel(target, trust, options)
    with opened:
        yield opened


def test_a_unary_call_gets_its_answer_and_its_trailers(channel: grpc.Channel) -> None:
    say = channel.unary_unary("/test.Echo/Say")
    for size in (0, 5, 200_000):
        answer, call = say.with_call(b"x" * size, timeout=IO_TIMEOUT)
        assert answer == b"X" * size
        assert call.code() is grpc.StatusCode.OK
        assert ("x-size", str(size)) in call.trailing_metadata()


def test_a_status_in_the_trailers_is_an_error(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError, match="no such method") as caught:
        channel.unary_unary("/test.Echo/Other")(b"x", timeout=IO_TIMEOUT)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_calls_share_a_connection(channel: grpc.Channel) -> None:
    say = channel.unary_unary("/test.Echo/Say")
    futures = [say.future(b"%d" % number, timeout=IO_TIMEOUT) for number in range(50)]

    assert [future.result() for future in futures] == [b"%d" % number for number in range(50)]


def test_nghttp_sees_the_trailers(server: ServerProcess) -> None:
    nghttp = shutil.which("nghttp")
    if nghttp is None:
        pytest.skip("nghttp is not installed")
    command = [nghttp, "-nv", "--no-dep", "-H", "te: trailers", f"{server.url}/test.Echo/Say"]
    said = subprocess.run(command, capture_output=True, timeout=IO_TIMEOUT, check=True).stdout

    data, _, rest = said.partition(b"recv DATA frame")
    assert b":status: 200" in data
    assert b"grpc-status: 0" in rest

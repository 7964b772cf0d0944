"""nginx and haproxy in front, over TCP and unix sockets: who the client is, in all interfaces.

The proxies listen with TLS, and their client's address is 127.0.0.2, so that neither can be
mistaken for what the connection itself says.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from granian_core.testing.certs import CertificateFiles
from tests.e2e.serving import IO_TIMEOUT, ROOT, ServerProcess, read_to_end, serving
from tests.e2e.test_proxies import HOST, Proxy, installed

CLIENT = "127.0.0.2"
SPOOFED = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "gopher",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6;proto=gopher",
}
INTERFACES = ("asgi", "rsgi", "wsgi")

NGINX = """\
daemon off;
worker_processes 1;
{user}
pid nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream granian {{ server {backend}; }}
    server {{
        listen {host}:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location / {{
            proxy_pass http://granian;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $host;
        }}
    }}
}}
"""

HAPROXY = """\
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend front
    bind {host}:{port} ssl crt {both}
    option forwardfor
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    default_backend granian
backend granian
    server granian {backend}
"""


def nginx(certificate: CertificateFiles, backend: str) -> Callable[..., list[str]]:
    def arguments(directory: Path, port: int, backends: list[int]) -> list[str]:
        path = directory / "nginx.conf"
        text = NGINX.format(
            user=f"user {getpass.getuser()};" if os.geteuid() == 0 else "",
            backend=f"unix:{backend}" if "/" in backend else backend,
            certificate=certificate.certificate,
            key=certificate.key,
            host=HOST,
            port=port,
        )
        path.write_text(text, encoding="utf-8")
        return ["-p", str(directory), "-c", str(path), "-e", "stderr"]

    return arguments


def haproxy(certificate: CertificateFiles, backend: str) -> Callable[..., list[str]]:
    def arguments(directory: Path, port: int, backends: list[int]) -> list[str]:
        both = directory / "both.pem"
        both.write_bytes(certificate.certificate.read_bytes() + certificate.key.read_bytes())
        path = directory / "haproxy.cfg"
        where = f"unix@{backend}" if "/" in backend else backend
        path.write_text(
            HAPROXY.format(host=HOST, port=port, both=both, backend=where), encoding="utf-8"
        )
        return ["-db", "-f", str(path)]

    return arguments


PROXIES = {"nginx": nginx, "haproxy": haproxy}

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")


def ask(port: int, certificate: CertificateFiles, **spoofed: str) -> dict[str, Any]:
    """Send one request from `CLIENT`; return what the application was told."""
    context = ssl.create_default_context(cafile=str(certificate.authority))
    raw = socket.create_connection((HOST, port), IO_TIMEOUT, source_address=(CLIENT, 0))
    with context.wrap_socket(raw, server_hostname="localhost") as sock:
        return exchange(sock, spoofed or SPOOFED)


def exchange(sock: socket.socket, fields: dict[str, str]) -> dict[str, Any]:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    sock.sendall(f"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n".encode())
    head, _, body = read_to_end(sock).partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0], head
    if b"chunked" in head.lower():
        body = b"".join(re.findall(rb"[0-9a-f]+\r\n(.*?)\r\n", body, re.DOTALL))
    told: dict[str, Any] = json.loads(body)
    return told


@pytest.fixture(scope="module", params=INTERFACES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """One server on a TCP port and one on a unix socket."""
    path = tmp_path_factory.mktemp("socket") / "s"
    target = f"tests.e2e.apps.proxied:{request.param}"
    options = ("--access-log", "--access-log-fmt", "access %(addr)s %(scheme)s")
    with ExitStack() as stack:
        yield (
            stack.enter_context(serving(target, *options, interface=request.param)),
            stack.enter_context(serving(target, *options, interface=request.param, uds=path)),
        )


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("name", [installed(name) for name in PROXIES])
def test_client_and_scheme_behind_a_proxy(
    name: str,
    kind: str,
    server: tuple[ServerProcess, ServerProcess],
    certificate: CertificateFiles,
    tmp_path: Path,
) -> None:
    backend = server[kind == "unix"]
    where = f"{HOST}:{backend.port}" if backend.uds is None else str(backend.uds)
    proxy = Proxy(name, PROXIES[name](certificate, where))
    with proxy.running(tmp_path, []) as port:
        told = ask(port, certificate)
    assert (told["client"], told["scheme"]) == (CLIENT, "https")
    assert told["headers"]["host"] == "localhost"
    assert "forwarded" not in told["headers"]
    backend.log.wait_for(rf"access {CLIENT} https")


@pytest.mark.parametrize("interface", INTERFACES)
def test_an_untrusted_peer_is_not_believed(interface: str) -> None:
    """The same server, asked without the proxy, from an address that it does not trust."""
    target = f"tests.e2e.apps.proxied:{interface}"
    with (
        serving(target, interface=interface, env={"TRUSTED": "127.0.0.1"}) as server,
        socket.create_connection(
            (server.host, server.port), IO_TIMEOUT, source_address=(CLIENT, 0)
        ) as sock,
    ):
        told = exchange(sock, {**SPOOFED, "X-Forwarded-Host": "evil.example"})
    assert (told["client"], told["scheme"]) == (CLIENT, "http")
    assert set(told["headers"]) <= {"host", "connection"}
    assert told["headers"]["host"] == "localhost"


def test_the_page_recommends_what_is_tested() -> None:
    page = (ROOT / "docs" / "proxies.md").read_text(encoding="utf-8")
    words = ("proxy_set_header X", "option forwardfor", "http-request set-header")
    lines = [
        line.strip().replace("{{", "{").replace("}}", "}")
        for line in (NGINX + HAPROXY).splitlines()
    ]
    recommended = [line for line in lines if line.startswith(words)]
    assert len(recommended) == 6
    assert [line for line in recommended if line not in page] == []

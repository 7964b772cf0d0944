"""TLS, unix sockets and HTTP/2, for each interface in both runtime modes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from granian_core.testing.certs import CertificateFiles
from tests.e2e.compat.serving import INTERFACES, Serving, serving


def test_tls(tls_server: Serving) -> None:
    told = tls_server.get("/info").json()
    for http2 in (False, True):
        with tls_server.client(http2=http2) as client:
            response = client.post("/echo", content=b"x" * 300_000)
        assert response.content == b"x" * 300_000
        assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    assert told.get("scheme", told.get("wsgi.url_scheme")) == "https"


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_unix_socket(interface: str, mode: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with serving(interface, mode, uds=path, uds_permissions=0o600) as server:
        assert path.stat().st_mode & 0o777 == 0o600
        told = server.get("/info").json()
    assert not path.exists()
    if interface == "wsgi":
        assert (told["REMOTE_ADDR"], told["SERVER_NAME"]) == ("", str(path))
    elif interface == "rsgi":
        assert (told["client"], told["server"]) == ("", str(path))
    else:
        assert (told["client"], told["server"]) == (None, [str(path), None])


@pytest.mark.parametrize(("interface", "mode"), [("asgi", "st"), ("rsgi", "mt"), ("wsgi", "st")])
def test_http2_alone(interface: str, mode: str, certificate: CertificateFiles) -> None:
    keywords: dict[str, Any] = {"http": "2", "websockets": False}
    with (
        serving(interface, mode, tls=certificate, **keywords) as server,
        server.client(http2=True) as client,
    ):
        response = client.post("/echo", content=b"y" * 200_000)
        assert (response.http_version, response.content) == ("HTTP/2", b"y" * 200_000)
        told = client.get("/info").json()
    assert told.get("http_version", told.get("SERVER_PROTOCOL")) in ("2", "HTTP/2")

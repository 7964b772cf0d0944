"""WebSockets, for the interfaces that have them, in both runtime modes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from granian_core.testing.certs import CertificateFiles
from tests.e2e.compat.serving import Serving, serving
from tests.e2e.serving import IO_TIMEOUT

client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")


def connect(server: Serving, path: str, **options: Any) -> Any:
    scheme = "wss" if server.tls else "ws"
    return client.connect(
        f"{scheme}://localhost:{server.port}{path}",
        open_timeout=IO_TIMEOUT,
        close_timeout=IO_TIMEOUT,
        ssl=server.context(),
        proxy=None,
        **options,
    )


def test_messages_come_back(websocket_server: Serving) -> None:
    with connect(websocket_server, "/echo") as socket:
        for message in ("text", b"bytes", "", "é" * 50_000, b"\0" * 300_000):
            socket.send(message)
            assert socket.recv(IO_TIMEOUT) == message


def test_the_scope(websocket_server: Serving) -> None:
    with connect(websocket_server, "/info") as socket:
        told = json.loads(socket.recv(IO_TIMEOUT))
    assert told["path"] == "/info"
    if websocket_server.interface == "asgi":
        assert (told["type"], told["scheme"], told["http_version"]) == ("websocket", "ws", "1.1")
    else:
        assert (told["proto"], told["scheme"], told["method"]) == ("ws", "http", "GET")


def test_a_handshake_is_refused(websocket_server: Serving) -> None:
    with pytest.raises(exceptions.InvalidStatus) as caught:
        connect(websocket_server, "/reject")
    assert caught.value.response.status_code == 403


def test_the_server_closes(websocket_server: Serving) -> None:
    with connect(websocket_server, "/push") as socket:
        assert socket.recv(IO_TIMEOUT) == "one"
        assert socket.recv(IO_TIMEOUT) == b"two"
        with pytest.raises(exceptions.ConnectionClosed):
            socket.recv(IO_TIMEOUT)


def test_a_subprotocol_is_chosen(mode: str, certificate: CertificateFiles) -> None:
    with (
        serving("asgi", mode, tls=certificate) as server,
        connect(server, "/echo", subprotocols=["first", "second"]) as socket,
    ):
        assert socket.subprotocol == "first"
        socket.send("over TLS")
        assert socket.recv(IO_TIMEOUT) == "over TLS"


@pytest.mark.parametrize("interface", ["asgi", "rsgi"])
def test_without_websockets_a_handshake_is_a_request(interface: str, mode: str) -> None:
    with serving(interface, mode, websockets=False) as server:
        with pytest.raises(exceptions.InvalidStatus) as caught:
            connect(server, "/info")
        assert caught.value.response.status_code == 200

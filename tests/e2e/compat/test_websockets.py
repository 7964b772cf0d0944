"""WebSockets, for the interfaces that have them, in both runtime modes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.compat.serving import Serving, serving
from tests.e2e.serving import IO_TIMEOUT

client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")

SOCKET_INTERFACES = ["asgi", "rsgi"]


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


@pytest.mark.parametrize("server", SOCKET_INTERFACES, indirect=True)
def test_messages_come_back(server: Serving) -> None:
    with connect(server, "/echo") as socket:
        for message in ("text", b"bytes", "", "é" * 50_000, b"\0" * 300_000):
            socket.send(message)
            assert socket.recv(IO_TIMEOUT) == message


@pytest.mark.parametrize("server", SOCKET_INTERFACES, indirect=True)
def test_the_scope(server: Serving) -> None:
    with connect(server, "/info") as socket:
        told = json.loads(socket.recv(IO_TIMEOUT))
    assert told["path"] == "/info"
    if server.interface == "asgi":
        assert (told["type"], told["scheme"], told["http_version"]) == ("websocket", "ws", "1.1")
    else:
        assert (told["proto"], told["scheme"], told["method"]) == ("ws", "http", "GET")


@pytest.mark.parametrize("server", SOCKET_INTERFACES, indirect=True)
def test_a_handshake_is_refused(server: Serving) -> None:
    with pytest.raises(exceptions.InvalidStatus) as caught:
        connect(server, "/reject")
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize("server", SOCKET_INTERFACES, indirect=True)
def test_the_server_closes(server: Serving) -> None:
    with connect(server, "/push") as socket:
        assert socket.recv(IO_TIMEOUT) == "one"
        assert socket.recv(IO_TIMEOUT) == b"two"
        with pytest.raises(exceptions.ConnectionClosed):
            socket.recv(IO_TIMEOUT)


@pytest.mark.parametrize("tls_server", SOCKET_INTERFACES, indirect=True)
def test_over_tls(tls_server: Serving) -> None:
    with connect(tls_server, "/echo") as socket:
        socket.send("over TLS")
        assert socket.recv(IO_TIMEOUT) == "over TLS"


@pytest.mark.parametrize("server", ["asgi"], indirect=True)
def test_a_subprotocol_is_chosen(server: Serving) -> None:
    with connect(server, "/echo", subprotocols=["first", "second"]) as socket:
        assert socket.subprotocol == "first"


@pytest.mark.parametrize(("interface", "mode"), [("asgi", "st"), ("rsgi", "mt")])
def test_without_websockets_a_handshake_is_a_request(interface: str, mode: str) -> None:
    with serving(interface, mode, websockets=False) as server:
        with pytest.raises(exceptions.InvalidStatus) as caught:
            connect(server, "/info")
        assert caught.value.response.status_code == 200

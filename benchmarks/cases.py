"""What is measured: one request shape per case, each run over one or more interfaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INTERFACES = ("asgi", "rsgi", "wsgi")

BROWSER_HEADERS = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "http://127.0.0.1/start"),
    ("Cookie", "session=0123456789abcdefghijklmnopqrstuvwxyz; theme=dark"),
    ("Upgrade-Insecure-Requests", "1"),
)
"""What Firefox sends with a navigation, besides Host: seven fields."""


@dataclass(frozen=True)
class WebSocketLoad:
    """What the clients of a WebSocket case do; nothing but be there if they send nothing."""

    octets: int
    """Length of each message; 0 sends none."""
    clients: int = 0
    """How many there are; 0 is what the command says (``--connections``)."""
    broadcast: bool = False
    """What one of them says goes to all."""
    compressed: bool = False
    """With permessage-deflate."""


@dataclass(frozen=True)
class Case:
    """One kind of request, the same for every server."""

    name: str
    description: str
    path: str = "/"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body_octets: int = 0
    """Length of the request body."""
    response_octets: int = 1024
    """Length that a right answer's body has; it is checked before the load starts."""
    varied: bool = False
    """Each request of a connection has another query, and a field that the last one had not."""
    fixed_rate: bool = False
    """Send at a fixed rate with the open-loop client in place of as fast as the server answers."""
    floor: bool = True
    """The bare protocol can answer it."""
    websocket: WebSocketLoad | None = None
    """It is about messages, or idle connections, in place of requests."""
    streams: int = 0
    """HTTP/2 with so many requests at once on each connection; 0 is HTTP/1.1."""
    connections: int = 0
    """How many there are; 0 is what the command says (``--connections``)."""
    tls: bool = False
    """Over TLS, of the newest version that both sides have."""
    static: bool = False
    """A file, served without the application; *path* is below ``/static``."""
    large: bool = False
    """One download after another by a client of our own."""
    interfaces: tuple[str, ...] = INTERFACES
    """Those with which it runs: one where no application takes part, or hardly."""

    @property
    def needs(self) -> frozenset[str]:
        """What a server has to carry to take part; see `Server.carries`."""
        if self.websocket is not None:
            return frozenset(("deflate" if self.websocket.compressed else "websocket",))
        kind = "static" if self.static else "http2" if self.streams else "http"
        return frozenset((kind, "tls") if self.tls else (kind,))


def _websocket(name: str, description: str, load: WebSocketLoad) -> Case:
    path = "/broadcast" if load.broadcast else "/echo"
    return Case(
        name, description, path=path, floor=False, websocket=load, interfaces=("asgi", "rsgi")
    )


def _http2(name: str, description: str, streams: int, **more: Any) -> Case:
    return Case(name, description, streams=streams, connections=16, floor=False, **more)


def _static(name: str, description: str, file: str, octets: int, *, large: bool = False) -> Case:
    return Case(
        name,
        description,
        path=f"/static/{file}",
        response_octets=octets,
        static=True,
        large=large,
        floor=False,
        interfaces=("asgi",),
    )


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("get", "GET 1 KiB, no extra headers"),
        Case("get-browser", "GET 1 KiB, seven browser headers", headers=BROWSER_HEADERS),
        Case(
            "get-varied",
            "GET 1 KiB, seven browser headers, another query and trace id each time",
            headers=BROWSER_HEADERS,
            varied=True,
        ),
        Case("get-10k", "GET 10 kB", path="/10k", response_octets=10_000),
        Case(
            "post-echo",
            "POST 10 KiB, echoed",
            path="/echo",
            method="POST",
            body_octets=10_240,
            response_octets=10_240,
            floor=False,
        ),
        Case(
            "stream",
            "streamed response, 16 chunks of 1 KiB",
            path="/stream",
            response_octets=16_384,
            floor=False,
        ),
        Case("connection", "GET 1 KiB, one connection each", headers=(("Connection", "close"),)),
        Case(
            "fixed-rate",
            "GET 1 KiB, seven browser headers, fixed rate",
            headers=BROWSER_HEADERS,
            fixed_rate=True,
        ),
        _http2("h2-get-8", "HTTP/2 GET 1 KiB, 8 streams", 8),
        _http2("h2-get-100", "HTTP/2 GET 1 KiB, 100 streams", 100),
        _http2(
            "h2-post-echo",
            "HTTP/2 POST 10 KiB, echoed, 8 streams",
            8,
            path="/echo",
            method="POST",
            body_octets=10_240,
            response_octets=10_240,
        ),
        _http2(
            "h2-download", "HTTP/2 GET 1 MiB, 8 streams", 8, path="/1m", response_octets=1_048_576
        ),
        Case("tls-get", "TLS GET 1 KiB", tls=True, floor=False, interfaces=("asgi",)),
        _http2("tls-h2-get", "TLS HTTP/2 GET 1 KiB, 8 streams", 8, tls=True, interfaces=("asgi",)),
        Case(
            "tls-handshake",
            "TLS GET 1 KiB, one connection and full handshake each",
            headers=(("Connection", "close"),),
            tls=True,
            floor=False,
            interfaces=("asgi",),
        ),
        _static("static-50k", "static file of 50 KiB", "50k.bin", 51_200),
        _static("static-1g", "static file of 1 GiB, one client", "1g.bin", 1 << 30, large=True),
        _websocket("ws-echo-32", "WebSocket echo of 32 B", WebSocketLoad(32)),
        _websocket("ws-echo-1k", "WebSocket echo of 1 KiB", WebSocketLoad(1024)),
        _websocket("ws-echo-64k", "WebSocket echo of 64 KiB", WebSocketLoad(65_536)),
        _websocket(
            "ws-echo-1k-deflate",
            "WebSocket echo of 1 KiB, compressed",
            WebSocketLoad(1024, compressed=True),
        ),
        _websocket(
            "ws-broadcast-16",
            "WebSocket broadcast of 1 KiB to 16 clients",
            WebSocketLoad(1024, clients=16, broadcast=True),
        ),
        _websocket(
            "ws-broadcast-32",
            "WebSocket broadcast of 1 KiB to 32 clients",
            WebSocketLoad(1024, clients=32, broadcast=True),
        ),
        _websocket(
            "ws-idle", "5,000 idle WebSockets, opened and held", WebSocketLoad(0, clients=5000)
        ),
    )
}
"""Every case by its name, in the order in which they run."""

"""The servers that are compared: how each is installed and started.

Every one runs with its default options plus the same event loop (uvloop, where it has a loop), one
worker and no access log. WSGI servers that have a thread count run the application in one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.environments import Environment

if TYPE_CHECKING:
    from benchmarks.cases import Case

OURS = "ours"
"""Name of this project's server in selections and results."""

HOST = "127.0.0.1"

Arguments = Callable[[str, int], list[str]]
"""Makes the interpreter's arguments from the interface and the port."""


@dataclass(frozen=True)
class Server:
    """One server under test."""

    name: str
    label: str
    environment: Environment
    interfaces: tuple[str, ...]
    arguments: Arguments = field(repr=False)
    distributions: tuple[str, ...] = ()
    """Distributions whose versions the report names; the first is the server itself."""
    floor: bool = False
    """A bare protocol: it answers only the cases that say so."""
    carries: tuple[str, ...] = ("http",)
    """What cases it takes part in: ``http``, ``websocket``, ``deflate`` (compressed WebSockets)."""

    def runs(self, case: Case, interface: str) -> bool:
        """Return whether this server takes part in *case* with *interface*."""
        kind = "http"
        if case.websocket is not None:
            kind = "deflate" if case.websocket.compressed else "websocket"
            if interface == "wsgi":
                return False
        known = interface in self.interfaces and kind in self.carries
        return known and (case.floor or not self.floor)


def _target(interface: str) -> str:
    return f"benchmarks.apps.{interface}:application"


def _granian(interface: str, port: int) -> list[str]:
    arguments = ["-m", "granian", "--interface", interface, "--host", HOST, "--port", str(port)]
    arguments += ["--loop", "uvloop", "--workers", "1", "--no-access-log"]
    if interface == "wsgi":
        arguments += ["--blocking-threads", "1"]
    return [*arguments, _target(interface)]


def _granian_reference(interface: str, port: int) -> list[str]:
    *arguments, target = _granian(interface, port)
    return [*arguments, "--ws-engine", "reference", target]


def _uvicorn(http: str, websocket: str = "auto") -> Arguments:
    def arguments(interface: str, port: int) -> list[str]:
        where = ["--host", HOST, "--port", str(port), "--no-access-log", "--ws", websocket]
        return ["-m", "uvicorn", "--http", http, "--loop", "uvloop", *where, _target(interface)]

    return arguments


def _hypercorn(interface: str, port: int) -> list[str]:
    where = ["--bind", f"{HOST}:{port}"]
    return ["-m", "hypercorn", "--worker-class", "uvloop", *where, _target(interface)]


def _gunicorn(worker_class: str) -> Arguments:
    def arguments(interface: str, port: int) -> list[str]:
        where = ["--bind", f"{HOST}:{port}", "--workers", "1", "--worker-class", worker_class]
        return ["-m", "gunicorn", *where, _target(interface)]

    return arguments


def _floor(_interface: str, port: int) -> list[str]:
    return ["-m", "benchmarks.apps.floor", "--port", str(port)]


_PACKAGES = (
    "packages/granian-core[fast]",
    "packages/granian-asgi",
    "packages/granian-rsgi",
    "packages/granian-wsgi",
    "packages/granian-cli",
)
_UVICORN = Environment("uvicorn", ("uvicorn", "h11", "httptools", "uvloop"))
_UVICORN_WS = Environment(
    "uvicorn-websocket", ("uvicorn", "httptools", "uvloop", "websockets", "wsproto")
)
_GUNICORN = Environment("gunicorn", ("gunicorn",))

SERVERS: dict[str, Server] = {
    server.name: server
    for server in (
        Server(
            OURS,
            "granian-cli (this tree)",
            Environment("ours", editable=_PACKAGES),
            ("asgi", "rsgi", "wsgi"),
            _granian,
            ("granian-cli", "granian-core", "uvloop"),
            carries=("http", "websocket", "deflate"),
        ),
        Server(
            "ours-reference",
            "granian-cli (wsproto)",
            Environment("ours", editable=_PACKAGES),
            ("asgi", "rsgi"),
            _granian_reference,
            ("granian-cli", "granian-core", "wsproto", "uvloop"),
            carries=("websocket", "deflate"),
        ),
        Server(
            "granian-rust",
            "granian (Rust)",
            Environment("granian-rust", ("granian", "uvloop")),
            ("asgi", "rsgi", "wsgi"),
            _granian,
            ("granian", "uvloop"),
            carries=("http", "websocket"),
        ),
        Server(
            "uvicorn-httptools",
            "uvicorn (httptools)",
            _UVICORN,
            ("asgi",),
            _uvicorn("httptools"),
            ("uvicorn", "httptools", "uvloop"),
        ),
        Server(
            "uvicorn-h11",
            "uvicorn (h11)",
            _UVICORN,
            ("asgi",),
            _uvicorn("h11"),
            ("uvicorn", "h11", "uvloop"),
        ),
        Server(
            "hypercorn",
            "hypercorn",
            Environment("hypercorn", ("hypercorn", "uvloop")),
            ("asgi",),
            _hypercorn,
            ("hypercorn", "h11", "uvloop"),
            carries=("http", "websocket", "deflate"),
        ),
        Server(
            "uvicorn-legacy",
            "uvicorn (ws legacy)",
            _UVICORN_WS,
            ("asgi",),
            _uvicorn("httptools", "websockets"),
            ("uvicorn", "websockets", "uvloop"),
            carries=("websocket", "deflate"),
        ),
        Server(
            "uvicorn-websockets",
            "uvicorn (websockets)",
            _UVICORN_WS,
            ("asgi",),
            _uvicorn("httptools", "websockets-sansio"),
            ("uvicorn", "websockets", "uvloop"),
            carries=("websocket", "deflate"),
        ),
        Server(
            "uvicorn-wsproto",
            "uvicorn (wsproto)",
            _UVICORN_WS,
            ("asgi",),
            _uvicorn("httptools", "wsproto"),
            ("uvicorn", "wsproto", "uvloop"),
            carries=("websocket", "deflate"),
        ),
        Server(
            "gunicorn-sync",
            "gunicorn (sync)",
            _GUNICORN,
            ("wsgi",),
            _gunicorn("sync"),
            ("gunicorn",),
        ),
        Server(
            "gunicorn-gthread",
            "gunicorn (gthread)",
            _GUNICORN,
            ("wsgi",),
            _gunicorn("gthread"),
            ("gunicorn",),
        ),
        Server(
            "floor",
            "bare uvloop protocol",
            Environment("floor", ("uvloop",)),
            ("asgi", "rsgi", "wsgi"),
            _floor,
            ("uvloop",),
            floor=True,
        ),
    )
}
"""Every server by its name, in the order of a round."""

"""The servers that are compared: how each is installed and started.

Every one runs with its default options plus the same event loop (uvloop, where it has a loop), one
worker and no access log. WSGI servers that have a thread count run the application in one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benchmarks.environments import Environment
from benchmarks.material import material

if TYPE_CHECKING:
    from benchmarks.cases import Case

OURS = "ours"
"""Name of this project's server, compiled, in selections and results."""

OURS_PURE = "ours-pure"
"""Name of the same server, pure Python."""

HOST = "127.0.0.1"

_OUR_MOST = 4096
"""Connections that our server takes by default; the peers have no such bound."""

Arguments = Callable[[str, int], list[str]]
"""Makes the interpreter's arguments from the interface and the port."""
Extras = Callable[["Case"], list[str]]


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
    """What cases it takes part in: ``http``, ``http2``, ``tls`` (either of them), ``static``,
    ``websocket``, ``deflate`` (compressed WebSockets)."""
    extras: Extras | None = field(default=None, repr=False)
    """Makes what the case adds to the arguments: a certificate, a directory of files."""
    program: str = ""
    """It runs in place of the environment's interpreter."""

    def runs(self, case: Case, interface: str) -> bool:
        """Return whether this server takes part in *case* with *interface*."""
        known = interface in self.interfaces and interface in case.interfaces
        return known and case.needs <= {*self.carries} and (case.floor or not self.floor)

    def command(self, interpreter: str, case: Case, interface: str, port: int) -> list[str]:
        """Return the command line that serves *case*."""
        extras = self.extras(case) if self.extras is not None else []
        return [self.program or interpreter, *self.arguments(interface, port), *extras]


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
    return [*arguments, "--ws-engine", "reference", "--http2-engine", "reference", target]


def _our_extras(case: Case) -> list[str]:
    if case.websocket is not None and case.websocket.clients > _OUR_MOST:
        return ["--max-connections", str(2 * case.websocket.clients)]
    return _granian_extras(case)


def _granian_extras(case: Case) -> list[str]:
    extras: list[str] = []
    if case.tls:
        made = material()
        extras += ["--ssl-certificate", str(made.certificate), "--ssl-keyfile", str(made.key)]
    if case.static:
        extras += ["--static-path-route", "/static"]
        extras += ["--static-path-mount", str(material().static)]
    return extras


def _uvicorn(http: str, websocket: str = "auto") -> Arguments:
    def arguments(interface: str, port: int) -> list[str]:
        where = ["--host", HOST, "--port", str(port), "--no-access-log", "--ws", websocket]
        return ["-m", "uvicorn", "--http", http, "--loop", "uvloop", *where, _target(interface)]

    return arguments


def _hypercorn(interface: str, port: int) -> list[str]:
    where = ["--bind", f"{HOST}:{port}"]
    return ["-m", "hypercorn", "--worker-class", "uvloop", *where, _target(interface)]


def _hypercorn_extras(case: Case) -> list[str]:
    if not case.tls:
        return []
    return ["--certfile", str(material().certificate), "--keyfile", str(material().key)]


def _nginx(_interface: str, port: int) -> list[str]:
    return ["-c", str(material().nginx_configuration(HOST, port)), "-e", "stderr"]


def _gunicorn(worker_class: str) -> Arguments:
    def arguments(interface: str, port: int) -> list[str]:
        where = ["--bind", f"{HOST}:{port}", "--workers", "1", "--worker-class", worker_class]
        return ["-m", "gunicorn", *where, _target(interface)]

    return arguments


def _floor(_interface: str, port: int) -> list[str]:
    return ["-m", "benchmarks.apps.floor", "--port", str(port)]


_HOT = (
    "packages/granian-core[fast]",
    "packages/granian-asgi",
    "packages/granian-wsgi",
)
_OTHERS = ("packages/granian-rsgi", "packages/granian-cli")
_COMPILED = Environment("ours", editable=_OTHERS, compiled=_HOT, fallback=OURS_PURE)
_PURE = Environment("ours-pure", editable=(*_HOT, *_OTHERS))
_UVICORN = Environment("uvicorn", ("uvicorn", "h11", "httptools", "uvloop"))
_UVICORN_WS = Environment(
    "uvicorn-websocket", ("uvicorn", "httptools", "uvloop", "websockets", "wsproto")
)
_GUNICORN = Environment("gunicorn", ("gunicorn",))

_OURS = Server(
    OURS,
    "granian-cli (this tree, compiled)",
    _COMPILED,
    ("asgi", "rsgi", "wsgi"),
    _granian,
    ("granian-cli", "granian-core", "uvloop"),
    carries=("http", "http2", "tls", "static", "websocket", "deflate"),
    extras=_our_extras,
)

SERVERS: dict[str, Server] = {
    server.name: server
    for server in (
        _OURS,
        replace(
            _OURS,
            name=OURS_PURE,
            label="granian-cli (this tree, pure Python)",
            environment=_PURE,
        ),
        Server(
            "ours-reference",
            "granian-cli (h2, wsproto)",
            _COMPILED,
            ("asgi", "rsgi"),
            _granian_reference,
            ("granian-cli", "granian-core", "h2", "wsproto", "uvloop"),
            carries=("http2", "tls", "websocket", "deflate"),
            extras=_our_extras,
        ),
        Server(
            "granian-rust",
            "granian (Rust)",
            Environment("granian-rust", ("granian", "uvloop")),
            ("asgi", "rsgi", "wsgi"),
            _granian,
            ("granian", "uvloop"),
            carries=("http", "http2", "tls", "static", "websocket"),
            extras=_granian_extras,
        ),
        Server(
            "nginx",
            "nginx",
            Environment("floor", ("uvloop",)),
            ("asgi",),
            _nginx,
            carries=("static",),
            program="/usr/sbin/nginx",
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
            ("hypercorn", "h11", "h2", "uvloop"),
            carries=("http", "http2", "tls", "websocket", "deflate"),
            extras=_hypercorn_extras,
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

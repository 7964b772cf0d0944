"""One application, which tells what it saw, as each kind of interface."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from granian_core import (
    BaseInterface,
    BlockingPool,
    ClientDisconnected,
    HTTPStream,
    Interface,
    InterfaceOptions,
)

if TYPE_CHECKING:
    from tests.conformance.model import Seen

Record = dict[str, Any]
APPS = ("core", "asgi", "wsgi")


def missing_package(app: str) -> str | None:
    """Return the name of the package that *app* needs and that is not installed."""
    package = {"asgi": "granian_asgi", "wsgi": "granian_wsgi"}.get(app)
    return package if package is not None and find_spec(package) is None else None


def make_interface(app: str, seen: list[Record]) -> Interface:
    """Return an interface whose application appends what it sees to *seen*."""
    if app == "core":
        return CoreEcho(seen)
    if app == "asgi":
        from granian_asgi import asgi

        return asgi(asgi_echo(seen), InterfaceOptions())
    from granian_wsgi import wsgi

    pool = BlockingPool(4)
    return wsgi(wsgi_echo(seen), InterfaceOptions(blocking_pool=pool))


class CoreEcho(BaseInterface):
    """The application on the interface API itself."""

    def __init__(self, seen: list[Record]) -> None:
        self._seen = seen

    async def handle_http(self, stream: HTTPStream) -> None:
        record: Record = {
            "method": stream.method,
            "path": stream.path,
            "query": stream.query_string.decode("latin-1"),
            "version": stream.http_version,
            "fields": [(n.decode("latin-1"), v.decode("latin-1")) for n, v in stream.headers],
        }
        self._seen.append(record)
        try:
            record["body"] = (await stream.read_all()).decode("latin-1")
        except ClientDisconnected:
            return
        trailers = stream.trailers or []
        record["trailers"] = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in trailers]
        body = json.dumps(record).encode()
        stream.respond(200, [(b"content-type", b"application/json")], body)


def asgi_echo(seen: list[Record]) -> Callable[..., Awaitable[None]]:
    """Return the application for ASGI."""

    async def application(
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            for answer in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{answer}.complete"})
            return
        record: Record = {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode("latin-1"),
            "version": scope["http_version"],
            "fields": [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]],
        }
        seen.append(record)
        content = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            content += message["body"]
            more = message["more_body"]
        record["body"] = content.decode("latin-1")
        body = json.dumps(record).encode()
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


def wsgi_echo(seen: list[Record]) -> Callable[..., Iterable[bytes]]:
    """Return the application for WSGI."""

    def application(
        environ: dict[str, Any], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        fields = [
            (key[5:].replace("_", "-").lower(), value)
            for key, value in environ.items()
            if key.startswith("HTTP_")
        ]
        fields += [
            (key.replace("_", "-").lower(), environ[key])
            for key in ("CONTENT_LENGTH", "CONTENT_TYPE")
            if key in environ
        ]
        record: Record = {
            "method": environ["REQUEST_METHOD"],
            "path": environ["PATH_INFO"].encode("latin-1").decode(),
            "query": environ["QUERY_STRING"],
            "version": environ["SERVER_PROTOCOL"].partition("/")[2],
            "fields": fields,
        }
        seen.append(record)
        record["body"] = environ["wsgi.input"].read().decode("latin-1")
        body = json.dumps(record).encode()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]

    return application


def check_seen(app: str, record: Record, seen: Seen) -> None:
    """Compare what the application saw with what it must have seen."""
    assert record["method"] == seen.method
    assert record["path"] == seen.path
    assert record["query"] == seen.query
    assert record["version"] == seen.version
    assert record["body"].encode("latin-1") == seen.body
    if "trailers" in record:
        assert [tuple(pair) for pair in record["trailers"]] == list(seen.trailers)
    fields = [tuple(pair) for pair in record["fields"]]
    if app == "asgi":
        # Where a request has no Host, the adapter puts an empty one first, as Granian does.
        fields = [pair for pair in fields if pair != ("host", "")]
    assert not {name for name, _ in fields} & set(seen.absent)
    for name in {name for name, _ in seen.fields}:
        expected = [value for key, value in seen.fields if key == name]
        if app == "wsgi":
            # PEP 3333 knows one value per name; underscores would shadow the hyphen form.
            joiner = "; " if name == "cookie" else ","
            expected = [] if "_" in name else [joiner.join(expected)]
        assert [value for key, value in fields if key == name] == expected

"""Serving files: requests under a mount are answered here, the others passed on.

A hot small file is answered from memory, on the spot. Everything else is looked up in
a thread, where a disk may take its time, and sent as `granian_core.files` does it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, NamedTuple

from granian_core.errors import LocalProtocolError
from granian_core.files import send_part, with_length
from granian_core.filethreads import in_file_thread
from granian_core.static.answer import Pieces, Representation, answer, select_fields
from granian_core.static.cache import FRESH, MAX_FILE, Cache, Kept
from granian_core.static.codings import choose_coding
from granian_core.static.lookup import Found, Mount, find, identity, open_sibling
from granian_core.static.mime import content_type
from granian_core.static.paths import Names, has_encoded_slash, match_route, split_names
from granian_core.static.ranges import Span

if TYPE_CHECKING:
    from granian_core.settings import StaticSettings
    from granian_core.stream import Fields, HTTPStream

logger = logging.getLogger("_granian.static")

Handler = Callable[["HTTPStream"], "Awaitable[None] | None"]
"""What takes a request: `Interface.handle_http`."""

ALLOWED: Final = b"GET, HEAD, OPTIONS"

_TEXT: Final = [(b"content-type", b"text/plain; charset=utf-8")]
_READ_ATTEMPTS: Final = 3


class _Loaded(NamedTuple):
    found: Found
    representation: Representation
    body: bytes | None
    """The content of a small file, which is closed; None for one that is still open."""
    stable: bool
    """The file did not change while it was read."""


class StaticFiles:
    """Answers requests for files of some directories.

    Args:
        settings: The directories.
        handle_http: Takes the other requests.
        loop: The loop of the connections.
    """

    def __init__(
        self, settings: StaticSettings, handle_http: Handler, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._handle_http = handle_http
        self._loop = loop
        self._dotfiles = settings.dotfiles
        self._expires = settings.expires
        self._mounts = [
            Mount(
                route=route.rstrip("/"),
                path=str(path),
                index=settings.dir_to_file,
                follow_symlinks=settings.follow_symlinks,
            )
            for route, path in settings.pairs
        ]
        self._cache = Cache()

    def handle_http(self, stream: HTTPStream) -> Awaitable[None] | None:
        """Answer a request under a mount; pass any other on."""
        path = stream.path
        for mount in self._mounts:
            rest = match_route(mount.route, path)
            if rest is not None:
                return self._serve(stream, mount, rest)
        return self._handle_http(stream)

    def _serve(self, stream: HTTPStream, mount: Mount, rest: str) -> Awaitable[None] | None:
        if stream.method not in ("GET", "HEAD"):
            _refuse_method(stream)
            return None
        names = None
        if not has_encoded_slash(stream.raw_path):
            fields = select_fields(stream.headers)
            if self._serve_kept(stream, fields):
                return None
            names = split_names(rest, dotfiles=self._dotfiles)
        if names is None:
            _not_found(stream)
            return None
        return self._look_up(stream, mount, names, fields)

    # -- from memory -------------------------------------------------------------

    def _serve_kept(self, stream: HTTPStream, fields: dict[bytes, bytes]) -> bool:
        codings = self._cache.codings(stream.path)
        if codings is None:
            return False
        coding = choose_coding(fields.get(b"accept-encoding", b""), codings) if codings else b""
        kept = self._cache.get(stream.path, coding, self._loop.time())
        if kept is None:
            return False
        _respond(stream, fields, kept.representation, kept.body)
        return True

    def _keep(self, path: str, loaded: _Loaded) -> None:
        found, body = loaded.found, loaded.body
        if body is not None and loaded.stable:
            kept = Kept(
                identity=identity(found.info),
                path=found.path,
                body=body,
                representation=loaded.representation,
                until=self._loop.time() + FRESH,
            )
            self._cache.put(path, found.coding, found.codings, kept)

    # -- from disk ---------------------------------------------------------------

    async def _look_up(
        self, stream: HTTPStream, mount: Mount, names: Names, fields: dict[bytes, bytes]
    ) -> None:
        accepted = fields.get(b"accept-encoding", b"")
        loading = in_file_thread(self._load, mount, names, accepted)
        try:
            loaded = await asyncio.shield(loading)
        except asyncio.CancelledError:
            loading.add_done_callback(_close_unused)
            raise
        except (OSError, ValueError) as exc:  # ValueError: a name that this system can not have
            logger.debug("%s: %s", stream.path, exc)
            _not_found(stream)
            return
        if loaded.body is not None:
            self._keep(stream.path, loaded)
            _respond(stream, fields, loaded.representation, loaded.body)
            return
        try:
            await _send(stream, fields, loaded)
        except (OSError, LocalProtocolError) as exc:
            gone = stream.disconnected  # HTTP/2: which aborting makes it
            stream.abort()
            if not gone:
                logger.warning("Cannot send all of %s: %s", loaded.found.path, exc)
        finally:
            loaded.found.file.close()

    def _load(self, mount: Mount, names: Names, accepted: bytes) -> _Loaded:
        """Find a file, and read it if it is small. Runs in a thread."""
        found, siblings = find(mount, names)
        try:
            coding = choose_coding(accepted, found.codings)
            if coding:
                found = open_sibling(mount, found, coding, siblings[coding])
            if found.info.st_size > MAX_FILE:
                return _Loaded(found, self._represent(found, found.info.st_size), None, False)
            body, stable = _read(found)
        except BaseException:
            found.file.close()
            raise
        found.file.close()
        return _Loaded(found, self._represent(found, len(body)), body, stable)

    def _represent(self, found: Found, size: int) -> Representation:
        info = found.info
        # Never later than the response (RFC 9110 8.8.2.1).
        modified = min(int(info.st_mtime), int(time.time()))
        etag = b'"%x-%x%b"' % (
            info.st_mtime_ns & 0xFFFF_FFFF_FFFF_FFFF,
            size,
            b"-" + found.coding if found.coding else b"",
        )
        kind = content_type(found.name)
        headers: Fields = [] if kind is None else [(b"content-type", kind)]
        if found.coding:
            headers.append((b"content-encoding", found.coding))
        if found.codings:
            headers.append((b"vary", b"accept-encoding"))
        if self._expires:
            headers.append((b"cache-control", b"max-age=%d" % self._expires))
        headers.append((b"etag", etag))
        headers.append((b"last-modified", formatdate(modified, usegmt=True).encode()))
        headers.append((b"accept-ranges", b"bytes"))
        return Representation(
            size=size, etag=etag, modified=modified, content_type=kind, headers=headers
        )


def _read(found: Found) -> tuple[bytes, bool]:
    """Return the content of a small file, and whether it stood still meanwhile."""
    body = b""
    for _ in range(_READ_ATTEMPTS):
        before = os.fstat(found.file.fd)
        body = found.file.read_at(0, MAX_FILE + 1)
        if identity(os.fstat(found.file.fd)) == identity(before) == identity(found.info):
            return body, len(body) == found.info.st_size
    return body, False


def _close_unused(loading: asyncio.Future[_Loaded]) -> None:
    if not loading.cancelled() and loading.exception() is None:
        loading.result().found.file.close()


def _respond(
    stream: HTTPStream, fields: dict[bytes, bytes], file: Representation, body: bytes
) -> None:
    """Answer with what is in memory, in one write."""
    if not fields or (len(fields) == 1 and b"accept-encoding" in fields):
        stream.respond(200, file.headers, body)
        return
    status, headers, pieces, _ = answer(stream.method, fields, file)
    if status != 200:
        body = b"".join(
            [
                body[piece.start : piece.end] if isinstance(piece, Span) else piece
                for piece in pieces
            ]
        )
    stream.respond(status, headers, body)


async def _send(stream: HTTPStream, fields: dict[bytes, bytes], loaded: _Loaded) -> None:
    status, headers, pieces, length = answer(stream.method, fields, loaded.representation)
    if not pieces:
        stream.respond(status, headers)
        return
    headers = with_length(headers, length)
    if stream.method == "HEAD":
        stream.respond(status, headers)
        return
    stream.start(status, headers)
    await _send_pieces(stream, loaded, pieces)
    # A file that has become shorter leaves the response short, which is an error here.
    stream.finish()


async def _send_pieces(stream: HTTPStream, loaded: _Loaded, pieces: Pieces) -> None:
    for piece in pieces:
        if isinstance(piece, Span):
            sent = await send_part(stream, loaded.found.file, piece.start, piece.length)
            if sent < piece.length:
                if not stream.disconnected:
                    raise OSError("the file has become shorter")
                return
        else:
            stream.write(piece)


def _refuse_method(stream: HTTPStream) -> None:
    allow = (b"allow", ALLOWED)
    if stream.method == "OPTIONS":
        stream.respond(204, [allow])
    else:
        stream.respond(405, [*_TEXT, allow], b"Method not allowed")


def _not_found(stream: HTTPStream) -> None:
    stream.respond(404, _TEXT, b"Not found")

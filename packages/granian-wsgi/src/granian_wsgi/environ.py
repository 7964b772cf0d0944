"""From a request to a WSGI environ: plain functions, no I/O.

What is the same for every request of the process is in one dictionary, which
`constant_environ` makes and `request_environ` copies. The process's own environment
variables are not part of it: they hold secrets, and debug pages show the environ.

Spec: PEP 3333, "environ Variables"; RFC 3875 section 4.1 for the names from CGI.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeAlias
from urllib.parse import unquote_to_bytes

from granian_wsgi.files import FileWrapper

if TYPE_CHECKING:
    from granian_core import Fields, HTTPStream, InterfaceOptions
    from granian_wsgi.input import Input

Environ: TypeAlias = dict[str, Any]
"""Values are what PEP 3333 says for each key, and anything at all for a middleware's."""

_PROTOCOLS: Final = {"1.0": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2"}

_COMMON_FIELDS: Final = (
    b"accept accept-charset accept-encoding accept-language access-control-request-headers "
    b"access-control-request-method authorization cache-control connection cookie date dnt etag "
    b"expect forwarded from host if-match if-modified-since if-none-match if-range "
    b"if-unmodified-since keep-alive origin pragma priority range referer save-data sec-ch-ua "
    b"sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site "
    b"sec-fetch-user sec-gpc te traceparent tracestate trailer transfer-encoding upgrade "
    b"upgrade-insecure-requests user-agent via x-csrftoken x-forwarded-for x-forwarded-host "
    b"x-forwarded-port x-forwarded-proto x-real-ip x-request-id x-requested-with"
).split()

_MAX_KEYS: Final = 512
"""Most field names whose keys are remembered; then it starts afresh."""

_KEYS: Final[dict[bytes, str]] = {}
"""Field names that were seen, each with its environ key; dropped ones never get in."""


def _key(name: bytes) -> str:
    """Work out the environ key of a field, empty if it is dropped, and remember it.

    A name with an underscore would get the key of its hyphen form, so that a client
    could pass ``X_Forwarded_For`` by a proxy that filters ``X-Forwarded-For``: such
    fields are dropped.
    """
    if b"_" in name:
        return ""
    key = name.decode("latin-1").replace("-", "_").upper()
    if name not in (b"content-type", b"content-length"):
        key = "HTTP_" + key
    if len(_KEYS) >= _MAX_KEYS:
        _forget_keys()
    _KEYS[name] = key
    return key


def _forget_keys() -> None:
    """Start the cache afresh: odd names from a peer must not keep useful ones out."""
    _KEYS.clear()
    for name in (b"content-type", b"content-length", *_COMMON_FIELDS):
        _key(name)


_forget_keys()


def constant_environ(
    options: InterfaceOptions, *, multithread: bool, errors: TextIO | None = None
) -> Environ:
    """Make the part of the environ that all requests have in common.

    Args:
        options: For the mount point and the number of workers.
        multithread: Whether the application may be called by two threads at a time.
        errors: Text stream for ``wsgi.errors``; standard error if None.
    """
    return {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SCRIPT_NAME": script_name(options.root_path),
        "SERVER_SOFTWARE": "Granian",
        "wsgi.errors": errors or sys.stderr or open(os.devnull, "w", encoding="utf-8"),
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
        "wsgi.multiprocess": options.workers > 1,
        "wsgi.multithread": multithread,
        "wsgi.run_once": False,
        "wsgi.version": (1, 0),
        # Places of what each request sets. A copy of a dictionary is as large as its
        # original, so that a request's own fields seldom make it grow.
        "SERVER_PROTOCOL": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "0",
        "REMOTE_ADDR": "",
        "REQUEST_METHOD": "",
        "PATH_INFO": "",
        "QUERY_STRING": "",
        "wsgi.url_scheme": "",
        "wsgi.input": None,
    }


def script_name(root_path: str) -> str:
    """Return the SCRIPT_NAME for a URL prefix: empty, or ``/name`` without a final slash."""
    path = root_path.strip("/")
    return "/" + path.encode().decode("latin-1") if path else ""


def path_info(path: str, root: str) -> str:
    """Return the PATH_INFO of a decoded path under the mount point *root*.

    The prefix is cut where it is one, up to the end of a segment. A path without it
    comes from a proxy that has cut it already, and stays as it is.
    """
    if root and path.startswith(root):
        rest = path[len(root) :]
        if not rest or rest[0] == "/":
            return rest
    return path


def request_environ(stream: HTTPStream, constants: Environ, body: Input) -> Environ:
    """Make the environ of one request.

    Args:
        stream: The request.
        constants: From `constant_environ`; not changed.
        body: The ``wsgi.input``.
    """
    memo = stream.memo
    if memo is None:
        environ = _common_environ(stream, constants)
    else:
        known = memo.value
        if type(known) is not dict:
            memo.value = known = _common_environ(stream, constants)
        environ = known.copy()
    environ["REQUEST_METHOD"] = stream.method
    path = stream.path
    if not path.isascii():
        # PEP 3333, "Unicode Issues": the bytes themselves, each as one character.
        path = unquote_to_bytes(stream.raw_path).decode("latin-1")
    root = environ["SCRIPT_NAME"]
    environ["PATH_INFO"] = path_info(path, root) if root else path
    query = stream.query_string
    environ["QUERY_STRING"] = query.decode("latin-1") if query else ""
    environ["wsgi.input"] = body
    return environ


def _common_environ(stream: HTTPStream, constants: Environ) -> Environ:
    """Make the part that requests of one connection with the same fields have in common."""
    environ = constants.copy()
    environ["SERVER_PROTOCOL"] = _PROTOCOLS[stream.http_version]
    environ["wsgi.url_scheme"] = stream.scheme
    server = stream.server
    if server is not None:
        environ["SERVER_NAME"] = server[0]
        environ["SERVER_PORT"] = str(server[1] or 0)
    client = stream.client
    if client is not None:
        environ["REMOTE_ADDR"] = client[0]
        environ["REMOTE_PORT"] = str(client[1] or 0)
    keys = _KEYS
    headers = stream.headers
    size = len(environ) + len(headers)
    try:
        for name, value in headers:
            environ[keys[name]] = value.decode("latin-1")
    except KeyError:
        environ.update(_fields(headers))
    else:
        if len(environ) != size:  # a field was repeated, and the last one overwrote it
            environ.update(_fields(headers))
    if stream.authority is not None:
        # RFC 9112 3.2.2: the authority of an absolute-form target replaces Host.
        environ["HTTP_HOST"] = stream.authority.decode("latin-1")
    return environ


def _fields(headers: Fields) -> dict[str, str]:
    """Return the environ's part for fields of which some are repeated, new or dropped."""
    fields: dict[str, str] = {}
    for name, value in headers:
        key = _KEYS.get(name) or _key(name)
        text = value.decode("latin-1")
        if not key:
            continue
        if key not in fields:
            fields[key] = text
        elif key == "HTTP_COOKIE":
            fields[key] += "; " + text  # RFC 6265 5.4
        elif key != "CONTENT_TYPE":  # not a list: the first one counts
            fields[key] += "," + text  # RFC 9110 5.3
    return fields

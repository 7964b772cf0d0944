"""From what a WSGI application returns to a response.

Rules (PEP 3333):

- `Responder.start_response` only checks and records. The head leaves with the first
  block that is not empty, with the first ``write()``, or at the end; until then
  ``start_response`` may be called late, or again with ``exc_info``.
- Blocks leave one by one, each before the next is asked for. A list or tuple is
  complete, so its length is known and declared.
- What an application hands over is `Any` until it was looked at: compiled, this module would
  else refuse it before it can say what is wrong.
- What goes wrong is raised here, in the application's call, and settled by core: a
  500 if the head has not left, else the response is cut so that it can not pass for
  whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

from granian_core import LocalProtocolError
from granian_wsgi.files import FileWrapper, real_file

if TYPE_CHECKING:
    from granian_core import BlockingStream, Fields

Write: TypeAlias = Callable[[bytes], None]
Status: TypeAlias = tuple[int, bytes | None]
"""Code and reason phrase; without one, the registered phrase is sent."""

_STATUS: Final = re.compile(r"[1-9][0-9]{2}(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_HOP_BY_HOP: Final = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    )
)
"""RFC 2616 13.5.1, which PEP 3333 refers to, and the usual misspellings."""

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}

_MAX_CACHED: Final = 512
_statuses: Final[dict[str, Status]] = {}
_names: Final[dict[str, bytes]] = {}
_fields: Final[dict[tuple[str, str], tuple[bytes, bytes]]] = {}
"""Whole fields that were seen, but for what differs from response to response."""
_MAX_VALUE: Final = 160
_NOT_KEPT: Final = frozenset((b"content-length", b"set-cookie"))

JOIN_LIMIT: Final = 65_536
"""Bytes up to which the items of a list are joined, so that all leaves in one write."""

NOT_STARTED: Final = "the application did not call start_response"


def parse_status(status: Any) -> Status:
    """Return the code and the reason phrase of ``"404 Not Found"``, and remember them.

    Deviation: the code alone is fine too, and gets its registered phrase.

    Raises:
        TypeError: It is not a string.
        LocalProtocolError: It has another form, or holds control characters.
    """
    if not isinstance(status, str):
        raise TypeError(f"the status must be a str, not {type(status).__name__}")
    match = _STATUS.fullmatch(status)
    if match is None:
        raise LocalProtocolError(f"invalid status {status!r}, expected one like '404 Not Found'")
    code, reason = int(status[:3]), match[1]
    if reason is None or reason == _PHRASES.get(code):
        parsed: Status = code, None  # core has the line ready
    else:
        parsed = code, _latin1(reason, "the status")
    if len(_statuses) >= _MAX_CACHED:
        _statuses.clear()
    _statuses[status] = parsed
    return parsed


def encode_headers(headers: Any) -> Fields:
    """Check response fields as PEP 3333 demands and encode them.

    Raises:
        TypeError: They are not a list of ``(str, str)`` tuples.
        LocalProtocolError: A name is not a token or belongs to the server, or a value
            has control characters or characters beyond latin-1.
    """
    if not isinstance(headers, list):
        raise TypeError(f"the headers must be a list, not {type(headers).__name__}")
    fields: Fields = []
    pair: Any  # whatever an application may have put there
    for pair in headers:
        try:
            field = _fields.get(pair)
        except TypeError:  # something in it can not be hashed
            field = None
        fields.append(field or _encode_new(pair))
    return fields


def _encode_new(pair: Any) -> tuple[bytes, bytes]:
    """Encode a field that is not known as a whole; see `_encode_header`."""
    try:
        name, value = pair
        if type(pair) is tuple and type(value) is str and value.isprintable():
            encoded = _names[name]
            field = encoded, value.encode("latin-1")
            if len(value) <= _MAX_VALUE and encoded not in _NOT_KEPT and type(name) is str:
                if len(_fields) >= _MAX_CACHED:
                    _fields.clear()
                _fields[pair] = field
            return field
    except (KeyError, TypeError, ValueError):
        pass  # new, or wrong: looked at more closely
    return _encode_header(pair)


def _encode_header(pair: Any) -> tuple[bytes, bytes]:
    """Check and encode one field, or say what is wrong with it."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise TypeError(f"a header must be a tuple of two str, not {pair!r}")
    name, value = pair
    if not isinstance(name, str):
        raise TypeError(f"a header name must be a str, not {name!r}")
    if not isinstance(value, str):
        raise TypeError(f"the value of the header {name!r} must be a str, not {value!r}")
    if _CONTROL.search(value):
        raise LocalProtocolError(f"control character in the header {name!r}")
    return _field_name(name), _latin1(value, f"the header {name!r}")


def _field_name(name: str) -> bytes:
    if not _TOKEN.fullmatch(name):
        raise LocalProtocolError(f"invalid header name {name!r}")
    lower = name.lower()
    if lower in _HOP_BY_HOP:
        raise LocalProtocolError(f"the header {name!r} belongs to the server (PEP 3333)")
    encoded = lower.encode("ascii")
    if len(_names) >= _MAX_CACHED:
        _names.clear()
    _names[name] = encoded
    return encoded


def _check_block(block: object) -> None:
    if not isinstance(block, bytes):
        raise TypeError(f"the application must yield bytes, not {type(block).__name__}")


def _latin1(text: str, what: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as exc:
        raise LocalProtocolError(f"{what} has characters beyond latin-1") from exc


class Responder:
    """The response side of one call of an application."""

    __slots__ = ("_fields", "_head_sent", "_status", "_stream")

    def __init__(self, stream: BlockingStream) -> None:
        self._stream = stream
        self._status: Status | None = None
        self._fields: Fields = []
        self._head_sent = False

    def start_response(self, status: Any, headers: Any, exc_info: Any = None) -> Write:
        """Take the response's status and fields; nothing is sent yet.

        Args:
            status: Code and reason phrase, a str such as ``"200 OK"``.
            headers: Fields, a list of ``(str, str)`` tuples, without the hop-by-hop ones.
            exc_info: Of the error that this response is about, as from ``sys.exc_info()``. It
                replaces what was given before; if that has been sent already, the error is
                raised again.

        Returns:
            The ``write`` callable.

        Raises:
            TypeError: An argument has a wrong type.
            LocalProtocolError: An argument has a wrong value, or this is a second call
                without *exc_info*.
        """
        if exc_info:
            try:
                if self._head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # breaks the circle of frame and traceback
        elif self._status is not None:
            raise LocalProtocolError("start_response was called again without exc_info")
        parsed = _statuses.get(status) or parse_status(status)
        # A call that fails must have no effect.
        self._fields = encode_headers(headers)
        self._status = parsed
        return self.write

    def early_hints(self, headers: Any) -> None:
        """Send 103 Early Hints (RFC 8297): the environ's ``wsgi.early_hints``.

        May be called any number of times before the head leaves; clients of HTTP/1.0 get none.

        Args:
            headers: Fields, such as ``[("Link", "</a.css>; rel=preload; as=style")]``.

        Raises:
            TypeError: They are not a list of ``(str, str)`` tuples.
            LocalProtocolError: A field is invalid, or the response has started.
        """
        self._stream.inform(103, encode_headers(headers))

    def write(self, data: Any) -> None:
        """Send a block at once: the imperative way that PEP 3333 keeps for old code.

        Raises:
            TypeError: It is not bytes.
            ClientDisconnected: The client is gone.
        """
        _check_block(data)
        if not self._head_sent:
            self._send_head()
        self._stream.write(data)

    def send(self, result: Any) -> None:
        """Send what the application returned. The caller closes it."""
        if type(result) is list or type(result) is tuple:
            if len(result) == 1 and type(result[0]) is bytes and not self._head_sent:
                self._send_whole(result[0])
            else:
                self._send_sequence(result)
        elif type(result) is FileWrapper and (found := real_file(result)) is not None:
            self._send_file(*found)
        else:
            self._send_blocks(result)

    # -- the three kinds of result ---------------------------------------------

    def _send_sequence(self, blocks: Sequence[Any]) -> None:
        for block in blocks:
            _check_block(block)
        length = sum(map(len, blocks))
        if length > JOIN_LIMIT and not self._head_sent:
            self._send_head(length)
            self._send_rest(blocks)
            return
        body = b"".join(blocks)
        if self._head_sent:
            self._stream.write(body)
            self._stream.finish()
        else:
            self._send_whole(body)

    def _send_blocks(self, blocks: Iterable[Any]) -> None:
        iterator = iter(blocks)
        for block in iterator:
            if type(block) is not bytes:
                _check_block(block)
            if block:
                break
        else:
            block = b""
        if not self._head_sent and (not block or self._declared_length() == len(block)):
            # All there may be: head and body in one write.
            self._send_whole(block)
            self._refuse_rest(iterator)
            return
        if not self._head_sent:
            self._send_head()
        self._stream.write(block)
        self._send_rest(iterator)

    def _send_rest(self, blocks: Iterable[Any]) -> None:
        write = self._stream.write
        for block in blocks:
            if type(block) is not bytes:
                _check_block(block)
            if block:
                write(block)
        self._stream.finish()

    @staticmethod
    def _refuse_rest(blocks: Iterable[Any]) -> None:
        for block in blocks:
            _check_block(block)
            if block:
                raise LocalProtocolError("the response body is longer than its Content-Length")

    def _send_file(self, file: BinaryIO, left: int) -> None:
        declared = self._declared_length()
        if not self._head_sent:
            self._send_head(left)
        if not self._is_bodiless():
            # PEP 3333: to the end of the file, or until Content-Length bytes are sent.
            self._stream.send_file(file, left if declared is None else min(left, declared))
        self._stream.finish()

    # -- heads -----------------------------------------------------------------

    def _send_whole(self, body: bytes) -> None:
        status = self._status
        if status is None:
            raise LocalProtocolError(NOT_STARTED)
        self._head_sent = True
        self._stream.respond(status[0], self._fields, body, reason=status[1])

    def _send_head(self, length: int | None = None) -> None:
        """Send the head, with the body's *length* where the application gave none."""
        status = self._status
        if status is None:
            raise LocalProtocolError(NOT_STARTED)
        if length is not None and self._declared_length() is None:
            self._fields.append((b"content-length", b"%d" % length))
        self._head_sent = True
        self._stream.start(status[0], self._fields, reason=status[1])

    def _is_bodiless(self) -> bool:
        code = self._status[0] if self._status is not None else 0
        return self._stream.stream.method == "HEAD" or code in (204, 304)

    def _declared_length(self) -> int | None:
        for name, value in self._fields:
            if name == b"content-length" and value.isdigit():
                return int(value)
        return None

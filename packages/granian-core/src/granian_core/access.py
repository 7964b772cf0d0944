r"""The access log: one record per request, on the logger ``granian.access``.

A format is an ordinary ``%``-format over named *atoms*. It is checked and compiled once,
when the server starts; a request computes only the atoms that the format names. Without
an access log nothing of this runs.

======================  =============================================================
``addr``                client address without the port, empty on a unix socket
``time``                local time at the start of the request, with its UTC offset
``dt_ms``               duration until the application finished, milliseconds (float)
``status``              status sent (int); 500 if none was
``path``                percent-decoded, without the query
``query_string``        as sent, without the ``?``
``method``              as sent
``scheme``              ``http`` or ``https``
``protocol``            ``HTTP/1`` (that is 1.0), ``HTTP/1.1``, ``HTTP/2``
``header{Name}``        a request header field, decoded as Latin-1, ``-`` if absent
======================  =============================================================

A repeated header field is logged as RFC 9110 §5.3 combines it: the values in order,
joined with ``", "``, for all interfaces alike.

What the peer controls can not forge a line: control and other unprintable characters,
``"`` and ``\`` are written as escapes (``\n``, ``\x1b``, ``\"``, ``\\``).
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, TypeAlias

from granian_core.errors import ConfigurationError
from granian_core.log import ACCESS_LOGGER, access_logger
from granian_core.log import DEFAULT_ACCESSLOG_FMT as DEFAULT_ACCESS_LOG_FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable

    from granian_core.stream import Address, HTTPStream

__all__ = ["DEFAULT_ACCESS_LOG_FORMAT", "AccessLogger", "compile_access_log"]

AtomValue: TypeAlias = "str | int | float"
Atom: TypeAlias = "Callable[[HTTPStream, float], AtomValue]"

TIME_FORMAT = "%Y-%m-%d %H:%M:%S %z"
ABSENT = "-"

_PROTOCOLS = {"1.0": "HTTP/1", "1.1": "HTTP/1.1", "2": "HTTP/2"}
_HEADER_ATOM = re.compile(r"header\{([!#$%&'*+.^_`|~0-9A-Za-z-]+)\}")


def compile_access_log(fmt: str = DEFAULT_ACCESS_LOG_FORMAT) -> AccessLogger:
    """Check *fmt* and prepare what it needs.

    Raises:
        ConfigurationError: An atom is unknown, or the format is broken.
    """
    names = _atom_names(fmt)
    # logging passes a mapping on to the format only if it is not empty.
    return AccessLogger(fmt, tuple((name, _atom(name)) for name in names or ("status",)))


class AccessLogger:
    """A compiled format. Make one with `compile_access_log`."""

    __slots__ = ("_atoms", "fmt")

    def __init__(self, fmt: str, atoms: tuple[tuple[str, Atom], ...]) -> None:
        self.fmt = fmt
        self._atoms = atoms

    @property
    def names(self) -> tuple[str, ...]:
        """The atoms that a line needs."""
        return tuple(name for name, _ in self._atoms)

    def log(self, stream: HTTPStream, duration_s: float) -> None:
        """Emit the record of one exchange.

        Args:
            stream: The exchange; its ``started_at`` is set.
            duration_s: Seconds until the application finished.
        """
        if access_logger.isEnabledFor(logging.INFO):
            self._emit({name: atom(stream, duration_s) for name, atom in self._atoms})

    def log_rejected(self, client: Address | None, status: int, started_at: float) -> None:
        """Emit the record of a request that was refused before it became a stream.

        Args:
            client: The peer's address.
            status: The status that answered it.
            started_at: Seconds since the epoch.
        """
        if not access_logger.isEnabledFor(logging.INFO):
            return
        known: dict[str, AtomValue] = {
            "addr": _address(client),
            "time": _local_time(started_at),
            "dt_ms": 0.0,
            "status": status,
        }
        self._emit({name: known.get(name, ABSENT) for name, _ in self._atoms})

    def _emit(self, values: dict[str, AtomValue]) -> None:
        # What access_logger.info does, without looking up its caller: a third of the cost.
        record = access_logger.makeRecord(
            ACCESS_LOGGER, logging.INFO, __file__, 0, self.fmt, (values,), None
        )
        access_logger.handle(record)


# -- compiling -------------------------------------------------------------------


class _Recorder:
    """Stands in for the atoms in a trial: notes the names that a format asks for.

    Python's own ``%`` is the judge of the format, so that nothing is accepted here that
    fails later. ``%s`` without a name would format the whole mapping: that asks for the
    text of this object.
    """

    def __init__(self) -> None:
        self.names: dict[str, None] = {}

    def __getitem__(self, name: str) -> AtomValue:
        if name not in _ATOMS and not _HEADER_ATOM.fullmatch(name):
            raise KeyError(name)
        self.names[name] = None
        return _SAMPLES.get(name, "text")

    def __repr__(self) -> str:
        raise ValueError("every conversion needs the name of an atom")


def _atom_names(fmt: str) -> tuple[str, ...]:
    recorder = _Recorder()
    try:
        fmt % recorder
    except KeyError as exc:
        known = ", ".join([*_ATOMS, "header{Name}"])
        remedy = f"unknown atom {exc.args[0]!r}; the atoms are {known}"
        raise ConfigurationError("--access-log-fmt", fmt, remedy) from exc
    except (ValueError, TypeError, OverflowError) as exc:
        remedy = f"not a valid format: {exc}"
        raise ConfigurationError("--access-log-fmt", fmt, remedy) from exc
    return tuple(recorder.names)


def _atom(name: str) -> Atom:
    header = _HEADER_ATOM.fullmatch(name)
    return _header_atom(header[1].lower().encode("ascii")) if header else _ATOMS[name]


# -- atoms -----------------------------------------------------------------------


def escape(text: str) -> str:
    """Return *text* so that it can not end a line, a quoted field, or drive a terminal."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join([_escape_character(character) for character in text])


def _escape_character(character: str) -> str:
    if character == '"':
        return '\\"'
    if character == "\\" or not character.isprintable():
        return character.encode("unicode_escape").decode("ascii")
    return character


def _address(client: Address | None) -> str:
    return escape(client[0]) if client else ""


class _LastSecond:
    """The formatted text of the last second that was asked for."""

    value: tuple[int, str] = (-1, "")


def _local_time(seconds: float) -> str:
    # One text serves all requests of a second: strftime costs more than the rest of a line.
    second = int(seconds)
    known, text = _LastSecond.value
    if known != second:
        text = time.strftime(TIME_FORMAT, time.localtime(second))
        _LastSecond.value = (second, text)  # one assignment: safe from several threads
    return text


def _header_atom(name: bytes) -> Atom:
    def atom(stream: HTTPStream, duration_s: float) -> str:
        values = [value for key, value in stream.headers if key == name]
        if not values:
            return ABSENT
        return escape(b", ".join(values).decode("latin-1").strip())

    return atom


_ATOMS: dict[str, Atom] = {
    "addr": lambda stream, duration_s: _address(stream.log_client),
    "time": lambda stream, duration_s: _local_time(stream.started_at),
    "dt_ms": lambda stream, duration_s: duration_s * 1000.0,
    "status": lambda stream, duration_s: stream.status or 500,
    "path": lambda stream, duration_s: escape(stream.path),
    "query_string": lambda stream, duration_s: escape(stream.query_string.decode("latin-1")),
    "method": lambda stream, duration_s: escape(stream.method),
    "scheme": lambda stream, duration_s: escape(stream.log_scheme),
    "protocol": lambda stream, duration_s: _PROTOCOLS[stream.http_version],
}

_SAMPLES: dict[str, AtomValue] = {"dt_ms": 1.0, "status": 200}

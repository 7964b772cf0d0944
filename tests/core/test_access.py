"""The access log: atoms, what a format may be, and what a peer can not do to it."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from granian_core.access import DEFAULT_ACCESS_LOG_FORMAT, compile_access_log, escape
from granian_core.errors import ConfigurationError
from granian_core.log import access_logger
from granian_core.stream import Carrier, Fields, HTTPStream

STARTED_AT = 1_700_000_000.75


class Collector(logging.Handler):
    """Keeps the records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Collect what goes to granian.access."""
    handler = Collector()
    level, propagate = access_logger.level, access_logger.propagate
    access_logger.addHandler(handler)
    access_logger.setLevel(logging.INFO)
    access_logger.propagate = False
    yield handler
    access_logger.removeHandler(handler)
    access_logger.setLevel(level)
    access_logger.propagate = propagate


def make_stream(**changes: Any) -> HTTPStream:
    """Make an answered stream; *changes* are constructor arguments or attributes."""
    headers: Fields = [(b"host", b"example.com"), (b"user-agent", b"curl/8")]
    arguments: dict[str, Any] = {
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"x=1&y",
        "authority": None,
        "headers": headers,
        "client": ("192.0.2.7", 4321),
        "server": ("127.0.0.1", 8000),
        "tls": None,
    }
    attributes = {"status": 200, "started_at": STARTED_AT}
    for name, value in changes.items():
        (arguments if name in arguments else attributes)[name] = value
    stream = HTTPStream(cast("Carrier", None), **arguments, has_body=False, expects_continue=False)
    for name, value in attributes.items():
        setattr(stream, name, value)
    return stream


def logged(collector: Collector, fmt: str, duration_s: float = 0.25, **changes: Any) -> str:
    compile_access_log(fmt).log(make_stream(**changes), duration_s)
    return collector.lines[-1]


def test_default_format_is_one_info_record_with_a_dict(collector: Collector) -> None:
    """The format is the record's message and its arguments are the atoms."""
    compile_access_log().log(make_stream(), 0.0123456)

    (record,) = collector.records
    assert record.name == "granian.access"
    assert record.levelno == logging.INFO
    assert record.msg == DEFAULT_ACCESS_LOG_FORMAT
    assert isinstance(record.args, dict)
    assert record.args["status"] == 200
    stamp = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(STARTED_AT))
    assert record.getMessage() == f'[{stamp}] 192.0.2.7 - "GET /a b HTTP/1.1" 200 12.346'


@pytest.mark.parametrize(
    ("atom", "expected"),
    [
        ("%(addr)s", "192.0.2.7"),
        ("%(dt_ms).1f", "250.0"),
        ("%(status)d", "200"),
        ("%(path)s", "/a b"),
        ("%(query_string)s", "x=1&y"),
        ("%(method)-5s|", "GET  |"),
        ("%(scheme)s", "http"),
        ("%(protocol)s", "HTTP/1.1"),
        ("%(header{User-Agent})s", "curl/8"),
        ("%(header{HOST})s", "example.com"),
        ("%(header{X-Absent})s", "-"),
        ("100%% %(status)s", "100% 200"),
    ],
)
def test_atom_has_its_value(collector: Collector, atom: str, expected: str) -> None:
    """Each atom alone."""
    assert logged(collector, atom) == expected


@pytest.mark.parametrize(
    ("atom", "change", "expected"),
    [
        pytest.param("%(addr)s", {"client": None}, "", id="unix-client"),
        pytest.param("%(addr)s", {"client": ("::1", 5)}, "::1", id="v6-client"),
        pytest.param("%(status)d", {"status": 0}, "500", id="nothing-sent"),
        pytest.param("%(protocol)s", {"http_version": "1.0"}, "HTTP/1", id="1.0"),
        pytest.param("%(protocol)s", {"http_version": "2"}, "HTTP/2", id="2"),
        pytest.param("%(query_string)s|", {"query_string": b""}, "|", id="no-query"),
        pytest.param("%(addr)s", {"log_client": ("10.1.1.1", 0)}, "10.1.1.1", id="proxied"),
        pytest.param("%(scheme)s", {"log_scheme": "https"}, "https", id="proxied-scheme"),
        pytest.param(
            "%(header{A})s",
            {"headers": [(b"a", b" 1 "), (b"b", b""), (b"a", b"2")]},
            "1 , 2",
            id="repeated-header",
        ),
        pytest.param("%(header{A})s|", {"headers": [(b"a", b"  ")]}, "|", id="empty-header"),
        pytest.param("%(header{A})s", {"headers": [(b"a", b"caf\xe9")]}, "café", id="latin-1"),
    ],
)
def test_atom_in_special_cases(
    collector: Collector, atom: str, change: dict[str, Any], expected: str
) -> None:
    """Where a request differs from the plain one."""
    assert logged(collector, atom, **change) == expected


def test_only_the_atoms_of_the_format_are_computed(collector: Collector) -> None:
    """The record has the named atoms and no other."""
    logged(collector, "%(status)d %(status)s %(header{Host})s")
    assert collector.records[0].args == {"status": 200, "header{Host}": "example.com"}


def test_format_without_atoms_is_logged_as_it_is(collector: Collector) -> None:
    """A constant line is a poor access log but not a broken one."""
    assert logged(collector, "hit 100%%") == "hit 100%"


def test_time_follows_the_second_of_the_start(collector: Collector) -> None:
    """The text of one second is reused and no longer."""
    for offset in (0.0, 0.2, 1.0, 60.0, 0.0):
        logged(collector, "%(time)s", started_at=STARTED_AT + offset)
    expected = [
        time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(STARTED_AT + offset))
        for offset in (0, 0, 1, 60, 0)
    ]
    assert collector.lines == expected
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}", expected[0])


def test_switched_off_logger_computes_nothing(collector: Collector) -> None:
    """With the logger above INFO no atom is touched."""
    access_logger.setLevel(logging.WARNING)
    logger = compile_access_log("%(path)s")
    logger.log(cast("HTTPStream", None), 0.0)
    logger.log_rejected(None, 400, STARTED_AT)
    assert collector.records == []


def test_rejected_request_is_logged_with_dashes(collector: Collector) -> None:
    """What never became a stream has an address, a time and a status; the rest is absent."""
    logger = compile_access_log("%(header{Host})s " + DEFAULT_ACCESS_LOG_FORMAT)
    logger.log_rejected(("192.0.2.7", 1), 431, STARTED_AT)

    stamp = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(STARTED_AT))
    assert collector.lines == [f'- [{stamp}] 192.0.2.7 - "- - -" 431 0.000']


@pytest.mark.parametrize(
    ("fmt", "message"),
    [
        pytest.param("%(nope)s", "unknown atom 'nope'; the atoms are addr, time", id="unknown"),
        pytest.param("%(header{})s", "unknown atom 'header{}'", id="empty-header"),
        pytest.param("%(header{a b})s", "unknown atom", id="not-a-token"),
        pytest.param("%(header{a)s", "unknown atom", id="no-brace"),
        pytest.param("%(path)d", "not a valid format: .*number", id="number-of-text"),
        pytest.param("%(header{Host})d", "not a valid format: .*number", id="header-number"),
        pytest.param("%(path", "not a valid format: incomplete", id="incomplete"),
        pytest.param("%(path)", "not a valid format: incomplete", id="no-conversion"),
        pytest.param("%(path)y", "not a valid format: unsupported", id="bad-conversion"),
        pytest.param("%s", "every conversion needs the name", id="no-name"),
        pytest.param("%(path)s %r", "not a valid format: not enough", id="no-name-later"),
        pytest.param("%d", "not a valid format", id="no-name-number"),
        pytest.param("%*d", "not a valid format", id="star"),
        pytest.param("50% off", "not a valid format", id="bare-percent"),
    ],
)
def test_broken_format_is_a_configuration_error_at_the_start(fmt: str, message: str) -> None:
    """Nothing that would fail per request is accepted."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        compile_access_log(fmt)
    assert caught.value.option == "--access-log-fmt"
    assert caught.value.value == fmt


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("/plain/é/漢字", "/plain/é/漢字", id="printable"),
        pytest.param("a\r\nb", r"a\r\nb", id="line-ends"),
        pytest.param("a\x1b[31mb\x00\x7f", r"a\x1b[31mb\x00\x7f", id="terminal"),
        pytest.param('a" 200 "', r"a\" 200 \"", id="quotes"),
        pytest.param(r"a\nb", r"a\\nb", id="backslash"),
        pytest.param("a\u2028b\u202ec", r"a\u2028b\u202ec", id="unicode-lines-and-bidi"),
        pytest.param("\x85\xa0", r"\x85\xa0", id="c1"),
        pytest.param("\udcff", r"\udcff", id="surrogate"),
        pytest.param("\U000e0001", r"\U000e0001", id="astral"),
    ],
)
def test_escape_leaves_one_harmless_line(text: str, expected: str) -> None:
    """What can not be printed, or would end a field, is written as an escape."""
    assert escape(text) == expected
    assert escape(text).isprintable()


@pytest.mark.parametrize(
    ("atom", "change"),
    [
        ("%(path)s", {"path": "/\n[fake]"}),
        ("%(query_string)s", {"query_string": b"\n[fake]"}),
        ("%(addr)s", {"log_client": ("\n[fake]", 0)}),
        ("%(scheme)s", {"log_scheme": "\n[fake]"}),
        ("%(method)s", {"method": "\n[fake]"}),
        ("%(header{A})s", {"headers": [(b"a", b"x\n[fake]")]}),
    ],
)
def test_no_atom_can_forge_a_line(collector: Collector, atom: str, change: dict[str, Any]) -> None:
    """Every text that comes from the network is escaped."""
    assert logged(collector, atom, **change).endswith(r"\n[fake]")

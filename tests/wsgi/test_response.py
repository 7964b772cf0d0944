"""What applications may do with ``start_response`` and their result, call by call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from granian_core import LocalProtocolError
from granian_wsgi import FileWrapper, response
from granian_wsgi.response import JOIN_LIMIT, Responder, encode_headers, parse_status
from tests.wsgi.support import RecordingStream, blocking

OK = "200 OK"
PLAIN = [("Content-Type", "text/plain")]
FIELDS = [(b"content-type", b"text/plain")]


class Exchange:
    """A responder over a stream that records."""

    def __init__(self, method: str = "GET") -> None:
        self.stream = RecordingStream(method)
        self.responder = Responder(blocking(self.stream))
        self.start = self.responder.start_response

    def send(self, result: Any) -> list[tuple[object, ...]]:
        self.responder.send(result)
        return self.stream.calls


def error() -> Any:
    """Return the ``exc_info`` of an error that an application handles."""
    try:
        raise KeyError("lost")
    except KeyError:
        info = sys.exc_info()
        assert info[0] is not None
        return info


# -- start_response ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("200 OK", (200, None)),  # the registered phrase: core has that line ready
        ("404 Nothing here, sorry", (404, b"Nothing here, sorry")),
        ("999 ", (999, b"")),
        ("418 Caf\xe9", (418, b"Caf\xe9")),
        ("204", (204, None)),
    ],
)
def test_status_keeps_its_reason(status: str, expected: tuple[int, bytes | None]) -> None:
    assert parse_status(status) == expected
    exchange = Exchange()
    exchange.start(status, PLAIN)
    assert exchange.send([b""]) == [("respond", *expected, FIELDS, b"")]


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (200, TypeError, "the status must be a str, not int"),
        (b"200 OK", TypeError, "the status must be a str, not bytes"),
        (None, TypeError, "the status must be a str, not NoneType"),
        ("", LocalProtocolError, "invalid status ''"),
        ("OK", LocalProtocolError, "invalid status 'OK'"),
        ("20 OK", LocalProtocolError, "invalid status '20 OK'"),
        ("2000 OK", LocalProtocolError, "invalid status '2000 OK'"),
        ("200OK", LocalProtocolError, "invalid status '200OK'"),
        ("200\tOK", LocalProtocolError, "invalid status"),
        ("200 OK\r\nX: y", LocalProtocolError, "invalid status"),
        ("200 O\0K", LocalProtocolError, "invalid status"),
        ("\u0662\u0660\u0660 OK", LocalProtocolError, "invalid status"),
        ("200 \u20ac", LocalProtocolError, "the status has characters beyond latin-1"),
    ],
)
def test_bad_status_is_refused(status: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        Exchange().start(status, PLAIN)


def test_headers_are_encoded_in_order_with_repeats() -> None:
    headers = [("Set-Cookie", "a=1"), ("X-Latin", "caf\xe9\t!"), ("Set-Cookie", "b=2")]

    assert encode_headers(headers) == [
        (b"set-cookie", b"a=1"),
        (b"x-latin", b"caf\xe9\t!"),
        (b"set-cookie", b"b=2"),
    ]


@pytest.mark.parametrize(
    ("headers", "kind", "message"),
    [
        pytest.param(tuple(PLAIN), TypeError, "must be a list, not tuple", id="tuple"),
        pytest.param(dict(PLAIN), TypeError, "must be a list, not dict", id="dict"),
        pytest.param(None, TypeError, "must be a list, not NoneType", id="none"),
        pytest.param([["A", "b"]], TypeError, "must be a tuple of two str", id="list-pair"),
        pytest.param([("A", "b", "c")], TypeError, "must be a tuple of two str", id="triple"),
        pytest.param(["AB"], TypeError, "must be a tuple of two str", id="string"),
        pytest.param([("A", 1)], TypeError, "value of the header 'A' must be a str", id="int"),
        pytest.param([("A", b"b")], TypeError, "value of the header 'A' must be a str", id="bytes"),
        pytest.param([(b"A", "b")], TypeError, "a header name must be a str", id="bytes-name"),
        pytest.param([("", "b")], LocalProtocolError, "invalid header name ''", id="no-name"),
        pytest.param([("A:", "b")], LocalProtocolError, "invalid header name", id="colon"),
        pytest.param([("A B", "b")], LocalProtocolError, "invalid header name", id="space"),
        pytest.param([("A\n", "b")], LocalProtocolError, "invalid header name", id="lf-in-name"),
        pytest.param([("\xc4", "b")], LocalProtocolError, "invalid header name", id="latin-name"),
        pytest.param([("A", "b\r\nC: d")], LocalProtocolError, "control character", id="crlf"),
        pytest.param([("A", "b\n")], LocalProtocolError, "control character", id="lf-at-the-end"),
        pytest.param([("A", "b\0")], LocalProtocolError, "control character", id="nul"),
        pytest.param([("A", "\u20ac")], LocalProtocolError, "beyond latin-1", id="euro"),
        *(
            pytest.param([(name, "x")], LocalProtocolError, "belongs to the server", id=name)
            for name in (
                "Connection",
                "keep-alive",
                "Proxy-Authenticate",
                "Proxy-Authorization",
                "TE",
                "Trailer",
                "Trailers",
                "TRANSFER-ENCODING",
                "Upgrade",
            )
        ),
    ],
)
def test_bad_headers_are_refused(headers: Any, kind: type[Exception], message: str) -> None:
    exchange = Exchange()

    with pytest.raises(kind, match=message):
        exchange.start(OK, headers)

    # A refused call has no effect: the application can still answer otherwise.
    exchange.start(OK, PLAIN)
    assert exchange.send([b"x"]) == [("respond", 200, None, FIELDS, b"x")]


def test_headers_may_change_after_the_call_without_effect() -> None:
    exchange = Exchange()
    headers = list(PLAIN)
    exchange.start(OK, headers)
    headers.append(("X-Late", "1"))

    assert exchange.send([b"x"]) == [("respond", 200, None, FIELDS, b"x")]


def test_second_call_without_exc_info_is_refused() -> None:
    exchange = Exchange()
    exchange.start(OK, PLAIN)

    with pytest.raises(LocalProtocolError, match="called again without exc_info"):
        exchange.start("404 Not Found", PLAIN)


def test_exc_info_replaces_what_has_not_left_yet() -> None:
    exchange = Exchange()
    exchange.start(OK, PLAIN)

    exchange.start("500 Oops", [], error())

    assert exchange.send([b"sorry"]) == [("respond", 500, b"Oops", [], b"sorry")]


def test_exc_info_is_fine_in_the_first_call() -> None:
    exchange = Exchange()
    exchange.start("500 Oops", PLAIN, error())

    assert exchange.send([]) == [("respond", 500, b"Oops", FIELDS, b"")]


def test_exc_info_may_be_that_of_no_error() -> None:
    """What ``sys.exc_info()`` returns where nothing is handled."""
    exchange = Exchange()
    exchange.start(OK, PLAIN)
    exchange.start("500 Oops", PLAIN, sys.exc_info())

    assert exchange.send([]) == [("respond", 500, b"Oops", FIELDS, b"")]


def test_exc_info_is_raised_once_the_head_has_left() -> None:
    exchange = Exchange()
    exchange.start(OK, PLAIN)(b"sent")
    info = error()

    with pytest.raises(KeyError, match="lost") as caught:
        exchange.start("500 Oops", [], info)

    assert caught.value is info[1]
    assert "error" in [entry.name for entry in caught.traceback]  # its own, not only ours
    assert exchange.stream.calls == [("start", 200, None, FIELDS), ("write", b"sent")]


def test_caches_are_bounded() -> None:
    for number in range(2 * response._MAX_CACHED):
        parse_status(f"200 Number {number}")
        encode_headers([(f"X-{number}", ""), ("X-Number", f"{number}")])
        assert len(response._statuses) <= response._MAX_CACHED
        assert len(response._names) <= response._MAX_CACHED
        assert len(response._fields) <= response._MAX_CACHED


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(("Set-Cookie", "secret"), id="cookie"),
        pytest.param(("Content-Length", "12345"), id="length"),
        pytest.param(("X-Long", "x" * 161), id="long"),
    ],
)
def test_fields_of_one_response_are_not_kept(pair: tuple[str, str]) -> None:
    first, second = encode_headers([pair]), encode_headers([pair])
    assert first == second == [(pair[0].lower().encode(), pair[1].encode())]
    assert pair not in response._fields


def test_field_that_was_seen_is_known_as_it_was() -> None:
    name, value = "X-Known", "va" + "lue"
    for _ in range(3):
        assert encode_headers([(name, value), ("X-Known", "other")]) == [
            (b"x-known", b"value"),
            (b"x-known", b"other"),
        ]
    assert response._fields[name, value] == (b"x-known", b"value")


# -- write() -----------------------------------------------------------------------


def test_write_sends_the_head_and_then_what_follows() -> None:
    exchange = Exchange()
    write = exchange.start(OK, PLAIN)
    assert exchange.stream.calls == []

    write(b"one")
    write(b"two")

    assert exchange.send([b"three"]) == [
        ("start", 200, None, FIELDS),
        ("write", b"one"),
        ("write", b"two"),
        ("write", b"three"),
        ("finish",),
    ]


@pytest.mark.parametrize("result", [[], (), [b""], iter(()), iter((b"", b""))])
def test_write_alone_is_enough(result: Iterable[bytes]) -> None:
    exchange = Exchange()
    exchange.start(OK, PLAIN)(b"all")

    calls = [call for call in exchange.send(result) if call != ("write", b"")]

    assert calls == [("start", 200, None, FIELDS), ("write", b"all"), ("finish",)]


def test_empty_write_sends_the_head() -> None:
    exchange = Exchange()
    exchange.start(OK, PLAIN)(b"")

    assert exchange.stream.calls[0] == ("start", 200, None, FIELDS)


@pytest.mark.parametrize("data", ["text", None, bytearray(b"x"), 1])
def test_write_takes_bytes_only(data: Any) -> None:
    exchange = Exchange()
    write = exchange.start(OK, PLAIN)

    with pytest.raises(TypeError, match=f"must yield bytes, not {type(data).__name__}"):
        write(data)

    assert exchange.stream.calls == []


# -- results -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "body"),
    [
        ([b"one"], b"one"),
        ((b"one",), b"one"),
        ([b"one", b"", b"two"], b"onetwo"),
        ((b"one", b"two"), b"onetwo"),
        ([], b""),
        ((), b""),
        ([b""], b""),
        ([b"x" * (JOIN_LIMIT + 1)], b"x" * (JOIN_LIMIT + 1)),
        ([b"x"] * JOIN_LIMIT, b"x" * JOIN_LIMIT),
    ],
    ids=["list", "tuple", "joined", "joined-tuple", "empty", "empty-tuple", "blank", "big", "many"],
)
def test_sequences_leave_in_one_write(result: Any, body: bytes) -> None:
    exchange = Exchange()
    exchange.start(OK, PLAIN)

    assert exchange.send(result) == [("respond", 200, None, FIELDS, body)]


def test_long_sequences_are_not_copied_but_their_length_is_declared() -> None:
    exchange = Exchange()
    exchange.start(OK, [])

    assert exchange.send([b"x" * JOIN_LIMIT, b"", b"y"]) == [
        ("start", 200, None, [(b"content-length", b"65537")]),
        ("write", b"x" * JOIN_LIMIT),
        ("write", b"y"),
        ("finish",),
    ]


def test_long_sequences_keep_a_length_of_the_application() -> None:
    exchange = Exchange()
    exchange.start(OK, [("Content-Length", "3")])

    assert exchange.send([b"x" * JOIN_LIMIT, b"y"])[0] == (
        "start",
        200,
        None,
        [(b"content-length", b"3")],
    )


def test_blocks_leave_one_by_one() -> None:
    """PEP 3333: a block is transmitted before the next one is asked for."""
    exchange = Exchange()
    seen: list[int] = []

    def application() -> Iterator[bytes]:
        for block in (b"", b"one", b"", b"two"):
            seen.append(len(exchange.stream.calls))
            yield block

    exchange.start(OK, PLAIN)
    assert exchange.send(application()) == [
        ("start", 200, None, FIELDS),
        ("write", b"one"),
        ("write", b"two"),
        ("finish",),
    ]
    assert seen == [0, 0, 2, 2]


def test_start_response_may_come_with_the_first_block() -> None:
    exchange = Exchange()

    def application() -> Iterator[bytes]:
        yield b""
        exchange.start("201 Created", PLAIN)
        yield b"late"

    assert exchange.send(application()) == [
        ("start", 201, None, FIELDS),
        ("write", b"late"),
        ("finish",),
    ]


def test_start_response_may_come_at_the_very_end() -> None:
    exchange = Exchange()

    def application() -> Iterator[bytes]:
        yield b""
        exchange.start("202 Accepted", PLAIN)

    assert exchange.send(application()) == [("respond", 202, None, FIELDS, b"")]


def test_exc_info_within_iteration() -> None:
    exchange = Exchange()

    def application() -> Iterator[bytes]:
        exchange.start(OK, PLAIN)
        yield b""
        exchange.start("500 Oops", [], error())
        yield b"sorry"

    assert exchange.send(application())[0] == ("start", 500, b"Oops", [])


def test_write_within_iteration() -> None:
    exchange = Exchange()

    def application() -> Iterator[bytes]:
        write = exchange.start(OK, PLAIN)
        yield b""
        write(b"one")
        yield b"two"

    assert exchange.send(application())[1:] == [("write", b"one"), ("write", b"two"), ("finish",)]


def test_one_block_of_the_declared_length_leaves_with_its_head() -> None:
    exchange = Exchange()
    exchange.start(OK, [("Content-Length", "3")])

    assert exchange.send(iter([b"", b"abc", b""])) == [
        ("respond", 200, None, [(b"content-length", b"3")], b"abc")
    ]


def test_block_behind_the_declared_length_is_refused() -> None:
    exchange = Exchange()
    exchange.start(OK, [("Content-Length", "3")])

    with pytest.raises(LocalProtocolError, match="longer than its Content-Length"):
        exchange.send(iter([b"abc", b"d"]))


def test_iterable_without_blocks() -> None:
    exchange = Exchange()
    exchange.start("204 No Content", [])

    assert exchange.send(iter(())) == [("respond", 204, None, [], b"")]


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(list, id="empty"),
        pytest.param(lambda: [b"x"], id="list"),
        pytest.param(lambda: [b"x" * 100_000, b"y"], id="long-list"),
        pytest.param(lambda: iter([b"x"]), id="iterator"),
        pytest.param(lambda: iter([]), id="empty-iterator"),
        pytest.param(lambda: FileWrapper(Path(__file__).open("rb")), id="file"),  # noqa: SIM115
    ],
)
def test_never_calling_start_response_is_an_error(result: Callable[[], Any]) -> None:
    exchange = Exchange()
    made = result()

    with pytest.raises(LocalProtocolError, match="did not call start_response"):
        exchange.send(made)

    assert exchange.stream.calls == []
    if isinstance(made, FileWrapper):
        made.close()


@pytest.mark.parametrize(
    ("result", "message"),
    [
        pytest.param(None, "'NoneType' object is not iterable", id="none"),
        pytest.param(12, "'int' object is not iterable", id="int"),
        pytest.param("text", "must yield bytes, not str", id="str"),
        pytest.param(b"raw", "must yield bytes, not int", id="bytes"),
        pytest.param(["text"], "must yield bytes, not str", id="list-of-str"),
        pytest.param([b"x", None], "must yield bytes, not NoneType", id="list-with-none"),
        pytest.param([bytearray(b"x")], "must yield bytes, not bytearray", id="bytearray"),
        pytest.param(iter(["text"]), "must yield bytes, not str", id="iterator-of-str"),
        pytest.param({"a": 1}, "must yield bytes, not str", id="dict"),
    ],
)
def test_wrong_results_send_nothing(result: Any, message: str) -> None:
    exchange = Exchange()
    exchange.start(OK, PLAIN)

    with pytest.raises(TypeError, match=message):
        exchange.send(result)

    assert exchange.stream.calls == []


def test_wrong_block_after_the_head_ends_without_finish() -> None:
    exchange = Exchange()
    exchange.start(OK, PLAIN)

    with pytest.raises(TypeError, match="must yield bytes, not str"):
        exchange.send(iter([b"one", "two"]))

    assert exchange.stream.calls == [("start", 200, None, FIELDS), ("write", b"one")]


def test_bytes_subclass_is_bytes() -> None:
    class Body(bytes):
        __slots__ = ()

    exchange = Exchange()
    exchange.start(OK, PLAIN)

    assert exchange.send([Body(b"x")]) == [("respond", 200, None, FIELDS, b"x")]


# -- files -------------------------------------------------------------------------


@pytest.fixture
def wrapper(tmp_path: Path) -> Iterator[FileWrapper]:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    wrapper = FileWrapper(path.open("rb"))
    yield wrapper
    wrapper.close()


def test_file_is_sent_from_its_position_with_its_length(wrapper: FileWrapper) -> None:
    wrapper.filelike.read(4)
    exchange = Exchange()
    exchange.start(OK, PLAIN)

    assert exchange.send(wrapper) == [
        ("start", 200, None, [*FIELDS, (b"content-length", b"6")]),
        ("send_file", 4, 6),
        ("finish",),
    ]


@pytest.mark.parametrize(("declared", "count"), [("3", 3), ("10", 10), ("12", 10)])
def test_file_is_sent_up_to_the_declared_length(
    wrapper: FileWrapper, declared: str, count: int
) -> None:
    exchange = Exchange()
    exchange.start(OK, [("Content-Length", declared)])

    assert exchange.send(wrapper) == [
        ("start", 200, None, [(b"content-length", declared.encode())]),
        ("send_file", 0, count),
        ("finish",),
    ]


@pytest.mark.parametrize(("method", "status"), [("HEAD", OK), ("GET", "304 Not Modified")])
def test_file_stays_where_a_response_has_no_content(
    wrapper: FileWrapper, method: str, status: str
) -> None:
    exchange = Exchange(method)
    exchange.start(status, PLAIN)

    calls = exchange.send(wrapper)

    assert [call[0] for call in calls] == ["start", "finish"]


def test_file_after_write(wrapper: FileWrapper) -> None:
    exchange = Exchange()
    exchange.start(OK, PLAIN)(b"first")

    assert exchange.send(wrapper)[2:] == [("send_file", 0, 10), ("finish",)]


def test_wrapper_of_another_object_is_iterated() -> None:
    class Source:
        def __init__(self) -> None:
            self.blocks = [b"one", b"two"]

        def read(self, size: int) -> bytes:
            return self.blocks.pop(0) if self.blocks else b""

    exchange = Exchange()
    exchange.start(OK, PLAIN)

    assert exchange.send(FileWrapper(Source()))[1:] == [
        ("write", b"one"),
        ("write", b"two"),
        ("finish",),
    ]

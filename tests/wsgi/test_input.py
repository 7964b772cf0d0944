"""``wsgi.input`` does what a file over the whole body does, piece by piece."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granian_core import ClientDisconnected
from granian_wsgi import Input, RequestBodyError
from tests.wsgi.support import BodyPieces, blocking

LINES = b"first\nsecond is longer\n\n\nno newline at the end"


def body_input(*pieces: bytes, complete: bool = True) -> Input:
    return Input(blocking(BodyPieces(pieces, complete=complete)))


sizes = st.one_of(st.none(), st.integers(-2, 12), st.integers(0, 5000))
operations = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["read", "readline", "readlines"]), sizes),
        st.tuples(st.just("next"), st.none()),
        st.tuples(st.sampled_from(["read", "readline", "readlines"]), st.just("default")),
    ),
    max_size=12,
)
pieces = st.lists(
    st.one_of(st.text("ab\n", max_size=9).map(str.encode), st.binary(max_size=40)), max_size=12
)


def perform(file: Any, name: str, argument: object) -> object:
    if name == "next":
        return next(file, None)
    method: Callable[..., object] = getattr(file, name)
    return method() if argument == "default" else method(argument)


@given(pieces, operations)
def test_every_mix_of_reads_gives_what_a_file_gives(
    pieces: list[bytes], operations: list[tuple[str, object]]
) -> None:
    file = io.BytesIO(b"".join(pieces))
    body = body_input(*pieces)

    for name, argument in operations:
        assert perform(body, name, argument) == perform(file, name, argument)

    assert body.read() == file.read()


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda file: file.read(), id="read"),
        pytest.param(lambda file: file.read(-1), id="read-negative"),
        pytest.param(lambda file: file.read(None), id="read-none"),
        pytest.param(lambda file: [file.read(3), file.read(), file.read()], id="read-then-rest"),
        pytest.param(lambda file: [file.read(0), file.read(100_000)], id="read-more-than-all"),
        pytest.param(lambda file: [file.readline() for _ in range(8)], id="readline"),
        pytest.param(lambda file: [file.readline(4) for _ in range(20)], id="readline-size"),
        pytest.param(lambda file: [file.readline(0), file.readline(-5)], id="readline-edges"),
        pytest.param(lambda file: file.readlines(), id="readlines"),
        pytest.param(lambda file: [file.readlines(7), file.readlines(1)], id="readlines-hint"),
        pytest.param(lambda file: file.readlines(0), id="readlines-zero"),
        pytest.param(list, id="iteration"),
        pytest.param(
            lambda file: [next(file), file.read(3), file.readline(), file.readlines()], id="mixed"
        ),
    ],
)
def test_reading_patterns(use: Callable[[Any], object], step: int) -> None:
    pieces = [LINES[start : start + step] for start in range(0, len(LINES), step)]

    assert use(body_input(*pieces)) == use(io.BytesIO(LINES))


@pytest.mark.parametrize("name", ["read", "readline", "readlines"])
def test_empty_body_ends_at_once_and_stays_ended(name: str) -> None:
    body = body_input()

    assert not getattr(body, name)()
    assert not getattr(body, name)(10)
    assert list(body) == []


def test_read_takes_no_more_from_the_client_than_it_was_asked_for() -> None:
    source = BodyPieces([b"x" * 50, b"y" * 50])
    body = Input(blocking(source))

    assert body.read(60) == b"x" * 50 + b"y" * 10
    assert source.pieces == [b"y" * 40]


def test_read_of_nothing_does_not_wait_for_the_client() -> None:
    body = body_input(complete=False)

    assert body.read(0) == b""
    assert body.readline(0) == b""


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda body: body.read(), id="read"),
        pytest.param(lambda body: body.read(100), id="read-size"),
        pytest.param(lambda body: body.readline(), id="readline"),
        pytest.param(lambda body: body.readline(100), id="readline-size"),
        pytest.param(lambda body: body.readlines(), id="readlines"),
        pytest.param(list, id="iteration"),
    ],
)
def test_cut_body_is_an_error_and_never_a_shorter_body(use: Callable[[Input], object]) -> None:
    body = body_input(b"half of", complete=False)

    with pytest.raises(OSError, match="client disconnected") as caught:
        use(body)

    assert isinstance(caught.value, RequestBodyError)
    assert isinstance(caught.value, ClientDisconnected)
    assert caught.value.status_hint == 400


def test_what_came_before_the_cut_can_be_read() -> None:
    body = body_input(b"line\nhalf", complete=False)

    assert body.readline() == b"line\n"
    assert body.read(4) == b"half"
    with pytest.raises(RequestBodyError):
        body.read(1)

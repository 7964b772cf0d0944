"""The types of the command line's options, and the command as an object."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from granian.cli import Duration, EnumType, OctalIntType, cli
from granian.constants import Interfaces


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10),
        ("10s", 10),
        ("2m", 120),
        ("1m30s", 90),
        ("1h", 3600),
        ("1h1m1s", 3661),
        ("1d", 86_400),
        ("1d12h", 129_600),
        ("0", 0),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "10 s", "1s1m", "1m1m", "s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match="not a valid duration"):
        Duration().convert(text, None, None)


def test_durations_have_bounds() -> None:
    bounded = Duration(60, 120)
    assert bounded.convert("2m", None, None) == 120
    assert bounded.convert(90, None, None) == 90
    assert bounded.convert(None, None, None) is None
    with pytest.raises(click.BadParameter, match="less than the minimum"):
        bounded.convert("59s", None, None)
    with pytest.raises(click.BadParameter, match="greater than the maximum"):
        bounded.convert("2m1s", None, None)


def test_words_are_those_of_an_enum() -> None:
    assert EnumType(Interfaces).convert("ASGI", None, None) is Interfaces.ASGI
    assert EnumType(Interfaces).convert(Interfaces.WSGI, None, None) is Interfaces.WSGI
    with pytest.raises(click.BadParameter):
        EnumType(Interfaces).convert("nonsense", None, None)


@pytest.mark.parametrize(("text", "mode"), [("0660", 0o660), ("0o660", 0o660), ("432", 0o660)])
def test_modes(text: str, mode: int) -> None:
    assert OctalIntType().convert(text, None, None) == mode


def test_the_command_shows_its_help() -> None:
    result = CliRunner().invoke(cli, ["--help"], prog_name="granian")
    assert result.exit_code == 0
    assert "--interface" in result.output

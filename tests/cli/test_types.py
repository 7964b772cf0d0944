"""How values are written on the command line."""

from __future__ import annotations

import enum
import math

import click
import pytest

from granian_cli.types import Duration, EnumType, OctalIntType, Seconds, parse_duration


class Fruit(str, enum.Enum):
    apple = "apple"
    pear = "pear"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0", 0),
        ("", 0),
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("10d10h10m10s", 900_610),
        ("1d1s", 86_401),
    ],
)
def test_duration(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize(
    "text", ["1.5", "1 h", "30m1h", "1h1h", "1H", "-1", "s", "1x", "٣", "1h 3m", "90 "]
)
def test_not_a_duration(text: str) -> None:
    assert parse_duration(text) is None
    with pytest.raises(click.BadParameter) as caught:
        Duration().convert(text, None, None)
    assert caught.value.message == f"{text!r} is not a valid duration"


def test_duration_bounds_name_the_value_as_written() -> None:
    kind = Duration(5, 600)
    with pytest.raises(click.BadParameter) as low:
        kind.convert("4s", None, None)
    assert low.value.message == "'4s' is less than the minimum allowed value of 5 seconds"
    with pytest.raises(click.BadParameter) as high:
        kind.convert("1h", None, None)
    assert high.value.message == "'1h' is greater than the maximum allowed value of 600 seconds"


def test_duration_passes_what_is_no_text() -> None:
    assert Duration(5, 600).convert(30, None, None) == 30
    assert Duration(5, 600).convert(None, None, None) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("2.5", 2.5), (".5", 0.5), ("3", 3.0), ("1m30s", 90.0), ("0", 0.0)]
)
def test_seconds(text: str, seconds: float) -> None:
    assert math.isclose(Seconds(0.0, None).convert(text, None, None), seconds)


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e9", "-1", "1,5"])
def test_not_a_number_of_seconds(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a valid number of seconds"):
        Seconds(0.0, None).convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "mode"), [("0660", 0o660), ("0o660", 0o660), ("432", 432), ("0", 0)]
)
def test_octal(text: str, mode: int) -> None:
    assert OctalIntType().convert(text, None, None) == mode
    assert OctalIntType().convert(mode, None, None) == mode


def test_not_octal() -> None:
    with pytest.raises(click.BadParameter, match="invalid literal for int"):
        OctalIntType().convert("0888", None, None)


def test_enum_members_come_from_words_in_any_case() -> None:
    kind = EnumType(Fruit)
    assert kind.convert("PEAR", None, None) is Fruit.pear
    assert kind.convert(Fruit.apple, None, None) is Fruit.apple
    with pytest.raises(click.BadParameter, match="'plum' is not one of 'apple', 'pear'"):
        kind.convert("plum", None, None)


def test_words_come_back_as_declared() -> None:
    assert EnumType(["Auto", "1"]).convert("aUTO", None, None) == "Auto"

"""How option values are written: durations, octal modes, and choices."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # generic since click 8.2 and 8.5
    _AnyChoice = click.Choice[Any]
    _IntParameter = click.ParamType[int]
else:
    _AnyChoice, _IntParameter = click.Choice, click.ParamType

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_DURATION_UNITS = (86_400, 3600, 60, 1)
_NUMBER = re.compile(r"\d+", re.ASCII)
_DECIMAL = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)


def parse_duration(text: str) -> int | None:
    """Return the seconds that *text* means, or None if it means nothing.

    ``90`` is a number of seconds; ``1d2h3m4s`` names its units, in this order, each at
    most once. The empty text is 0.
    """
    if _NUMBER.fullmatch(text):
        return int(text)
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    return sum(
        int(count) * unit
        for count, unit in zip(match.groups(), _DURATION_UNITS, strict=True)
        if count
    )


class Duration(click.IntRange):
    """Whole seconds, as a number or with units (``1h30m``)."""

    name = "duration"

    def __init__(self, min: int | None = None, max: int | None = None) -> None:  # noqa: A002
        super().__init__(min, max)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return *value* in seconds; an int passes, None stays None."""
        if value is None:
            return None
        seconds = value if isinstance(value, int) else parse_duration(str(value))
        if seconds is None:
            self.fail(f"{value!r} is not a valid duration", param, ctx)
        if self.min is not None and seconds < self.min:
            self.fail(
                f"{value!r} is less than the minimum allowed value of {self.min} seconds",
                param,
                ctx,
            )
        if self.max is not None and seconds > self.max:
            self.fail(
                f"{value!r} is greater than the maximum allowed value of {self.max} seconds",
                param,
                ctx,
            )
        return seconds


class Seconds(click.FloatRange):
    """Seconds with a fraction (``2.5``), or a duration with units (``1m30s``)."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return *value* in seconds."""
        if isinstance(value, str):
            seconds = float(value) if _DECIMAL.fullmatch(value) else parse_duration(value)
            if seconds is None or not value:
                self.fail(f"{value!r} is not a valid number of seconds", param, ctx)
            value = float(seconds)
        return super().convert(value, param, ctx)


class OctalIntType(_IntParameter):
    """A file mode: octal with a leading zero (``0660``, ``0o660``), else decimal."""

    name = "octal integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return *value* as an int; an int passes."""
        if isinstance(value, int):
            return value
        text = str(value)
        try:
            return int(text, 8 if text.startswith("0") else 10)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


class EnumType(_AnyChoice):
    """One of some words, in any case.

    Args:
        enum: An enum whose values are the words (its members are what options get), or
            the words themselves.
    """

    def __init__(self, enum: type[Enum] | Iterable[str], case_sensitive: bool = False) -> None:
        self._enum = enum if isinstance(enum, type) else None
        choices = [m.value for m in enum] if isinstance(enum, type) else list(enum)
        super().__init__(choices, case_sensitive)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the word as it was declared, or the enum's member."""
        if self._enum is None:
            return super().convert(value, param, ctx)
        if isinstance(value, self._enum):
            return value
        return self._enum(super().convert(value, param, ctx))

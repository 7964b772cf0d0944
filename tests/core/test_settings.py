"""Settings: defaults that are promises, bounds that are checked, one declaration each."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from granian_core.errors import ConfigurationError
from granian_core.settings import HTTP1Settings, Limits, ServerConfig

GROUPS: list[type[Any]] = [HTTP1Settings, Limits, ServerConfig]


def declared() -> list[tuple[type[Any], dataclasses.Field[Any]]]:
    return [
        (group, field) for group in GROUPS for field in dataclasses.fields(group) if field.metadata
    ]


def number_bounds() -> list[Any]:
    """Return (group, name, bad value, flag) for each bound that is declared."""
    cases = []
    for group, field in declared():
        flag = field.metadata["flag"] or field.name
        low, high = field.metadata["minimum"], field.metadata["maximum"]
        if low is not None:
            below = math.nextafter(low, -math.inf) if isinstance(low, float) else low - 1
            cases.append(pytest.param(group, field.name, below, flag, id=f"{field.name}-below"))
            cases.append(pytest.param(group, field.name, math.nan, flag, id=f"{field.name}-nan"))
        if high is not None:
            cases.append(pytest.param(group, field.name, high + 1, flag, id=f"{field.name}-above"))
    return cases


def test_granian_fields_keep_names_order_and_defaults() -> None:
    """Positional use of Granian's four fields keeps working."""
    positional = [f.name for f in dataclasses.fields(HTTP1Settings) if not f.kw_only]
    assert positional == ["header_read_timeout", "keep_alive", "max_buffer_size", "pipeline_flush"]
    settings = HTTP1Settings(10_000, False, 8192, True)
    assert (
        settings.header_read_timeout,
        settings.keep_alive,
        settings.max_buffer_size,
        settings.pipeline_flush,
    ) == (10_000, False, 8192, True)
    with pytest.raises(TypeError, match="positional"):
        HTTP1Settings(10_000, False, 8192, True, 5.0)


@pytest.mark.parametrize(
    ("settings", "name", "default"),
    [
        (HTTP1Settings(), "header_read_timeout", 30_000),
        (HTTP1Settings(), "keep_alive", True),
        (HTTP1Settings(), "max_buffer_size", 417_792),
        (HTTP1Settings(), "pipeline_flush", False),
        (HTTP1Settings(), "keep_alive_timeout", 75.0),
        (HTTP1Settings(), "max_fields", 100),
        (Limits(), "request_line", 65_536),
        (Limits(), "max_body_size", None),
        (Limits(), "body_idle_timeout", 30.0),
        (Limits(), "body_min_rate", 240),
        (Limits(), "write_timeout", 60.0),
        (ServerConfig(), "backlog", 1024),
        (ServerConfig(), "access_log_format", None),
    ],
)
def test_default_is_a_promise(settings: object, name: str, default: object) -> None:
    """Changing one of these is a change of behaviour for everyone."""
    assert getattr(settings, name) == default


@pytest.mark.parametrize(("group", "name", "value", "flag"), number_bounds())
def test_value_out_of_bounds_names_the_option(
    group: type[Any], name: str, value: float, flag: str
) -> None:
    """Every declared bound is checked when the settings are made."""
    with pytest.raises(ConfigurationError, match=r": use .*\d") as caught:
        group(**{name: value})
    assert caught.value.option == flag


@pytest.mark.parametrize(
    ("group", "field"),
    [
        pytest.param(group, field, id=f"{group.__name__}-{field.name}")
        for group, field in declared()
    ],
)
def test_bounds_themselves_are_allowed(group: type[Any], field: dataclasses.Field[Any]) -> None:
    """Bounds are inclusive, and the default lies within them."""
    group()
    for bound in (field.metadata["minimum"], field.metadata["maximum"]):
        if bound is not None:
            assert getattr(group(**{field.name: bound}), field.name) == bound


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda: HTTP1Settings(header_read_timeout=60_001),
            "--http1-header-read-timeout=60001: use 1 to 60000 milliseconds",
            id="range",
        ),
        pytest.param(
            lambda: Limits(write_timeout=0),
            "--write-timeout=0: use 0.05 seconds or more",
            id="minimum",
        ),
        pytest.param(
            lambda: HTTP1Settings(engine="slow"),  # type: ignore[arg-type]
            "--http1-engine=slow: use one of auto, reference, fast",
            id="choice",
        ),
        pytest.param(
            lambda: Limits(max_body_size=[]),  # type: ignore[arg-type]
            "--max-body-size=[]: use a number",
            id="not-a-number",
        ),
        pytest.param(
            lambda: ServerConfig(backlog=1), "--backlog=1: use 128 or more", id="without-unit"
        ),
        pytest.param(
            lambda: ServerConfig(task_impl="go"),  # type: ignore[arg-type]
            "--task-impl=go: use one of asyncio, rust",
            id="server-choice",
        ),
    ],
)
def test_message_says_what_would_be_right(make: Any, message: str) -> None:
    """Option, value, range and unit are in one line."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert str(caught.value) == message


def test_misspelt_setting_is_an_error() -> None:
    """An unknown keyword is not ignored."""
    with pytest.raises(TypeError, match="keep_alive_timout"):
        HTTP1Settings(keep_alive_timout=5.0)  # type: ignore[call-arg]


@pytest.mark.parametrize("group", GROUPS)
def test_settings_can_not_change(group: type[Any]) -> None:
    """Connections read them at any time."""
    settings = group()
    name = dataclasses.fields(group)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError, match=name):
        setattr(settings, name, None)


def test_every_setting_is_documented_and_no_option_is_used_twice() -> None:
    """Help is there for each; flags are unique over all groups."""
    fields = [field for _, field in declared()]
    assert all(field.metadata["help"].endswith(".") for field in fields)
    flags = [field.metadata["flag"] for field in fields if field.metadata["flag"]]
    assert sorted(set(flags)) == sorted(flags)
    assert all(flag.startswith("--") for flag in flags)


@pytest.mark.parametrize(
    ("backpressure", "explicit", "expected"),
    [(1, None, 1024), (256, None, 1024), (257, None, 1028), (5000, None, 20_000), (5000, 7, 7)],
)
def test_socket_bound_follows_backpressure(
    backpressure: int, explicit: int | None, expected: int
) -> None:
    """Four sockets per permit, at least 1024, unless it is set."""
    config = ServerConfig(backpressure=backpressure, limits=Limits(max_connections=explicit))
    assert config.max_connections == expected

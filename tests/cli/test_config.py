"""The settings, and the options derived from them."""

from __future__ import annotations

import dataclasses
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from granian_cli.config import (
    SECTIONS,
    Configuration,
    option_choices,
    option_specs,
)
from granian_cli.settings import (
    ApplicationSettings,
    NetworkSettings,
    ProcessSettings,
    ReloadSettings,
    RuntimeSettings,
)
from granian_core.errors import ConfigurationError
from granian_core.settings import HTTP1Settings


def test_every_flag_and_variable_is_there_once() -> None:
    for attribute in ("flag", "variable"):
        counts = Counter(getattr(spec, attribute) for spec in option_specs())
        assert [name for name, count in counts.items() if count > 1] == []


def test_every_field_with_a_flag_is_an_option() -> None:
    declared = {
        field.metadata["flag"]
        for section in SECTIONS
        for field in dataclasses.fields(section.settings)
        if field.metadata.get("flag")
    }
    assert declared == {spec.flag for spec in option_specs()}


@pytest.mark.parametrize(
    ("flag", "variable"),
    [
        ("--log", "GRANIAN_LOG_ENABLED"),
        ("--access-log", "GRANIAN_LOG_ACCESS_ENABLED"),
        ("--access-log-fmt", "GRANIAN_LOG_ACCESS_FMT"),
        ("--http1-buffer-size", "GRANIAN_HTTP1_BUFFER_SIZE"),
        ("--host", "GRANIAN_HOST"),
        ("--request-line-limit", "GRANIAN_REQUEST_LINE_LIMIT"),
    ],
)
def test_variable_names(flag: str, variable: str) -> None:
    spec = next(spec for spec in option_specs() if spec.flag == flag)
    assert spec.variable == variable


def test_defaults_are_usable() -> None:
    configuration = Configuration(target="x:app")
    assert configuration.backpressure == 1024
    assert configuration.server_config(None).backlog == 1024
    assert pickle.loads(pickle.dumps(configuration)) == configuration


@pytest.mark.parametrize(
    ("workers", "backlog", "backpressure", "expected"),
    [(1, 1024, None, 1024), (4, 1024, None, 256), (2000, 1024, None, 1), (4, 1024, 7, 7)],
)
def test_backpressure_shares_the_backlog_out(
    workers: int, backlog: int, backpressure: int | None, expected: int
) -> None:
    configuration = Configuration(
        target="x",
        network=NetworkSettings(backlog=backlog),
        runtime=RuntimeSettings(backpressure=backpressure),
        processes=ProcessSettings(workers=workers),
    )
    assert configuration.backpressure == expected


def test_parameters_reach_their_sections() -> None:
    configuration = Configuration.from_parameters(
        "x", {"port": 1, "http1_keep_alive": False, "max_body_size": 5, "workers": 3}
    )
    assert configuration.network.port == 1
    assert configuration.http1.keep_alive is False
    assert configuration.limits.max_body_size == 5
    assert configuration.processes.workers == 3


def test_unknown_parameters_are_errors() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Configuration.from_parameters("x", {"wrokers": 3})
    assert caught.value.option == "wrokers"


def test_a_section_and_its_settings_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        Configuration.from_parameters("x", {"http1_keep_alive": False}, http1=HTTP1Settings())


WRONG = {
    "no target": ("APP", Configuration, {"target": ""}),
    "port too large": ("--port", NetworkSettings, {"port": 70_000}),
    "no host": ("--host", NetworkSettings, {"host": ()}),
    "mode without socket": ("--uds-permissions", NetworkSettings, {"uds_permissions": 0o600}),
    "unknown version": ("--http", NetworkSettings, {"http": "3"}),
    "backlog too small": ("--backlog", NetworkSettings, {"backlog": 1}),
    "idle timeout too small": (
        "--blocking-threads-idle-timeout",
        RuntimeSettings,
        {"blocking_threads_idle_timeout": 4},
    ),
    "no worker": ("--workers", ProcessSettings, {"workers": 0}),
    "a bool is no number": ("--workers", ProcessSettings, {"workers": True}),
    "lifetime too short": ("--workers-lifetime", ProcessSettings, {"workers_lifetime": 59}),
    "no pair": ("--interface-option", ApplicationSettings, {"interface_option": ("novalue",)}),
    "no regular expression": (
        "--reload-ignore-patterns",
        ReloadSettings,
        {"reload_ignore_patterns": (r"\.py$", "(")},
    ),
    "no key": ("--interface-option", ApplicationSettings, {"interface_option": ("=x",)}),
    "jitter of no lifetime": (
        "--workers-lifetime-jitter",
        Configuration,
        {"target": "x", "processes": ProcessSettings(workers_lifetime_jitter=1)},
    ),
    "jitter of no number": (
        "--workers-max-requests-jitter",
        Configuration,
        {"target": "x", "processes": ProcessSettings(workers_max_requests_jitter=1)},
    ),
}


@pytest.mark.parametrize(("option", "settings", "values"), WRONG.values(), ids=WRONG.keys())
def test_wrong_settings_name_their_option(
    option: str, settings: type[Any], values: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(**values)
    assert caught.value.option == option
    assert caught.value.remedy
    assert caught.value.value is not None or option in ("APP", "--host")


def test_interface_options_become_pairs() -> None:
    assert ApplicationSettings(interface_option=("a=1", "b=x=y")).extra() == {"a": "1", "b": "x=y"}


def test_interfaces_are_those_installed_and_those_published() -> None:
    spec = next(spec for spec in option_specs() if spec.flag == "--interface")
    assert {"asgi", "asginl", "rsgi", "wsgi"} <= set(option_choices(spec))


def test_paths_are_paths() -> None:
    spec = next(spec for spec in option_specs() if spec.flag == "--env-files")
    assert (spec.type, spec.repeatable, spec.kind) == (Path, True, "file")

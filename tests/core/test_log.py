"""Logging configuration: defaults, what a user may replace, and what always wins."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from granian_core.errors import ConfigurationError
from granian_core.log import (
    LOGGING_CONFIG,
    LogLevels,
    access_logger,
    configure_logging,
    log_levels_map,
    logger,
)


@pytest.fixture(autouse=True)
def restored_loggers() -> Iterator[None]:
    """Give both loggers back as they were."""
    before = [(log, log.level, log.propagate, log.handlers[:]) for log in (logger, access_logger)]
    yield
    for log, level, propagate, handlers in before:
        log.setLevel(level)
        log.propagate = propagate
        log.handlers[:] = handlers


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("critical", 50),
        ("error", 40),
        ("warning", 30),
        ("warn", 30),
        ("info", 20),
        ("debug", 10),
        ("notset", 0),
    ],
)
def test_level_words_have_their_numbers(word: str, number: int) -> None:
    """The words of --log-level work as text and as enum, and mean the usual numbers."""
    configure_logging(word)
    assert logger.level == number
    configure_logging(LogLevels(word))
    assert logger.level == number
    assert log_levels_map[LogLevels(word)] == number
    assert str(LogLevels(word)) == word


def test_unknown_level_is_a_configuration_error() -> None:
    """The message lists the words."""
    with pytest.raises(ConfigurationError, match="--log-level=loud: use one of critical, error"):
        configure_logging("loud")


def test_both_loggers_write_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """Runtime lines carry their level, access lines are bare; children go with _granian."""
    configure_logging("info")
    logger.info("up with %s", "us")
    logging.getLogger("_granian.serve").warning("careful")
    logging.getLogger("_granian.serve").debug("not shown")
    access_logger.info("%(a)s", {"a": "line"})

    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["[INFO] up with us", "[WARNING] careful", "line"]
    assert captured.err == ""
    assert not logger.propagate
    assert not access_logger.propagate


def test_switched_off_silences_the_runtime_log_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """--no-log hides even critical lines; the access log has its own switch."""
    configure_logging("debug", enabled=False)
    logger.critical("nobody hears")
    logging.getLogger("_granian.serve").critical("nobody hears")
    access_logger.info("line")

    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("line\n", "")


def test_user_config_replaces_top_level_keys_but_not_the_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The rest of the default stays; --log-level wins; nothing is changed in place."""
    config: dict[str, Any] = {
        "formatters": {
            "generic": {"format": "mine: %(message)s"},
            "access": {"format": "seen: %(message)s"},
        },
        "loggers": {
            "_granian": {"handlers": ["console"], "level": "ERROR", "propagate": False},
            "granian.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
        },
    }
    before = copy.deepcopy((config, LOGGING_CONFIG))
    configure_logging("info", config)
    logger.info("hello")
    access_logger.info("line")

    assert capsys.readouterr().out.splitlines() == ["mine: hello", "seen: line"]
    assert (config, LOGGING_CONFIG) == before


def test_runtime_logger_is_added_to_a_user_config() -> None:
    """A configuration that forgets ``_granian`` still gets its level."""
    configure_logging("debug", {"loggers": {}})
    assert logger.level == logging.DEBUG


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"version": 2}, id="version"),
        pytest.param({"handlers": {"console": {"class": "no.such.Handler"}}}, id="class"),
        pytest.param({"loggers": []}, id="loggers-not-a-table"),
        pytest.param({"loggers": {"_granian": {"handlers": ["absent"]}}}, id="handler"),
        pytest.param({"formatters": {"generic": {"format": "%(x"}}}, id="formatter"),
    ],
)
def test_unusable_config_is_a_configuration_error(config: dict[str, Any]) -> None:
    """What dictConfig refuses is named as --log-config, in one line."""
    with pytest.raises(ConfigurationError, match=r"^--log-config: not usable: .") as caught:
        configure_logging("info", config)
    assert "\n" not in str(caught.value)


def test_importing_installs_no_handler() -> None:
    """A program that embeds the server keeps its own logging."""
    import subprocess

    code = (
        "import logging, granian_core.access as a; "
        "assert not logging.getLogger().handlers; "
        "assert not a.access_logger.handlers; "
        "assert not logging.getLogger('_granian').handlers"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""Loggers, levels and the default logging configuration.

There are two loggers: ``_granian`` with its children (``_granian.serve``,
``_granian.http1`` …) for what the server does, and ``granian.access`` for one line per
request. The library only gets loggers; handlers are installed by `configure_logging`,
which the command calls and an embedding program need not.
"""

from __future__ import annotations

import copy
import logging
import logging.config
from enum import Enum
from typing import TYPE_CHECKING, Any

from granian_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNTIME_LOGGER = "_granian"
ACCESS_LOGGER = "granian.access"

DEFAULT_ACCESSLOG_FMT = (
    '[%(time)s] %(addr)s - "%(method)s %(path)s %(protocol)s" %(status)d %(dt_ms).3f'
)
"""The default of ``--access-log-fmt``; the atoms are listed in `granian_core.access`."""

SILENT = logging.CRITICAL + 1
"""A level above every other: the runtime logger's when logging is off."""


class LogLevels(str, Enum):
    """The words of ``--log-level``."""

    critical = "critical"
    error = "error"
    warning = "warning"
    warn = "warn"
    info = "info"
    debug = "debug"
    notset = "notset"

    def __str__(self) -> str:
        return self.value


log_levels_map: dict[LogLevels, int] = {
    LogLevels.critical: logging.CRITICAL,
    LogLevels.error: logging.ERROR,
    LogLevels.warning: logging.WARNING,
    LogLevels.warn: logging.WARNING,
    LogLevels.info: logging.INFO,
    LogLevels.debug: logging.DEBUG,
    LogLevels.notset: logging.NOTSET,
}
"""The numeric level for each word."""

LOGGING_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "generic": {"format": "[%(levelname)s] %(message)s", "datefmt": "[%Y-%m-%d %H:%M:%S %z]"},
        "access": {"format": "%(message)s", "datefmt": "[%Y-%m-%d %H:%M:%S %z]"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stdout",
        },
        "access": {
            "class": "logging.StreamHandler",
            "formatter": "access",
            "stream": "ext://sys.stdout",
        },
    },
    "loggers": {
        RUNTIME_LOGGER: {"handlers": ["console"], "level": "INFO", "propagate": False},
        ACCESS_LOGGER: {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}
"""The default `logging.config.dictConfig`. A user's configuration replaces top-level keys."""

logger = logging.getLogger(RUNTIME_LOGGER)
access_logger = logging.getLogger(ACCESS_LOGGER)


def configure_logging(
    level: LogLevels | str,
    config: Mapping[str, Any] | None = None,
    enabled: bool = True,
) -> None:
    """Install handlers and levels for this process.

    Args:
        level: The level of ``_granian``; it wins over the one in *config*.
        config: A `logging.config.dictConfig`; its top-level keys replace those of
            `LOGGING_CONFIG` whole. It is not changed.
        enabled: False silences ``_granian``; the access log has its own switch.

    Raises:
        ConfigurationError: The level is unknown, or *config* is not usable.
    """
    merged = copy.deepcopy({**LOGGING_CONFIG, **(config or {})})
    number = _level_number(level) if enabled else SILENT
    try:
        merged.setdefault("loggers", {}).setdefault(RUNTIME_LOGGER, {})["level"] = number
        logging.config.dictConfig(merged)
    except (ValueError, TypeError, AttributeError, ImportError) as exc:
        # dictConfig wraps what went wrong in a handler; the cause is the useful half.
        detail = f"{exc} ({exc.__cause__})" if exc.__cause__ else str(exc)
        raise ConfigurationError("--log-config", None, f"not usable: {detail}") from exc


def _level_number(level: LogLevels | str) -> int:
    try:
        return log_levels_map[LogLevels(level)]
    except ValueError as exc:
        words = ", ".join(LogLevels)
        raise ConfigurationError("--log-level", level, f"use one of {words}") from exc

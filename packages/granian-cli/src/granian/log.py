"""Loggers, levels and the default logging configuration."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from granian_core.access import compile_access_log
from granian_core.log import (
    DEFAULT_ACCESSLOG_FMT,
    LOGGING_CONFIG,
    LogLevels,
    access_logger,
    configure_logging,
    log_levels_map,
    logger,
)

__all__ = [
    "DEFAULT_ACCESSLOG_FMT",
    "LOGGING_CONFIG",
    "LogLevels",
    "access_logger",
    "configure_logging",
    "log_levels_map",
    "log_request_builder",
    "logger",
]

_KEYS = {
    "addr": "addr_remote",
    "path": "path",
    "query_string": "qs",
    "method": "method",
    "scheme": "scheme",
    "protocol": "protocol",
}
"""Keys of a described request, by atom."""


def log_request_builder(fmt: str) -> Callable[[float, float, Mapping[str, Any], int], None]:
    """Return what writes one line of the access log.

    The server itself does not use it. It is called as ``log(rtime, mtime, req, res_code)``:
    seconds since the epoch and of `time.monotonic` at the start of the request, a mapping
    with ``addr_remote``, ``path``, ``qs``, ``method``, ``scheme``, ``protocol`` and
    ``headers`` (called with a name), and the status.

    Raises:
        ConfigurationError: An atom is unknown, or the format is broken.
    """
    names = compile_access_log(fmt).names

    def log(rtime: float, mtime: float, req: Mapping[str, Any], res_code: int) -> None:
        """Write one line."""
        if not access_logger.isEnabledFor(logging.INFO):
            return
        atoms: dict[str, object] = {"status": res_code, "dt_ms": (time.monotonic() - mtime) * 1000}
        for name in names:
            if name == "time":
                atoms[name] = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(rtime))
            elif name in _KEYS:
                atoms[name] = req[_KEYS[name]]
            elif name.startswith("header{"):
                atoms[name] = req["headers"](name[len("header{") : -1]) or "-"
        access_logger.info(fmt, atoms)

    return log

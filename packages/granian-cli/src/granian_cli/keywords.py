"""Granian's keyword arguments, checked and turned into a `Configuration`.

A keyword is called as Granian calls it, and every other setting as its ``GRANIAN_*``
variable in lower case. Values may be enums or their words, paths or text. What is wrong
is said in one line that names the keyword and what would be right.
"""

from __future__ import annotations

import difflib
import enum
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from granian_cli.config import Configuration, OptionSpec, option_specs
from granian_core.errors import ConfigurationError
from granian_core.settings import HTTP1Settings, HTTP2Settings, Limits, WebSocketSettings

RENAMED = {
    "address": "host",
    "log_access": "log_access_enabled",
    "log_access_format": "log_access_fmt",
    "ssl_cert": "ssl_certificate",
    "ssl_key": "ssl_keyfile",
    "ssl_key_password": "ssl_keyfile_password",
}
"""Keywords whose name is not that of the setting."""

UNSUPPORTED: dict[str, object] = {
    "metrics_enabled": False,
    "metrics_scrape_interval": 15,
    "metrics_address": "127.0.0.1",
    "metrics_port": 9090,
}
"""Keywords of Granian, with the value that asks for nothing, where no setting has their name."""

SECTIONS = {
    "http1_settings": ("http1", HTTP1Settings),
    "http2_settings": ("http2", HTTP2Settings),
    "websocket_settings": ("websocket", WebSocketSettings),
    "limits": ("limits", Limits),
}
"""Keywords that carry a whole section of settings."""

_LEAST = {"workers": 1, "runtime_threads": 1, "backlog": 128, "backpressure": 1}
"""Numbers that are raised to the least that makes sense, as Granian does."""


class KeywordError(ConfigurationError, TypeError):
    """A keyword argument does not exist, or its value is of the wrong type."""


def configure(target: str, keywords: Mapping[str, object]) -> Configuration:
    """Return the configuration that *keywords* mean.

    Args:
        target: The application, ``module:attribute``.
        keywords: Values by keyword; those that are not given have their defaults.

    Raises:
        KeywordError: There is no such keyword, or a value is of the wrong type.
        ConfigurationError: A value is out of bounds, or values contradict each other.
    """
    if not isinstance(target, str):
        raise KeywordError(
            "target",
            type(target).__name__,
            "name the application as module:attribute; to serve an object, use "
            "granian.server.embed.Server",
        )
    known = {spec.parameter: spec for spec in option_specs()}
    former = {new: old for old, new in RENAMED.items()}
    parameters: dict[str, Any] = {}
    sections: dict[str, Any] = {}
    for name, value in keywords.items():
        if name in SECTIONS:
            attribute, kind = SECTIONS[name]
            sections[attribute] = _section(name, value, kind)
            continue
        spec = known.get(RENAMED.get(name, name))
        if name in former:
            raise KeywordError(name, None, f"the keyword is {former[name]}")
        if spec is not None:
            parameters[spec.parameter] = _value(name, value, spec)
        elif name not in UNSUPPORTED:
            raise KeywordError(name, None, f"there is no such setting{_nearest(name, known)}")
        elif str(_plain(value)) != str(UNSUPPORTED[name]):
            raise ConfigurationError(name, value, "not supported yet; leave it out")
    return Configuration.from_parameters(target, parameters, **sections)


def _nearest(name: str, known: Mapping[str, OptionSpec]) -> str:
    names = [*known, *RENAMED, *SECTIONS, *UNSUPPORTED]
    found = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {found[0]}?" if found else ""


def _section(name: str, value: object, kind: type[object]) -> object:
    if value is not None and not isinstance(value, kind):
        raise KeywordError(name, value, f"use {kind.__name__}(...)")
    return value


def _value(name: str, value: object, spec: OptionSpec) -> object:
    """Return *value* as the setting wants it."""
    value = _plain(value)
    if spec.repeatable:
        return tuple(_one(name, item, spec) for item in _several(name, value))
    if value is None and spec.default is None:
        return None
    value = _one(name, value, spec)
    least = _LEAST.get(name)
    return max(least, value) if least is not None and isinstance(value, int) else value


def _several(name: str, value: object) -> Sequence[object]:
    if value is None:
        return ()
    if isinstance(value, (str, os.PathLike)):
        return (value,)
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Sequence):
        raise KeywordError(name, value, "use a list")
    return value


def _one(name: str, value: object, spec: OptionSpec) -> object:
    """Check one value against the type of its setting; paths are made of text."""
    value = _plain(value)
    number = not isinstance(value, bool) and isinstance(value, (int, float))
    if spec.type is bool:
        fits, remedy = isinstance(value, bool), "use True or False"
    elif spec.type is int:
        fits, remedy = number and isinstance(value, int), "use a whole number"
    elif spec.type is float:
        fits, remedy = number, "use a number"
    elif spec.type is Path:
        if isinstance(value, (str, os.PathLike)):
            return Path(os.fspath(value))
        fits, remedy = False, "use a pathlib.Path"
    else:
        fits, remedy = isinstance(value, str), "use text"
    if not fits:
        raise KeywordError(name, repr(value), remedy)
    return value


def _plain(value: object) -> object:
    """Return an enum's value, and everything else as it is."""
    return value.value if isinstance(value, enum.Enum) else value

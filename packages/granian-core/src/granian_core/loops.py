"""The registry of event loops behind ``--loop``.

``loops`` is one object for the process. Programs add their own loop, or replace one of
ours, ``auto`` included, before the server starts::

    @loops.register("mine", packages=["fancyloop"])
    def build(fancyloop):
        return fancyloop.new_event_loop()

Looking at what is installed imports nothing; a loop's package is imported when a loop is
built.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, KeysView, Sequence
from types import ModuleType
from typing import Final, TypeVar

from granian_core.errors import ConfigurationError

logger = logging.getLogger("_granian")

Builder = Callable[..., asyncio.AbstractEventLoop]
"""Makes a loop; gets the imported packages as keywords named after them."""

B = TypeVar("B", bound=Builder)

AUTO_ORDER: Final = ("uvloop", "winloop", "rloop", "asyncio")
"""What ``auto`` tries in turn.

Deviation: Granian tries rloop first. It calls itself experimental, so it is taken only
where it is asked for or is all there is.
"""

OUR_EXTRAS: Final = frozenset({"uvloop", "rloop", "winloop"})
"""Loops that an extra of granian-cli installs under the same name."""


class LoopError(ConfigurationError, RuntimeError):
    """A loop is unknown, or its package is missing or broken."""


class LoopRegistry:
    """Event loop builders by name."""

    def __init__(self) -> None:
        self._builders: dict[str, tuple[Builder, tuple[str, ...]]] = {}
        self._missing: dict[str, tuple[str, ...]] = {}

    def register(self, key: str, packages: Sequence[str] | None = None) -> Callable[[B], B]:
        """Return a decorator that registers a builder as *key*.

        It replaces an earlier one. Where a package is not installed it does nothing.

        Args:
            key: The word for ``--loop``.
            packages: What the builder needs; it gets each imported module as a keyword.
        """
        needed = tuple(packages or ())

        def decorate(builder: B) -> B:
            missing = tuple(name for name in needed if not _is_installed(name))
            if missing:
                self._missing[key] = missing
            else:
                self._builders[key] = (builder, needed)
            return builder

        return decorate

    def get(self, key: str) -> asyncio.AbstractEventLoop:
        """Build a new loop. The built-in ones are made the current loop of the thread.

        Raises:
            LoopError: The loop is unknown, or its package is missing or can not be
                imported (a `ConfigurationError` and a `RuntimeError`).
        """
        if key not in self._builders:
            raise LoopError("--loop", key, self._why_not(key))
        builder, packages = self._builders[key]
        return builder(**{name: _import(key, name) for name in packages})

    def keys(self) -> KeysView[str]:
        """Return the names of the loops that can be built."""
        return self._builders.keys()

    def __contains__(self, key: object) -> bool:
        return key in self._builders

    def _why_not(self, key: str) -> str:
        if key in self._missing:
            what = f"granian-cli[{key}]" if key in OUR_EXTRAS else ", ".join(self._missing[key])
            return f"not installed; install {what}"
        return f"unknown; use one of {', '.join(sorted(self._builders))}"


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # the parent package is missing, or not a package
        return False


def _import(key: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise LoopError("--loop", key, f"{name} can not be imported: {exc}") from exc


def _current(loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
    asyncio.set_event_loop(loop)
    return loop


def _build_asyncio() -> asyncio.AbstractEventLoop:
    # Not new_event_loop(): a policy could make that any loop.
    if sys.platform == "win32":
        return _current(asyncio.ProactorEventLoop())
    return _current(asyncio.SelectorEventLoop())


def _build_uvloop(uvloop: ModuleType) -> asyncio.AbstractEventLoop:
    return _current(uvloop.new_event_loop())


def _build_rloop(rloop: ModuleType) -> asyncio.AbstractEventLoop:
    return _current(rloop.new_event_loop())


def _build_winloop(winloop: ModuleType) -> asyncio.AbstractEventLoop:
    return _current(winloop.new_event_loop())


def builtin_loops() -> LoopRegistry:
    """Return a new registry of the loops that this project knows."""
    registry = LoopRegistry()
    registry.register("asyncio")(_build_asyncio)
    registry.register("uvloop", packages=["uvloop"])(_build_uvloop)
    registry.register("rloop", packages=["rloop"])(_build_rloop)
    registry.register("winloop", packages=["winloop"])(_build_winloop)

    @registry.register("auto")
    def _build_auto() -> asyncio.AbstractEventLoop:
        for key in AUTO_ORDER:
            if key in registry:
                try:
                    return registry.get(key)
                except LoopError as exc:
                    logger.warning("Event loop passed over: %s", exc)
        raise LoopError("--loop", "auto", registry._why_not("auto"))  # noqa: SLF001

    return registry


loops = builtin_loops()
"""The registry of this process."""

"""`Granian`: the server as Python programs start it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from granian_cli.config import Configuration
from granian_cli.supervisor import Supervisor
from granian_core.errors import ConfigurationError

if TYPE_CHECKING:
    from granian_core.settings import HTTP1Settings, HTTP2Settings, Limits

__all__ = ["Granian", "Server"]

H = TypeVar("H", bound=Callable[[], object])

_RENAMED = {
    "address": "host",
    "log_access": "log_access_enabled",
    "log_access_format": "log_access_fmt",
    "ssl_cert": "ssl_certificate",
    "ssl_key": "ssl_keyfile",
    "ssl_key_password": "ssl_keyfile_password",
}
"""Keywords whose name is not that of the setting."""

_NOT_YET: dict[str, object] = {
    "runtime_threads": 1,
    "runtime_blocking_threads": None,
    "runtime_mode": "auto",
    "metrics_enabled": False,
    "metrics_scrape_interval": 15,
    "metrics_address": "127.0.0.1",
    "metrics_port": 9090,
}
"""Keywords of Granian that do nothing yet, with the one value that asks for nothing."""

_FILES = ("ssl_certificate", "ssl_keyfile", "ssl_crl", "static_path_mount")
"""Settings that take one path as well as several."""

_LEAST = {"workers": 1, "backlog": 128, "backpressure": 1}
"""Numbers that are raised to the least that makes sense, as Granian does."""


class Granian:
    """A server for one application, started from Python.

    Args:
        target: The application, ``module:attribute``.
        address: Address or name to bind, or several of them.
        http1_settings: Settings of HTTP/1.
        http2_settings: Settings of HTTP/2.
        limits: Limits on what one peer may cost.
        log_dictconfig: For `logging.config.dictConfig`, merged over the defaults.
        reload_filter: A watchfiles filter class, instead of its default.
        settings: Everything else, by the names of the ``GRANIAN_*`` variables in lower case.

    Raises:
        ConfigurationError: A name is unknown, a value is out of bounds, or something is asked
            for that is not supported yet.
    """

    def __init__(
        self,
        target: str,
        address: str | Sequence[str] = "127.0.0.1",
        port: int = 8000,
        *,
        http1_settings: HTTP1Settings | None = None,
        http2_settings: HTTP2Settings | None = None,
        limits: Limits | None = None,
        log_dictconfig: Mapping[str, Any] | None = None,
        reload_filter: type[Any] | None = None,
        **settings: Any,
    ) -> None:
        for name, neutral in _NOT_YET.items():
            value = settings.pop(name, neutral)
            if str(value) != str(neutral):
                raise ConfigurationError(name, value, "not supported yet; leave it out")
        parameters = {_RENAMED.get(name, name): _plain(v) for name, v in settings.items()}
        for name in _FILES:
            if name in parameters:
                parameters[name] = _paths(parameters[name])
        route = parameters.get("static_path_route", ())
        if route is None or isinstance(route, str):
            parameters["static_path_route"] = (route,) if route else ()
        if parameters.get("ssl_ca") is not None:
            parameters["ssl_ca"] = Path(parameters["ssl_ca"])
        for name, least in _LEAST.items():
            if isinstance(parameters.get(name), int):
                parameters[name] = max(least, parameters[name])
        parameters["host"] = (address,) if isinstance(address, str) else tuple(address)
        parameters["port"] = port
        self.configuration = Configuration.from_parameters(
            target, parameters, http1=http1_settings, http2=http2_settings, limits=limits
        )
        self.hooks_startup: list[Callable[[], object]] = []
        self.hooks_reload: list[Callable[[], object]] = []
        self.hooks_shutdown: list[Callable[[], object]] = []
        self._log_dictconfig = log_dictconfig
        self._reload_filter = reload_filter

    def on_startup(self, hook: H) -> H:
        """Call *hook* before the first worker is started; usable as a decorator."""
        self.hooks_startup.append(hook)
        return hook

    def on_reload(self, hook: H) -> H:
        """Call *hook* at the beginning of each reload; usable as a decorator."""
        self.hooks_reload.append(hook)
        return hook

    def on_shutdown(self, hook: H) -> H:
        """Call *hook* after the last worker has ended; usable as a decorator."""
        self.hooks_shutdown.append(hook)
        return hook

    def serve(
        self, *, target_loader: Callable[..., object] | None = None, wrap_loader: bool = True
    ) -> None:
        """Serve until stopped; returns after a signal.

        Args:
            target_loader: Returns the application, in each worker; it is called with the
                target, or with nothing where *wrap_loader* is false.
            wrap_loader: Whether the loader gets the target.

        Raises:
            FatalError: The server could not start.
            SystemExit: A worker was lost.
        """
        loader = target_loader
        if loader is not None and wrap_loader:
            loader = functools.partial(loader, self.configuration.target)
        supervisor = Supervisor(
            self.configuration,
            loader=loader,
            log_config=self._log_dictconfig,
            reload_filter=self._reload_filter,
        )
        supervisor.hooks_startup = self.hooks_startup
        supervisor.hooks_reload = self.hooks_reload
        supervisor.hooks_shutdown = self.hooks_shutdown
        code = supervisor.run()
        if code:
            raise SystemExit(code)


Server = Granian


def _paths(value: Any) -> tuple[Path, ...]:
    """Return one path, several, or None, as a tuple."""
    if value is None:
        return ()
    if isinstance(value, (str, os.PathLike)):
        return (Path(value),)
    return tuple(Path(one) for one in value)


def _plain(value: Any) -> Any:
    """Return what an enum, a path list or a plain value means to the settings."""
    value = getattr(value, "value", value)
    if isinstance(value, list):
        return tuple(value)
    return value

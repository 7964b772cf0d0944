"""What `MPServer` and `MTServer` have in common: the constructor, the hooks, ``serve()``."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from granian.constants import (
    HTTPModes,
    Interfaces,
    Loops,
    RuntimeModes,
    SSLProtocols,
    TaskImpl,
)
from granian.log import LogLevels
from granian_cli.errors import WorkerError
from granian_cli.keywords import KeywordError, configure
from granian_cli.supervisor import Supervisor

if TYPE_CHECKING:
    from granian.http import HTTP1Settings, HTTP2Settings
    from granian_cli.control import WorkerSpec
    from granian_cli.handle import WorkerHandle
    from granian_core.settings import Limits

__all__ = ["AbstractServer"]

logger = logging.getLogger("_granian")

H = TypeVar("H", bound=Callable[[], object])


class Hooks:
    """Callables without arguments that a server calls in the course of its life."""

    hooks_startup: list[Callable[[], object]]
    hooks_reload: list[Callable[[], object]]
    hooks_shutdown: list[Callable[[], object]]

    def __init__(self) -> None:
        self.hooks_startup = []
        self.hooks_reload = []
        self.hooks_shutdown = []

    def on_startup(self, hook: H) -> H:
        """Call *hook* once the sockets are bound; usable as a decorator."""
        return _append(self.hooks_startup, hook)

    def on_reload(self, hook: H) -> H:
        """Call *hook* at the beginning of each reload; usable as a decorator."""
        return _append(self.hooks_reload, hook)

    def on_shutdown(self, hook: H) -> H:
        """Call *hook* when everything has ended; usable as a decorator."""
        return _append(self.hooks_shutdown, hook)


def _append(hooks: list[Callable[[], object]], hook: H) -> H:
    if not callable(hook):
        raise KeywordError("hook", repr(hook), "use a callable without arguments")
    hooks.append(hook)
    return hook


class AbstractServer(Hooks):
    """A server for one application, started from Python.

    The arguments are Granian's, by name, order and default. Enums may be given as their
    words, paths as text, and *address* as a list. Further keywords are our own settings, by
    the names of the ``GRANIAN_*`` variables in lower case.

    Args:
        target: The application, ``module:attribute``.
        limits: Limits on what one peer may cost.
        settings: Further settings by name.

    Raises:
        ConfigurationError: A value is out of bounds, or something is asked for that is not
            supported. Where a keyword or a type is wrong, it is a `TypeError` too.
    """

    def __init__(
        self,
        target: str,
        address: str | Sequence[str] = "127.0.0.1",
        port: int = 8000,
        uds: Path | None = None,
        uds_permissions: int | None = None,
        interface: Interfaces | str = Interfaces.RSGI,
        workers: int = 1,
        blocking_threads: int | None = None,
        blocking_threads_idle_timeout: int = 30,
        runtime_threads: int = 1,
        runtime_blocking_threads: int | None = None,
        runtime_mode: RuntimeModes | str = RuntimeModes.auto,
        loop: Loops | str = Loops.auto,
        task_impl: TaskImpl | str = TaskImpl.asyncio,
        http: HTTPModes | str = HTTPModes.auto,
        websockets: bool = True,
        backlog: int = 1024,
        backpressure: int | None = None,
        http1_settings: HTTP1Settings | None = None,
        http2_settings: HTTP2Settings | None = None,
        log_enabled: bool = True,
        log_level: LogLevels | str = LogLevels.info,
        log_dictconfig: Mapping[str, Any] | None = None,
        log_access: bool = False,
        log_access_format: str | None = None,
        ssl_cert: Path | Sequence[Path] | None = None,
        ssl_key: Path | Sequence[Path] | None = None,
        ssl_key_password: str | None = None,
        ssl_protocol_min: SSLProtocols | str = SSLProtocols.tls13,
        ssl_ca: Path | None = None,
        ssl_crl: Sequence[Path] | None = None,
        ssl_client_verify: bool = False,
        url_path_prefix: str | None = None,
        respawn_failed_workers: bool = False,
        respawn_interval: float = 3.5,
        rss_sample_interval: int = 30,
        rss_samples: int = 1,
        workers_lifetime: int | None = None,
        workers_max_rss: int | None = None,
        workers_kill_timeout: int | None = None,
        factory: bool = False,
        working_dir: Path | None = None,
        env_files: Sequence[Path] | None = None,
        static_path_route: Sequence[str] | None = None,
        static_path_mount: Sequence[Path] | None = None,
        static_path_dir_to_file: str | None = None,
        static_path_expires: int = 86400,
        metrics_enabled: bool = False,
        metrics_scrape_interval: int = 15,
        metrics_address: str = "127.0.0.1",
        metrics_port: int = 9090,
        reload: bool = False,
        reload_paths: Sequence[Path] | None = None,
        reload_ignore_dirs: Sequence[str] | None = None,
        reload_ignore_patterns: Sequence[str] | None = None,
        reload_ignore_paths: Sequence[Path] | None = None,
        reload_filter: type[Any] | None = None,
        reload_tick: int = 50,
        reload_ignore_worker_failure: bool = False,
        process_name: str | None = None,
        pid_file: Path | None = None,
        *,
        limits: Limits | None = None,
        **settings: Any,
    ) -> None:
        keywords = {name: value for name, value in locals().items() if name not in _OUR_OWN}
        keywords.update(settings)
        super().__init__()
        if log_dictconfig is not None and not isinstance(log_dictconfig, Mapping):
            raise KeywordError("log_dictconfig", repr(log_dictconfig), "use a dict")
        if reload_filter is not None and not isinstance(reload_filter, type):
            raise KeywordError(
                "reload_filter", repr(reload_filter), "use a watchfiles filter class"
            )
        self.configuration = configure(target, keywords)
        self._log_dictconfig = log_dictconfig
        self._reload_filter = reload_filter
        self._supervisor: Supervisor | None = None

    @property
    def interface(self) -> Interfaces | str:
        """The interface; a member of `Interfaces` where it is one of those."""
        name = self.configuration.application.interface
        return Interfaces(name) if name in set(Interfaces) else name

    @property
    def bind_addr(self) -> str:
        """The address, or the first of several."""
        return self.configuration.network.host[0]

    @property
    def bind_port(self) -> int:
        """The port; while it serves, the one that was bound."""
        for _, port in self._supervisor.addresses if self._supervisor is not None else ():
            if port is not None:
                return port
        return self.configuration.network.port

    @property
    def bind_uds(self) -> Path | None:
        """The unix socket, absolute."""
        uds = self.configuration.network.uds
        return None if uds is None else uds.absolute()

    @property
    def workers(self) -> int:
        """How many workers there are to be."""
        return self.configuration.processes.workers

    @property
    def wrks(self) -> list[WorkerHandle]:
        """The workers that exist; each has a ``pid``."""
        return [] if self._supervisor is None else self._supervisor.worker_processes()

    @property
    def process_name(self) -> str | None:
        """The name of the processes."""
        return self.configuration.processes.process_name

    @property
    def respawn_interval(self) -> float:
        """Seconds between the replacement of one worker and the next."""
        return self.configuration.processes.respawn_interval

    def _start_method(self) -> str | None:
        """Return how workers start, as `Supervisor` takes it."""
        return None

    def serve(
        self,
        spawn_target: Callable[[WorkerSpec], None] | None = None,
        target_loader: Callable[..., object] | None = None,
        wrap_loader: bool = True,
    ) -> None:
        """Serve until stopped; returns after a signal.

        Args:
            spawn_target: Runs a worker process, instead of `granian_cli.worker.run_worker`,
                which it may call.
            target_loader: Returns the application, in each worker; it is called with the
                target, or with nothing where *wrap_loader* is false.
            wrap_loader: Whether the loader gets the target.

        Raises:
            FatalError: The server can not run so.
            SystemExit: A worker was lost, or did not become ready.
        """
        loader = target_loader
        if loader is not None and wrap_loader:
            loader = functools.partial(loader, self.configuration.target)
        self._supervisor = Supervisor(
            self.configuration,
            loader=loader,
            log_config=self._log_dictconfig,
            reload_filter=self._reload_filter,
            method=self._start_method(),
            entry=spawn_target,
        )
        self._supervisor.hooks_startup = self.hooks_startup
        self._supervisor.hooks_reload = self.hooks_reload
        self._supervisor.hooks_shutdown = self.hooks_shutdown
        try:
            code = self._supervisor.run()
        except WorkerError as exc:
            logger.error("%s%s", exc.traceback, exc)
            raise SystemExit(exc.exit_code) from exc
        finally:
            self._supervisor = None
        if code:
            raise SystemExit(code)


_OUR_OWN = frozenset({"self", "__class__", "target", "log_dictconfig", "reload_filter", "settings"})
"""Names in the constructor that are no settings."""

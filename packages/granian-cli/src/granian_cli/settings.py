"""The settings that are the command's own, each declared once.

Declared in the manner of `granian_core.settings`; three are fields of core's `ServerConfig`,
taken over. `granian_cli.config` puts them beside core's into one `Configuration`.

Field names are Granian's parameter names, for they name the variables; the flag is
what differs from them (``--log`` is ``log_enabled``).
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from granian_core.errors import ConfigurationError
from granian_core.filethreads import DEFAULT_THREADS
from granian_core.runtime.server import RuntimeMode  # noqa: TC001 - get_type_hints reads it
from granian_core.settings import HTTPMode, ServerConfig, TaskImpl, check_bounds
from granian_core.settings import option as core_option

T = TypeVar("T")

Kind = Literal["", "duration", "octal", "file", "directory", "path", "json"]
"""How a value is written, where its Python type does not say it."""

LOG_LEVELS = ("critical", "error", "warning", "warn", "info", "debug", "notset")
DEFAULT_GRACEFUL_TIMEOUT = 25
"""Seconds; with start-up, lifespan and kill margins it fits the 30 s of Kubernetes."""


def option(
    default: T,
    *,
    help: str,  # noqa: A002 - as in granian_core.settings
    kind: Kind = "",
    default_text: str = "",
    flag: str = "",
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
) -> T:
    """Declare one setting, as `granian_core.settings.option` does.

    *kind* says how the value is written, where its Python type does not. *default_text* is
    what ``--help`` shows as the default, where the value itself would tell nothing (a None
    that stands for something derived from another setting).
    """
    declared: Any = core_option(
        default,
        help=help,
        flag=flag,
        unit=unit,
        minimum=minimum,
        maximum=maximum,
        choices=choices,
    )
    metadata = {**declared.metadata, "kind": kind, "default_text": default_text}
    field: Any = dataclasses.field(default=default, metadata=metadata, kw_only=True)
    return field  # type: ignore[no-any-return]


def _core_server_option(name: str, **changes: Any) -> Any:
    """Take over a field of `ServerConfig`, so that it is not declared a second time."""
    field = next(field for field in dataclasses.fields(ServerConfig) if field.name == name)
    default = changes.pop("default", field.default)
    return dataclasses.field(default=default, metadata={**field.metadata, **changes}, kw_only=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSettings:
    """What is served, and how it is found."""

    interface: str = option(
        "rsgi",
        help="Interface of the application. 'asginl' is ASGI without lifespan.",
        flag="--interface",
    )
    interface_option: tuple[str, ...] = option(
        (),
        help="Setting for the interface itself, as KEY=VALUE. May be repeated.",
        flag="--interface-option",
    )
    factory: bool = option(
        False, help="Call the target without arguments to get the application.", flag="--factory"
    )
    working_dir: Path | None = option(
        None,
        help="Directory that comes first when the target is looked up.",
        flag="--working-dir",
        kind="directory",
    )
    env_files: tuple[Path, ...] = option(
        (),
        help="Files of environment variables (dotenv); set ones are kept. May be repeated.",
        flag="--env-files",
        kind="file",
    )
    url_path_prefix: str | None = option(
        None,
        help="Path prefix that a proxy removed (ASGI root_path, WSGI SCRIPT_NAME).",
        flag="--url-path-prefix",
    )

    def __post_init__(self) -> None:
        check_bounds(self)
        self.extra()

    def extra(self) -> dict[str, str]:
        """Return the pairs of ``--interface-option``."""
        pairs: dict[str, str] = {}
        for text in self.interface_option:
            key, found, value = text.partition("=")
            if not found or not key:
                raise ConfigurationError("--interface-option", text, "write it as KEY=VALUE")
            pairs[key] = value
        return pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """Where the server listens."""

    host: tuple[str, ...] = option(
        ("127.0.0.1",),
        help="Address or name to bind, IPv6 too. May be repeated.",
        flag="--host",
    )
    port: int = option(
        8000,
        help="TCP port; 0 lets the system choose one, which is printed.",
        flag="--port",
        minimum=0,
        maximum=65_535,
    )
    uds: Path | None = option(
        None, help="Unix socket to bind instead of TCP.", flag="--uds", kind="path"
    )
    uds_permissions: int | None = option(
        None,
        help="Mode of the unix socket, octal with a leading zero.",
        flag="--uds-permissions",
        kind="octal",
        minimum=0,
        maximum=0o777,
    )
    http: HTTPMode = _core_server_option("http")
    websockets: bool = option(
        True,
        help="Serve WebSockets; otherwise their handshakes are plain requests.",
        flag="--ws",
    )
    backlog: int = _core_server_option("backlog")

    def __post_init__(self) -> None:
        check_bounds(self)
        if not self.host and self.uds is None:
            raise ConfigurationError("--host", None, "give at least one address")
        if self.uds is None and self.uds_permissions is not None:
            raise ConfigurationError(
                "--uds-permissions",
                f"0{self.uds_permissions:o}",
                "use it together with --uds",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSettings:
    """What runs inside one worker."""

    loop: str = option(
        "auto", help="Event loop; 'auto' takes the fastest installed.", flag="--loop"
    )
    runtime_threads: int = option(
        1,
        help="I/O threads per worker. With more than one, the application has the main thread "
        "for itself, and connections, TLS and static files go on while it computes or blocks.",
        flag="--runtime-threads",
        minimum=1,
    )
    runtime_mode: RuntimeMode = option(
        "auto",
        help="Who accepts connections where there are several I/O threads: one for all, which "
        "gives each to the least busy (mt), or every thread for itself (st); 'auto' is mt.",
        flag="--runtime-mode",
        choices=("auto", "mt", "st"),
    )
    runtime_blocking_threads: int | None = option(
        None,
        help="Most threads per worker for file I/O. They start on demand.",
        flag="--runtime-blocking-threads",
        minimum=1,
        default_text=str(DEFAULT_THREADS),
    )
    task_impl: TaskImpl = _core_server_option("task_impl")
    blocking_threads: int | None = option(
        None,
        help="Most threads per worker for a blocking interface (WSGI).",
        flag="--blocking-threads",
        minimum=1,
        default_text="backpressure/2 for WSGI, else 1",
    )
    blocking_threads_idle_timeout: int = option(
        30,
        help="Idle time after which an extra blocking thread leaves.",
        flag="--blocking-threads-idle-timeout",
        unit="seconds",
        kind="duration",
        minimum=5,
        maximum=600,
    )
    backpressure: int | None = _core_server_option(
        "backpressure", default=None, default_text="backlog/workers"
    )

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """The worker processes and their supervisor."""

    workers: int = option(1, help="Worker processes.", flag="--workers", minimum=1)
    workers_graceful_timeout: int = option(
        DEFAULT_GRACEFUL_TIMEOUT,
        help="Time for requests in progress when a worker stops; then they are aborted.",
        flag="--workers-graceful-timeout",
        unit="seconds",
        kind="duration",
        minimum=0,
        maximum=86_400,
    )
    workers_kill_timeout: int | None = option(
        None,
        help="Time after which a worker that does not stop is killed.",
        flag="--workers-kill-timeout",
        unit="seconds",
        kind="duration",
        minimum=1,
        maximum=1800,
        default_text="graceful timeout + 10 s",
    )
    workers_startup_timeout: int | None = option(
        None,
        help="Time within which a new worker must be ready.",
        flag="--workers-startup-timeout",
        unit="seconds",
        kind="duration",
        minimum=1,
        default_text="disabled",
    )
    workers_watchdog_timeout: int | None = option(
        None,
        help="Time for which a worker's event loop may be blocked before the worker "
        "has its stacks dumped and is replaced.",
        flag="--workers-watchdog-timeout",
        unit="seconds",
        kind="duration",
        minimum=1,
        default_text="disabled",
    )
    respawn_failed_workers: bool = option(
        False,
        help="Start a new worker when one is lost, instead of stopping the server.",
        flag="--respawn-failed-workers",
    )
    respawn_interval: float = option(
        3.5,
        help="Pause between replacing one worker and the next.",
        flag="--respawn-interval",
        unit="seconds",
        minimum=0,
    )
    workers_lifetime: int | None = option(
        None,
        help="Age at which a worker is replaced.",
        flag="--workers-lifetime",
        unit="seconds",
        kind="duration",
        minimum=60,
        default_text="disabled",
    )
    workers_lifetime_jitter: int | None = option(
        None,
        help="Most that is added at random to a worker's lifetime.",
        flag="--workers-lifetime-jitter",
        unit="seconds",
        kind="duration",
        minimum=0,
        default_text="lifetime/10",
    )
    workers_max_requests: int | None = option(
        None,
        help="Number of requests after which a worker is replaced.",
        flag="--workers-max-requests",
        minimum=1,
        default_text="disabled",
    )
    workers_max_requests_jitter: int | None = option(
        None,
        help="Most that is added at random to a worker's number of requests.",
        flag="--workers-max-requests-jitter",
        minimum=0,
        default_text="max-requests/10",
    )
    workers_max_rss: int | None = option(
        None,
        help="Resident memory at which a worker is replaced.",
        flag="--workers-max-rss",
        unit="MiB",
        minimum=1,
        default_text="disabled",
    )
    rss_sample_interval: int = option(
        30,
        help="Time between two looks at the workers' memory.",
        flag="--rss-sample-interval",
        unit="seconds",
        kind="duration",
        minimum=1,
        maximum=300,
    )
    rss_samples: int = option(
        1,
        help="Consecutive samples over the memory limit before a worker is replaced.",
        flag="--rss-samples",
        minimum=1,
    )
    process_name: str | None = option(
        None,
        help="Name shown for the processes, instead of one made from the options.",
        flag="--process-name",
    )
    pid_file: Path | None = option(
        None, help="File to hold the supervisor's pid.", flag="--pid-file", kind="path"
    )

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What is written about the server's work."""

    log_enabled: bool = option(True, help="Write the server's log.", flag="--log")
    log_level: str = option(
        "info", help="Level of the server's log.", flag="--log-level", choices=LOG_LEVELS
    )
    log_config: Path | None = option(
        None,
        help="JSON file for logging.config.dictConfig, merged over the defaults.",
        flag="--log-config",
        kind="file",
    )
    log_access_enabled: bool = option(
        False, help="Write one line per request.", flag="--access-log"
    )
    log_access_fmt: str | None = option(
        None, help="Format of the access log.", flag="--access-log-fmt"
    )

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadSettings:
    """Development: new workers when files change."""

    reload: bool = option(
        False, help="Replace the workers when files change (development).", flag="--reload"
    )
    reload_paths: tuple[Path, ...] = option(
        (),
        help="Files and directories to watch. May be repeated.",
        flag="--reload-paths",
        kind="path",
        default_text="Working directory",
    )
    reload_ignore_dirs: tuple[str, ...] = option(
        (), help="Names of directories to ignore. May be repeated.", flag="--reload-ignore-dirs"
    )
    reload_ignore_patterns: tuple[str, ...] = option(
        (),
        help="Regular expressions of file names to ignore. May be repeated.",
        flag="--reload-ignore-patterns",
    )
    reload_ignore_paths: tuple[Path, ...] = option(
        (), help="Paths to ignore. May be repeated.", flag="--reload-ignore-paths", kind="path"
    )
    reload_tick: int = option(
        50,
        help="How often changes are gathered.",
        flag="--reload-tick",
        unit="milliseconds",
        minimum=50,
        maximum=5000,
    )
    reload_ignore_worker_failure: bool = option(
        False,
        help="Keep running when a worker fails, until the next change.",
        flag="--reload-ignore-worker-failure",
    )

    def __post_init__(self) -> None:
        check_bounds(self)
        for pattern in self.reload_ignore_patterns:
            try:
                re.compile(pattern)
            except re.error as exc:
                raise ConfigurationError(
                    "--reload-ignore-patterns", pattern, f"is no regular expression: {exc}"
                ) from exc

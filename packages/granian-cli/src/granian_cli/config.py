"""Everything that one run of the server needs to know, and the options that say it.

The settings that belong to the protocol core are its own dataclasses (`HTTP1Settings`,
`Limits` and their like), the rest those of `granian_cli.settings`. `option_specs` walks all
of them: the command line, the ``GRANIAN_*`` variables, the Python keyword arguments and the
reference table come from that walk.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from granian_cli.settings import (
    ApplicationSettings,
    Kind,
    LogSettings,
    NetworkSettings,
    ProcessSettings,
    ReloadSettings,
    RuntimeSettings,
)
from granian_core.errors import ConfigurationError
from granian_core.interface import PUBLISHED_ADAPTERS, interface_names
from granian_core.settings import (
    HTTP1Settings,
    HTTP2Settings,
    Limits,
    ServerConfig,
    StaticSettings,
    TLSSettings,
    WebSocketSettings,
)
from granian_core.sockets import format_address

if TYPE_CHECKING:
    from granian_core.stream import Address

LOOPS = ("auto", "asyncio", "rloop", "uvloop", "winloop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything that one run of the server needs to know.

    Raises:
        ConfigurationError: Settings contradict each other.
    """

    target: str
    application: ApplicationSettings = ApplicationSettings()
    network: NetworkSettings = NetworkSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    processes: ProcessSettings = ProcessSettings()
    http1: HTTP1Settings = HTTP1Settings()
    http2: HTTP2Settings = HTTP2Settings()
    websocket: WebSocketSettings = WebSocketSettings()
    limits: Limits = Limits()
    tls: TLSSettings = TLSSettings()
    static: StaticSettings = StaticSettings()
    log: LogSettings = LogSettings()
    reload: ReloadSettings = ReloadSettings()

    def __post_init__(self) -> None:
        if not self.target:
            raise ConfigurationError("APP", None, "name the application, as module:attribute")
        processes = self.processes
        if processes.workers_lifetime is None and processes.workers_lifetime_jitter is not None:
            raise ConfigurationError(
                "--workers-lifetime-jitter",
                processes.workers_lifetime_jitter,
                "use it together with --workers-lifetime",
            )
        if (
            processes.workers_max_requests is None
            and processes.workers_max_requests_jitter is not None
        ):
            raise ConfigurationError(
                "--workers-max-requests-jitter",
                processes.workers_max_requests_jitter,
                "use it together with --workers-max-requests",
            )

    @property
    def backpressure(self) -> int:
        """Most requests in progress per worker: as set, or the backlog shared out."""
        if self.runtime.backpressure is not None:
            return self.runtime.backpressure
        return max(1, self.network.backlog // self.processes.workers)

    def url(self, address: Address) -> str:
        """Return a bound address as the log and the process title show it."""
        text = format_address(address)
        scheme = "https" if self.tls.enabled else "http"
        return text if address[1] is None else f"{scheme}://{text}"

    def server_config(self, access_log_format: str | None) -> ServerConfig:
        """Return what `granian_core.Server` needs of this."""
        return ServerConfig(
            http1=self.http1,
            # The supervisor has said that it is raised; workers need not say it again.
            http2=dataclasses.replace(self.http2, max_frame_size=self.http2.frame_size),
            http=self.network.http,
            websocket=self.websocket,
            limits=self.limits,
            tls=self.tls,
            static=self.static,
            backlog=self.network.backlog,
            backpressure=self.backpressure,
            access_log_format=access_log_format,
            task_impl=self.runtime.task_impl,
        )

    @classmethod
    def from_parameters(
        cls, target: str, parameters: Mapping[str, Any], **made: Any
    ) -> Configuration:
        """Build one from a flat mapping of parameter names (``http1_keep_alive``).

        Args:
            target: The application.
            parameters: Values by parameter name.
            made: Whole sections that exist already (``http1``); None stands for none.

        Raises:
            ConfigurationError: A name is unknown, or a value is out of bounds.
        """
        known = {spec.parameter: spec for spec in option_specs()}
        sections: dict[str, dict[str, Any]] = {}
        for name, value in parameters.items():
            spec = known.get(name)
            if spec is None:
                raise ConfigurationError(name, None, "there is no such setting")
            sections.setdefault(spec.section, {})[spec.field] = value
        classes = {section.attribute: section.settings for section in SECTIONS}
        whole = {name: section for name, section in made.items() if section is not None}
        for name in sections.keys() & whole.keys():
            raise ConfigurationError(name, None, "give the section or its settings, not both")
        whole.update({name: classes[name](**values) for name, values in sections.items()})
        return cls(target=target, **whole)


@dataclass(frozen=True, slots=True)
class Section:
    """One settings dataclass, and the title of its panel in ``--help``."""

    title: str
    attribute: str
    settings: type[Any]


SECTIONS = (
    Section("Application", "application", ApplicationSettings),
    Section("Network", "network", NetworkSettings),
    Section("Runtime", "runtime", RuntimeSettings),
    Section("Processes", "processes", ProcessSettings),
    Section("HTTP/1", "http1", HTTP1Settings),
    Section("HTTP/2", "http2", HTTP2Settings),
    Section("WebSocket", "websocket", WebSocketSettings),
    Section("TLS", "tls", TLSSettings),
    Section("Static files", "static", StaticSettings),
    Section("Limits", "limits", Limits),
    Section("Logging", "log", LogSettings),
    Section("Reload", "reload", ReloadSettings),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionSpec:
    """One command line option, as its field declares it."""

    section: str
    """Attribute of `Configuration` that holds the field's dataclass."""
    title: str
    """Panel of ``--help``."""
    field: str
    parameter: str
    """Flat name: of the Python keyword and, in capitals, of the variable."""
    flag: str
    help: str
    type: type[Any]
    """The field's type, without None and without the tuple of a repeatable option."""
    kind: Kind
    repeatable: bool
    default: Any
    default_text: str
    unit: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return f"GRANIAN_{self.parameter.upper()}"


@cache
def option_specs() -> tuple[OptionSpec, ...]:
    """Return every option of the command, in the order of ``--help``."""
    return tuple(
        _spec(section, field, hints[field.name])
        for section in SECTIONS
        for hints in [typing.get_type_hints(section.settings)]
        for field in dataclasses.fields(section.settings)
        if field.metadata.get("flag")
    )


def option_choices(spec: OptionSpec) -> tuple[str, ...]:
    """Return the words that an option accepts; empty when it is not a choice.

    The interfaces are those that are installed, so this is asked late.
    """
    if spec.parameter == "interface":
        return tuple(dict.fromkeys([*PUBLISHED_ADAPTERS, *interface_names()]))
    return LOOPS if spec.parameter == "loop" else spec.choices


def _spec(section: Section, field: dataclasses.Field[Any], hint: Any) -> OptionSpec:
    metadata = field.metadata
    bare, repeatable = _bare_type(hint)
    owned = section.settings.__module__ == ApplicationSettings.__module__
    from_flag = metadata["flag"].removeprefix("--").replace("-", "_")
    return OptionSpec(
        section=section.attribute,
        title=section.title,
        field=field.name,
        parameter=field.name if owned else from_flag,
        flag=metadata["flag"],
        help=metadata["help"],
        type=bare,
        kind=metadata.get("kind", ""),
        repeatable=repeatable,
        default=field.default,
        default_text=metadata.get("default_text", ""),
        unit=metadata["unit"],
        minimum=metadata["minimum"],
        maximum=metadata["maximum"],
        choices=metadata["choices"],
    )


def _bare_type(hint: Any) -> tuple[type[Any], bool]:
    """Return the type without None, Literal and tuple, and whether it was a tuple."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        (hint,) = (member for member in typing.get_args(hint) if member is not types.NoneType)
    origin = typing.get_origin(hint)
    if origin is tuple:
        return typing.get_args(hint)[0], True
    if origin is Literal:
        return str, False
    return hint, False

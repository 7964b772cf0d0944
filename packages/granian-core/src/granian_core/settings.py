"""Settings, each declared once: default, bounds, unit and help live on the field.

The command line options, the ``GRANIAN_*`` variables and the reference table are
derived by walking these dataclasses; bounds are checked when one is constructed.
Fields that Granian has keep its names, order, defaults and units (milliseconds
where it counts them so); fields of ours follow them, keyword-only, with seconds as float.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from granian_core.errors import ConfigurationError

T = TypeVar("T")

EngineChoice = Literal["auto", "reference", "fast"]
HTTPMode = Literal["auto", "1", "2"]
TaskImpl = Literal["asyncio", "rust"]
TLSVersion = Literal["tls1.2", "tls1.3"]


def option(
    default: T,
    *,
    help: str,  # noqa: A002 - the word that every command-line library uses
    flag: str = "",
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    kw_only: bool = True,
    kind: str = "",
    secret: bool = False,
) -> T:
    """Declare one setting: a dataclass field that carries its own documentation.

    Args:
        default: The default value; its type is the field's type.
        help: One or two sentences for ``--help`` and the reference.
        flag: The command line spelling (``--write-timeout``).
        unit: ``seconds``, ``milliseconds``, ``bytes`` … for messages and docs.
        minimum: Smallest allowed value, inclusive.
        maximum: Largest allowed value, inclusive.
        choices: The allowed words, for settings that are a choice.
        kw_only: False only for the fields whose position Granian fixed.
        kind: How the value is written where its type does not say it (``file``).
        secret: Keep the value out of ``repr()``.
    """
    metadata = {
        "help": help,
        "flag": flag,
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "kind": kind,
        "secret": secret,
    }
    field: Any = dataclasses.field(
        default=default, metadata=metadata, kw_only=kw_only, repr=not secret
    )
    return field  # type: ignore[no-any-return]


def check_bounds(settings: object) -> None:
    """Check every field of a settings dataclass against its declared bounds.

    Raises:
        ConfigurationError: A value is out of bounds; names the option and the range.
    """
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        if not field.metadata:
            continue
        value = getattr(settings, field.name)
        name = field.metadata["flag"] or field.name
        choices = field.metadata["choices"]
        if choices and value not in choices:
            raise ConfigurationError(name, value, f"use one of {', '.join(choices)}")
        low, high = field.metadata["minimum"], field.metadata["maximum"]
        if value is None or (low is None and high is None):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigurationError(name, value, "use a number")
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            unit = f" {field.metadata['unit']}" if field.metadata["unit"] else ""
            if high is None:
                remedy = f"use {low}{unit} or more"
            elif low is None:
                remedy = f"use {high}{unit} or less"
            else:
                remedy = f"use {low} to {high}{unit}"
            raise ConfigurationError(name, value, remedy)


def _check_type(name: str, value: object, default: object) -> None:
    """Refuse a value of another kind than the default's; None there means a number."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ConfigurationError(name, value, "use True or False")
    elif isinstance(default, str):
        if not isinstance(value, str):
            raise ConfigurationError(name, value, "use text")
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(name, value, "use a number")
    elif isinstance(default, int) and not isinstance(value, int):
        raise ConfigurationError(name, value, "use a whole number")


@dataclass(frozen=True, slots=True)
class HTTP1Settings:
    """HTTP/1.1 settings; the first four are Granian's."""

    header_read_timeout: int = option(
        30_000,
        help="Time to receive a whole request head, never extended by dribbled bytes.",
        flag="--http1-header-read-timeout",
        unit="milliseconds",
        minimum=1,
        maximum=60_000,
        kw_only=False,
    )
    keep_alive: bool = option(
        True,
        help="Keep connections open for further requests.",
        flag="--http1-keep-alive",
        kw_only=False,
    )
    max_buffer_size: int = option(
        417_792,
        help="Largest request head; a larger one is answered with 431.",
        flag="--http1-buffer-size",
        unit="bytes",
        minimum=8192,
        kw_only=False,
    )
    pipeline_flush: bool = option(
        False,
        help="Gather the responses to pipelined requests into fewer writes.",
        flag="--http1-pipeline-flush",
        kw_only=False,
    )
    keep_alive_timeout: float = option(
        75.0,
        help="Idle time between requests on a kept-alive connection.",
        flag="--http1-keep-alive-timeout",
        unit="seconds",
        minimum=0.05,
    )
    max_fields: int = option(
        100,
        help="Most header fields in a request; more are answered with 431.",
        flag="--http1-max-fields",
        minimum=1,
    )
    engine: EngineChoice = option(
        "auto",
        help="HTTP/1.1 engine: 'reference' is h11, 'fast' our own strict parser.",
        flag="--http1-engine",
        choices=("auto", "reference", "fast"),
    )

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, slots=True)
class HTTP2Settings:
    """HTTP/2 settings; the first nine are Granian's."""

    adaptive_window: bool = option(
        False,
        help="Let flow-control windows grow with what the path holds; overrides their sizes.",
        flag="--http2-adaptive-window",
        kw_only=False,
    )
    initial_connection_window_size: int = option(
        1_048_576,
        help="Flow-control window of a connection; HTTP/2 has none below 65535.",
        flag="--http2-initial-connection-window-size",
        unit="bytes",
        minimum=1024,
        maximum=2_147_483_647,
        kw_only=False,
    )
    initial_stream_window_size: int = option(
        1_048_576,
        help="Flow-control window of each stream: most of a body that is taken unread.",
        flag="--http2-initial-stream-window-size",
        unit="bytes",
        minimum=1024,
        maximum=2_147_483_647,
        kw_only=False,
    )
    keep_alive_interval: int | None = option(
        None,
        help="Time between PING frames that check whether the client is there. Off by default.",
        flag="--http2-keep-alive-interval",
        unit="milliseconds",
        minimum=1,
        maximum=60_000,
        kw_only=False,
    )
    keep_alive_timeout: int = option(
        20,
        help="Time for the answer to such a PING, after which the connection is closed.",
        flag="--http2-keep-alive-timeout",
        unit="seconds",
        kind="duration",
        minimum=1,
        kw_only=False,
    )
    max_concurrent_streams: int = option(
        200,
        help="Most open streams per connection; further ones are refused.",
        flag="--http2-max-concurrent-streams",
        minimum=10,
        maximum=2_147_483_647,
        kw_only=False,
    )
    max_frame_size: int = option(
        16_384,
        help="Largest frame to accept; raised to 16384, the least that HTTP/2 allows.",
        flag="--http2-max-frame-size",
        unit="bytes",
        minimum=1024,
        maximum=16_777_215,
        kw_only=False,
    )
    max_headers_size: int = option(
        16_777_216,
        help="Largest request head as HTTP/2 counts it; a larger one is answered with 431.",
        flag="--http2-max-headers-size",
        unit="bytes",
        minimum=1,
        maximum=2_147_483_647,
        kw_only=False,
    )
    max_send_buffer_size: int = option(
        409_600,
        help="Response bytes that a stream queues before its application has to wait.",
        flag="--http2-max-send-buffer-size",
        unit="bytes",
        minimum=1024,
        kw_only=False,
    )
    idle_timeout: float = option(
        75.0,
        help="Time without an open stream, after which a connection is closed.",
        flag="--http2-idle-timeout",
        unit="seconds",
        minimum=0.05,
    )
    max_fields: int = option(
        100,
        help="Most header fields in a request, cookies apart; more are answered with 431.",
        flag="--http2-max-fields",
        minimum=1,
    )
    engine: EngineChoice = option(
        "auto",
        help="HTTP/2 engine: 'reference' is h2, 'fast' our own strict one.",
        flag="--http2-engine",
        choices=("auto", "reference", "fast"),
    )

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def stream_window(self) -> int:
        """The window that a stream begins with, in bytes."""
        return 65_535 if self.adaptive_window else self.initial_stream_window_size

    @property
    def connection_window(self) -> int:
        """The window that a connection begins with, in bytes."""
        if self.adaptive_window:
            return 65_535
        return max(65_535, self.initial_connection_window_size)

    @property
    def frame_size(self) -> int:
        """The effective largest frame (RFC 9113 6.5.2), in bytes."""
        return max(16_384, self.max_frame_size)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one peer may cost, whatever the HTTP version."""

    request_line: int = option(
        65_536,
        help="Longest request line; a longer one is answered with 414.",
        flag="--request-line-limit",
        unit="bytes",
        minimum=256,
    )
    max_body_size: int | None = option(
        None,
        help="Largest request body; a larger one is answered with 413. Unlimited by default.",
        flag="--max-body-size",
        unit="bytes",
        minimum=0,
    )
    body_idle_timeout: float = option(
        30.0,
        help="Longest pause within a request body that we are waiting for.",
        flag="--body-idle-timeout",
        unit="seconds",
        minimum=0.05,
    )
    body_min_rate: int = option(
        240,
        help="Slowest request body, averaged after 20 seconds of waiting; 0 disables it.",
        flag="--body-min-rate",
        unit="bytes per second",
        minimum=0,
    )
    write_timeout: float = option(
        60.0,
        help="Longest time that a peer may take none of the bytes we have for it.",
        flag="--write-timeout",
        unit="seconds",
        minimum=0.05,
    )
    max_connections: int | None = option(
        None,
        help="Most open connections per worker; beyond it the longest idle one is closed. "
        "By default four times the back-pressure, at least 1024.",
        flag="--max-connections",
        minimum=1,
    )
    header_list_bytes: int = option(
        65_536, help="Decoded bytes of one HTTP/2 field section.", unit="bytes", minimum=1024
    )
    body_min_rate_grace: float = option(
        20.0, help="Waiting time before the minimum body rate applies.", unit="seconds", minimum=0
    )
    unread_body_bytes: int = option(
        262_144,
        help="Unread request body that is drained to keep a connection.",
        unit="bytes",
        minimum=0,
    )
    linger_timeout: float = option(
        1.0,
        help="Time to read and drop what a peer still sends after a final error.",
        unit="seconds",
        minimum=0.05,
    )

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketSettings:
    """WebSocket settings (RFC 6455, RFC 7692)."""

    ping_interval: float = option(
        20.0,
        help="Time between keep-alive pings on a WebSocket; 0 sends none.",
        flag="--ws-ping-interval",
        unit="seconds",
        minimum=0,
    )
    ping_timeout: float = option(
        20.0,
        help="Time for a WebSocket's answer to a keep-alive ping; 0 waits for ever.",
        flag="--ws-ping-timeout",
        unit="seconds",
        minimum=0,
    )
    max_message_size: int = option(
        67_108_864,
        help="Largest WebSocket message; a larger one closes the WebSocket with code 1009.",
        flag="--ws-max-message-size",
        unit="bytes",
        minimum=1,
    )
    compression: bool = option(
        True,
        help="Compress WebSocket messages for clients that offer permessage-deflate.",
        flag="--ws-compression",
    )
    origins: tuple[str, ...] = option(
        (),
        help="Origin that browsers may open WebSockets from, as https://example.org. "
        "May be repeated; by default the application decides.",
        flag="--ws-origins",
    )
    engine: EngineChoice = option(
        "auto",
        help="WebSocket engine: 'reference' is wsproto, 'fast' our own strict one.",
        flag="--ws-engine",
        choices=("auto", "reference", "fast"),
    )
    max_frame_size: int = option(
        16_777_216, help="Largest WebSocket frame.", unit="bytes", minimum=1
    )
    max_fragments: int = option(
        131_072, help="Most frames that one WebSocket message may come in.", minimum=1
    )
    max_inflate_ratio: int = option(
        512,
        help="Most that a compressed message over 1 MiB may grow by, on average.",
        minimum=2,
    )
    message_timeout: float = option(
        300.0,
        help="Longest time from the first to the last byte of one WebSocket message.",
        unit="seconds",
        minimum=0.05,
    )
    close_timeout: float = option(
        10.0,
        help="Time for a WebSocket's answer to our close frame.",
        unit="seconds",
        minimum=0.05,
    )

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSSettings:
    """TLS settings. TLS is on where there is a certificate."""

    certificate: tuple[Path, ...] = option(
        (),
        help="PEM file of a certificate, followed by those of its issuers. May be repeated: "
        "clients get the one for the name they ask for, else the first.",
        flag="--ssl-certificate",
        kind="file",
    )
    keyfile: tuple[Path, ...] = option(
        (),
        help="PEM file of the certificate's private key. Repeated in the same order.",
        flag="--ssl-keyfile",
        kind="file",
    )
    keyfile_password: str | None = option(
        None,
        help="Password of the private keys that are encrypted. Better given by its variable.",
        flag="--ssl-keyfile-password",
        secret=True,
    )
    protocol_min: TLSVersion = option(
        "tls1.3",
        help="Oldest TLS version to accept.",
        flag="--ssl-protocol-min",
        choices=("tls1.2", "tls1.3"),
    )
    ca: Path | None = option(
        None,
        help="PEM file of the authorities for client certificates. A client that sends one "
        "needs a valid one.",
        flag="--ssl-ca",
        kind="file",
    )
    crl: tuple[Path, ...] = option(
        (),
        help="PEM file of revocation lists, one from each authority. May be repeated.",
        flag="--ssl-crl",
        kind="file",
    )
    client_verify: bool = option(
        False,
        help="Refuse clients without a certificate.",
        flag="--ssl-client-verify",
    )
    handshake_timeout: float = option(
        10.0,
        help="Time for the whole TLS handshake.",
        flag="--tls-handshake-timeout",
        unit="seconds",
        minimum=0.05,
    )

    def __post_init__(self) -> None:
        check_bounds(self)
        if len(self.certificate) > len(self.keyfile):
            raise ConfigurationError(
                "--ssl-certificate",
                self.certificate[len(self.keyfile)],
                "has no key; give its --ssl-keyfile too",
            )
        if len(self.keyfile) > len(self.certificate):
            raise ConfigurationError(
                "--ssl-keyfile",
                self.keyfile[len(self.certificate)],
                "has no certificate; give its --ssl-certificate too",
            )
        for option_, is_set in (
            ("--ssl-keyfile-password", self.keyfile_password is not None),
            ("--ssl-ca", self.ca is not None),
            ("--ssl-crl", bool(self.crl)),
            ("--ssl-client-verify", self.client_verify),
        ):
            if is_set and not self.certificate:
                raise ConfigurationError(option_, None, "use it together with --ssl-certificate")
            if is_set and self.ca is None and option_ in ("--ssl-crl", "--ssl-client-verify"):
                raise ConfigurationError(option_, None, "use it together with --ssl-ca")

    @property
    def enabled(self) -> bool:
        """Whether TLS is served."""
        return bool(self.certificate)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticSettings:
    """Directories whose files are served without calling the application."""

    route: tuple[str, ...] = option(
        (),
        help="URL path of a directory of static files, /static by default. May be repeated: "
        "one for each --static-path-mount, in the same order.",
        flag="--static-path-route",
    )
    mount: tuple[Path, ...] = option(
        (),
        help="Directory whose files are served without calling the application. May be repeated.",
        flag="--static-path-mount",
        kind="directory",
    )
    dir_to_file: str | None = option(
        None,
        help="Name of the file that is served for a directory, such as index.html.",
        flag="--static-path-dir-to-file",
    )
    expires: int = option(
        86_400,
        help="How long clients may use a static file without asking again; 0 leaves it to them.",
        flag="--static-path-expires",
        unit="seconds",
        kind="duration",
        minimum=0,
    )
    follow_symlinks: bool = option(
        False,
        help="Serve files that symbolic links in a mount lead to outside of it.",
        flag="--static-path-follow-symlinks",
    )
    dotfiles: bool = option(
        False,
        help="Serve files and directories whose names begin with a dot, not only .well-known.",
        flag="--static-path-dotfiles",
    )

    def __post_init__(self) -> None:
        check_bounds(self)
        for route in self.route:
            if not route.startswith("/") or "//" in route:
                raise ConfigurationError(
                    "--static-path-route", route, "begin it with one slash, as in /static"
                )
        for path in self.mount:
            if not Path(path).is_dir():
                raise ConfigurationError("--static-path-mount", path, "there is no such directory")
        if self.route and len(self.route) != len(self.mount):
            raise ConfigurationError(
                "--static-path-route", None, "give one for each --static-path-mount"
            )
        if len(self.mount) > 1 and not self.route:
            raise ConfigurationError(
                "--static-path-mount",
                self.mount[1],
                "give a --static-path-route for each of several",
            )
        name = self.dir_to_file
        if name is not None and (not name or "/" in name or "\\" in name or name in (".", "..")):
            raise ConfigurationError("--static-path-dir-to-file", name, "give the name of a file")

    @property
    def pairs(self) -> list[tuple[str, Path]]:
        """The routes with their directories, which are absolute."""
        routes = self.route or ("/static",)
        return [
            (route, Path(path).absolute()) for route, path in zip(routes, self.mount, strict=False)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """What one `Server` needs to know besides its interface and sockets."""

    http1: HTTP1Settings = HTTP1Settings()
    http2: HTTP2Settings = HTTP2Settings()
    limits: Limits = Limits()
    tls: TLSSettings = TLSSettings()
    websocket: WebSocketSettings = WebSocketSettings()
    static: StaticSettings = StaticSettings()
    http: HTTPMode = option(
        "auto",
        help="HTTP version to serve; 'auto' lets the client's first bytes, or ALPN, decide.",
        flag="--http",
        choices=("auto", "1", "2"),
    )
    backlog: int = option(
        1024, help="Length of each listening socket's queue.", flag="--backlog", minimum=128
    )
    backpressure: int = option(
        1024, help="Most requests in progress per worker.", flag="--backpressure", minimum=1
    )
    access_log_format: str | None = None
    """Format of the access log, or None to keep none."""
    task_impl: TaskImpl = option(
        "asyncio",
        help="How application coroutines start: 'rust' starts them eagerly (CPython 3.12+).",
        flag="--task-impl",
        choices=("asyncio", "rust"),
    )

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def max_connections(self) -> int:
        """The effective socket bound (`Limits.max_connections` or its derived default)."""
        if self.limits.max_connections is not None:
            return self.limits.max_connections
        return max(1024, 4 * self.backpressure)

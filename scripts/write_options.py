"""Write the table of options in docs/options.md from the settings that declare them.

    python scripts/write_options.py

An option that the command has is *done*. Those of Granian that it does not have yet are
listed here, and are *planned*.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from granian_cli.config import OptionSpec, option_choices, option_specs

PAGE = Path(__file__).resolve().parent.parent / "docs" / "options.md"
BEGIN, END = "<!-- options: begin -->\n", "<!-- options: end -->\n"

# Granian's options that the command may not have yet: variable (without prefix), default, what.
PLANNED = {
    "--ws": ("WEBSOCKETS", "enabled", "Serve WebSockets."),
    "--runtime-threads": ("RUNTIME_THREADS", "1", "I/O threads per worker."),
    "--runtime-blocking-threads": (
        "RUNTIME_BLOCKING_THREADS",
        "512",
        "Threads per worker for file I/O.",
    ),
    "--runtime-mode": ("RUNTIME_MODE", "auto", "How I/O threads share connections."),
    "--http2-adaptive-window": (
        "HTTP2_ADAPTIVE_WINDOW",
        "disabled",
        "Window sizes by what the network carries.",
    ),
    "--http2-initial-connection-window-size": (
        "HTTP2_INITIAL_CONNECTION_WINDOW_SIZE",
        "1048576",
        "Flow control window of a connection.",
    ),
    "--http2-initial-stream-window-size": (
        "HTTP2_INITIAL_STREAM_WINDOW_SIZE",
        "1048576",
        "Flow control window of a stream.",
    ),
    "--http2-keep-alive-interval": (
        "HTTP2_KEEP_ALIVE_INTERVAL",
        "disabled",
        "Time between PINGs (milliseconds).",
    ),
    "--http2-keep-alive-timeout": (
        "HTTP2_KEEP_ALIVE_TIMEOUT",
        "20",
        "Time for the answer to a PING.",
    ),
    "--http2-max-concurrent-streams": (
        "HTTP2_MAX_CONCURRENT_STREAMS",
        "200",
        "Streams per connection.",
    ),
    "--http2-max-frame-size": ("HTTP2_MAX_FRAME_SIZE", "16384", "Largest frame."),
    "--http2-max-headers-size": (
        "HTTP2_MAX_HEADERS_SIZE",
        "16777216",
        "Largest list of header fields.",
    ),
    "--http2-max-send-buffer-size": (
        "HTTP2_MAX_SEND_BUFFER_SIZE",
        "409600",
        "Bytes waiting to be sent per stream.",
    ),
    "--ssl-certificate": ("SSL_CERTIFICATE", "", "Certificate file."),
    "--ssl-keyfile": ("SSL_KEYFILE", "", "Private key file."),
    "--ssl-keyfile-password": ("SSL_KEYFILE_PASSWORD", "", "Password of the private key."),
    "--ssl-protocol-min": ("SSL_PROTOCOL_MIN", "tls1.3", "Oldest version of TLS."),
    "--ssl-ca": ("SSL_CA", "", "Authorities that client certificates come from."),
    "--ssl-crl": ("SSL_CRL", "", "Revocation lists."),
    "--ssl-client-verify": ("SSL_CLIENT_VERIFY", "disabled", "Demand a client certificate."),
    "--static-path-route": ("STATIC_PATH_ROUTE", "/static", "Routes of static files."),
    "--static-path-mount": ("STATIC_PATH_MOUNT", "", "Directories of static files."),
    "--static-path-dir-to-file": (
        "STATIC_PATH_DIR_TO_FILE",
        "",
        "File that answers for its directory.",
    ),
    "--static-path-expires": ("STATIC_PATH_EXPIRES", "86400", "Age that caches may keep."),
    "--metrics": ("METRICS_ENABLED", "disabled", "Serve metrics for Prometheus."),
    "--metrics-scrape-interval": (
        "METRICS_SCRAPE_INTERVAL",
        "15",
        "Time between two reports of a worker.",
    ),
    "--metrics-address": ("METRICS_ADDRESS", "127.0.0.1", "Address of the metrics."),
    "--metrics-port": ("METRICS_PORT", "9090", "Port of the metrics."),
}

GRANIAN = (
    *("--host", "--port", "--uds", "--uds-permissions", "--interface", "--http", "--ws"),
    *("--workers", "--blocking-threads", "--blocking-threads-idle-timeout", "--runtime-threads"),
    *("--runtime-blocking-threads", "--runtime-mode", "--loop", "--task-impl", "--backlog"),
    *("--backpressure", "--http1-buffer-size", "--http1-header-read-timeout"),
    *("--http1-keep-alive", "--http1-pipeline-flush", "--http2-adaptive-window"),
    *("--http2-initial-connection-window-size", "--http2-initial-stream-window-size"),
    *("--http2-keep-alive-interval", "--http2-keep-alive-timeout"),
    *("--http2-max-concurrent-streams", "--http2-max-frame-size", "--http2-max-headers-size"),
    *("--http2-max-send-buffer-size", "--log", "--log-level", "--log-config", "--access-log"),
    *("--access-log-fmt", "--ssl-certificate", "--ssl-keyfile", "--ssl-keyfile-password"),
    *("--ssl-protocol-min", "--ssl-ca", "--ssl-crl", "--ssl-client-verify"),
    *("--url-path-prefix", "--respawn-failed-workers", "--respawn-interval"),
    *("--rss-sample-interval", "--rss-samples", "--workers-lifetime", "--workers-max-rss"),
    *("--workers-kill-timeout", "--factory", "--working-dir", "--env-files"),
    *("--static-path-route", "--static-path-mount", "--static-path-dir-to-file"),
    *("--static-path-expires", "--metrics", "--metrics-scrape-interval", "--metrics-address"),
    *("--metrics-port", "--reload", "--reload-paths", "--reload-ignore-dirs"),
    *("--reload-ignore-patterns", "--reload-ignore-paths", "--reload-tick"),
    *("--reload-ignore-worker-failure", "--process-name", "--pid-file"),
)
"""Every option of Granian 2.8; what else the command has is an addition of ours."""


@dataclass(frozen=True, slots=True)
class Row:
    """One option."""

    title: str
    flag: str
    values: str
    variable: str
    default: str
    meaning: str
    status: str


def rows() -> list[Row]:
    """Return every option: those of the command in the order of its help, then the planned."""
    done = [_row(spec) for spec in option_specs()]
    have = {row.flag for row in done}
    return done + [
        Row("Planned", flag, "", f"GRANIAN_{variable}", default, meaning, "planned")
        for flag, (variable, default, meaning) in PLANNED.items()
        if flag not in have
    ]


def updated(page: str) -> str:
    """Return the page with its tables made anew."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{PAGE} has no {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}{_tables()}\n{END}{after}"


def _tables() -> str:
    text, title = "", ""
    for row in rows():
        if row.title != title:
            title = row.title
            text += f"\n## {title}\n\n"
            text += "| option and variable | default | meaning |\n"
            text += "|---|---|---|\n"
        names = [row.flag, *([_no(row.flag)] if row.values == "bool" else []), row.variable]
        # What is said of a default is text; a default itself is what one would write.
        default = f"`{row.default}`" if row.default and " " not in row.default else row.default
        notes = [] if row.values in ("", "bool") else [row.values]
        if row.status == "planned" or row.flag not in GRANIAN:
            notes.append(row.status if row.status == "planned" else "addition")
        meaning = row.meaning + (f"<br>*{'; '.join(notes)}*" if notes else "")
        text += f"| {'<br>'.join(f'`{name}`' for name in names)} | {default} | {meaning} |\n"
    return text


def _no(flag: str) -> str:
    return f"--no-{flag.removeprefix('--')}"


def _row(spec: OptionSpec) -> Row:
    meaning = spec.help.replace("|", "\\|")
    return Row(spec.title, spec.flag, _values(spec), spec.variable, _default(spec), meaning, "done")


def _default(spec: OptionSpec) -> str:
    default = spec.default
    if spec.default_text:
        return spec.default_text
    if isinstance(default, bool):
        return "enabled" if default else "disabled"
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    return "" if default is None else str(default)


def _values(spec: OptionSpec) -> str:
    if spec.type is bool:
        return "bool"
    choices = option_choices(spec)
    if choices:
        # Interfaces of third parties are not for this page.
        return ", ".join(choice for choice in choices)
    kind = spec.kind or {int: "number", float: "seconds", str: "text"}.get(spec.type, "path")
    parts = ["octal mode" if kind == "octal" else kind]
    if spec.unit and spec.unit != "seconds":
        parts = [spec.unit]
    low, high = spec.minimum, spec.maximum
    if spec.kind != "octal" and low is not None:
        parts.append(f"{low} to {high}" if high is not None else f"at least {low}")
    if spec.repeatable:
        parts.append("repeatable")
    return ", ".join(parts)


def main() -> int:
    """Write the page."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(updated(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

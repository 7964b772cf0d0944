"""Every public name that programs import from Granian, with its signature.

The table is the public API of Granian 2.8: module, name, and, for what is called, the
parameters in order with their defaults. Ours may take more, after or beside these.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NO = inspect.Parameter.empty

GRANIAN: dict[str, Any] = {
    "target": NO,
    "address": "127.0.0.1",
    "port": 8000,
    "uds": None,
    "uds_permissions": None,
    "interface": "rsgi",
    "workers": 1,
    "blocking_threads": None,
    "blocking_threads_idle_timeout": 30,
    "runtime_threads": 1,
    "runtime_blocking_threads": None,
    "runtime_mode": "auto",
    "loop": "auto",
    "task_impl": "asyncio",
    "http": "auto",
    "websockets": True,
    "backlog": 1024,
    "backpressure": None,
    "http1_settings": None,
    "http2_settings": None,
    "log_enabled": True,
    "log_level": "info",
    "log_dictconfig": None,
    "log_access": False,
    "log_access_format": None,
    "ssl_cert": None,
    "ssl_key": None,
    "ssl_key_password": None,
    "ssl_protocol_min": "tls1.3",
    "ssl_ca": None,
    "ssl_crl": None,
    "ssl_client_verify": False,
    "url_path_prefix": None,
    "respawn_failed_workers": False,
    "respawn_interval": 3.5,
    "rss_sample_interval": 30,
    "rss_samples": 1,
    "workers_lifetime": None,
    "workers_max_rss": None,
    "workers_kill_timeout": None,
    "factory": False,
    "working_dir": None,
    "env_files": None,
    "static_path_route": None,
    "static_path_mount": None,
    "static_path_dir_to_file": None,
    "static_path_expires": 86400,
    "metrics_enabled": False,
    "metrics_scrape_interval": 15,
    "metrics_address": "127.0.0.1",
    "metrics_port": 9090,
    "reload": False,
    "reload_paths": None,
    "reload_ignore_dirs": None,
    "reload_ignore_patterns": None,
    "reload_ignore_paths": None,
    "reload_filter": None,
    "reload_tick": 50,
    "reload_ignore_worker_failure": False,
    "process_name": None,
    "pid_file": None,
}

NOT_EMBEDDED = [
    "uds_permissions",
    "workers",
    "runtime_mode",
    "loop",
    "respawn_failed_workers",
    "respawn_interval",
    "rss_sample_interval",
    "rss_samples",
    "workers_lifetime",
    "workers_max_rss",
    "workers_kill_timeout",
    "working_dir",
    "env_files",
    "metrics_enabled",
    "metrics_scrape_interval",
    "metrics_address",
    "metrics_port",
    "reload",
    "reload_paths",
    "reload_ignore_dirs",
    "reload_ignore_patterns",
    "reload_ignore_paths",
    "reload_filter",
    "reload_tick",
    "reload_ignore_worker_failure",
    "process_name",
    "pid_file",
]

EMBEDDED = {name: default for name, default in GRANIAN.items() if name not in NOT_EMBEDDED}
EMBEDDED["backlog"] = 128

HTTP1 = {
    "header_read_timeout": 30_000,
    "keep_alive": True,
    "max_buffer_size": 417_792,
    "pipeline_flush": False,
}
HTTP2 = {
    "adaptive_window": False,
    "initial_connection_window_size": 1_048_576,
    "initial_stream_window_size": 1_048_576,
    "keep_alive_interval": None,
    "keep_alive_timeout": 20,
    "max_concurrent_streams": 200,
    "max_frame_size": 16_384,
    "max_headers_size": 16_777_216,
    "max_send_buffer_size": 409_600,
}
WRAPPER = {"app": NO, "trusted_hosts": "127.0.0.1"}
SERVE = {"spawn_target": None, "target_loader": None, "wrap_loader": True}

CALLED: list[tuple[str, str, dict[str, Any]]] = [
    ("granian", "Granian", GRANIAN),
    ("granian", "Granian.serve", SERVE),
    ("granian", "Granian.on_startup", {"hook": NO}),
    ("granian", "Granian.on_reload", {"hook": NO}),
    ("granian", "Granian.on_shutdown", {"hook": NO}),
    ("granian", "loops.register", {"key": NO, "packages": None}),
    ("granian", "loops.get", {"key": NO}),
    ("granian", "loops.keys", {}),
    ("granian.server", "Server", GRANIAN),
    ("granian.server", "MPServer", GRANIAN),
    ("granian.server", "MTServer", GRANIAN),
    ("granian.server", "MTServer.serve", SERVE),
    ("granian.server.mp", "MPServer", GRANIAN),
    ("granian.server.mt", "MTServer", GRANIAN),
    ("granian.server.common", "AbstractServer", GRANIAN),
    ("granian.server.embed", "Server", EMBEDDED),
    ("granian.server.embed", "Server.serve", {"spawn_target": None}),
    ("granian.server.embed", "Server.stop", {}),
    ("granian.server.embed", "Server.reload", {}),
    ("granian.server.embed", "Server.on_startup", {"hook": NO}),
    ("granian.server.embed", "Server.on_reload", {"hook": NO}),
    ("granian.server.embed", "Server.on_shutdown", {"hook": NO}),
    ("granian.http", "HTTP1Settings", HTTP1),
    ("granian.http", "HTTP2Settings", HTTP2),
    ("granian.log", "configure_logging", {"level": NO, "config": None, "enabled": True}),
    ("granian.log", "log_request_builder", {"fmt": NO}),
    ("granian.utils.proxies", "wrap_asgi_with_proxy_headers", WRAPPER),
    ("granian.utils.proxies", "wrap_wsgi_with_proxy_headers", WRAPPER),
    ("granian.net", "SocketSpec", {"host": NO, "port": NO, "backlog": NO}),
    ("granian.net", "SocketSpec.build", {}),
    ("granian.net", "SocketSpec.is_uds", {}),
    ("granian.net", "UnixSocketSpec.build", {}),
    ("granian.net", "SocketHolder", {"fd": NO, "uds": NO, "backlog": NO}),
    ("granian.net", "SocketHolder.get_fd", {}),
    ("granian.net", "SocketHolder.is_uds", {}),
    ("granian.cli", "entrypoint", {}),
    ("granian.cli", "Duration", {"min": None, "max": None}),
    ("granian.cli", "EnumType", {"enum": NO, "case_sensitive": False}),
    ("granian.cli", "OctalIntType", {}),
    ("granian._granian", "ProcInfoCollector", {}),
    ("granian._granian", "ProcInfoCollector.memory", {"pids": None}),
]

ENUMS: dict[str, dict[str, str]] = {
    "Interfaces": {"ASGI": "asgi", "ASGINL": "asginl", "RSGI": "rsgi", "WSGI": "wsgi"},
    "HTTPModes": {"auto": "auto", "http1": "1", "http2": "2"},
    "RuntimeModes": {"auto": "auto", "mt": "mt", "st": "st"},
    "Loops": {word: word for word in ("auto", "asyncio", "rloop", "uvloop", "winloop")},
    "TaskImpl": {"asyncio": "asyncio", "rust": "rust"},
    "SSLProtocols": {"tls12": "tls1.2", "tls13": "tls1.3"},
}

PRESENT = {
    "granian": "Granian loops __version__",
    "granian.server": "Server MPServer MTServer common mp mt embed",
    "granian.constants": "StrEnum " + " ".join(ENUMS),
    "granian.http": "HTTP1Settings HTTP2Settings",
    "granian.log": "LogLevels log_levels_map LOGGING_CONFIG DEFAULT_ACCESSLOG_FMT logger "
    "access_logger configure_logging log_request_builder",
    "granian.errors": "FatalError ConfigurationError PidFileError",
    "granian.rsgi": "Scope Headers HTTPProtocol WebsocketProtocol ProtocolError ProtocolClosed "
    "WebsocketMessageType WebsocketMessage",
    "granian.utils.proxies": "wrap_asgi_with_proxy_headers wrap_wsgi_with_proxy_headers "
    "wrap_rsgi_with_proxy_headers",
    "granian.net": "SocketSpec UnixSocketSpec SocketHolder",
    "granian.cli": "cli entrypoint Duration EnumType OctalIntType",
    "granian._granian": "__version__ BUILD_GIL ProcInfoCollector SocketHolder ListenerSpec "
    "UnixListenerSpec RSGIHTTPProtocol RSGIHTTPScope RSGIHTTPStreamTransport RSGIHeaders "
    "RSGIProtocolClosed RSGIProtocolError RSGIWebsocketProtocol RSGIWebsocketScope "
    "RSGIWebsocketTransport",
}


@pytest.mark.parametrize("module", PRESENT)
def test_names_import(module: str) -> None:
    found = importlib.import_module(module)
    names = PRESENT[module].split()
    assert [name for name in names if not hasattr(found, name)] == []
    assert set(names) <= {*found.__all__, "AbstractServer"}


@pytest.mark.parametrize(
    ("module", "name", "expected"), CALLED, ids=[f"{m}.{n}" for m, n, _ in CALLED]
)
def test_signatures_match(module: str, name: str, expected: dict[str, Any]) -> None:
    """The same parameters, in the same order, with the same defaults, all positional."""
    called: Any = importlib.import_module(module)
    for part in name.split("."):
        called = getattr(called, part)
    parameters = dict(inspect.signature(called).parameters)
    parameters.pop("self", None)
    ours = list(parameters.values())[: len(expected)]
    assert [p.name for p in ours] == list(expected)
    assert [p.default for p in ours] == list(expected.values())
    assert {p.kind for p in ours} <= {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    rest = list(parameters.values())[len(expected) :]
    assert all(p.default is not NO or p.kind is p.VAR_KEYWORD for p in rest)


@pytest.mark.parametrize("name", ENUMS)
def test_enums_have_their_words(name: str) -> None:
    constants = importlib.import_module("granian.constants")
    words = getattr(constants, name)
    assert issubclass(words, constants.StrEnum)
    assert {member.name: member.value for member in words} == ENUMS[name]
    assert [str(member) for member in words] == list(ENUMS[name].values())


def test_enums_of_the_other_modules() -> None:
    log, rsgi = importlib.import_module("granian.log"), importlib.import_module("granian.rsgi")
    assert issubclass(log.LogLevels, (str, enum.Enum))
    assert " ".join(log.LogLevels) == "critical error warning warn info debug notset"
    assert log.log_levels_map[log.LogLevels.warn] == logging.WARNING
    kinds = {member.name: member.value for member in rsgi.WebsocketMessageType}
    assert kinds == {"close": 0, "bytes": 1, "string": 2}


def test_errors_form_the_tree() -> None:
    errors, rsgi = (
        importlib.import_module("granian.errors"),
        importlib.import_module("granian.rsgi"),
    )
    assert issubclass(errors.FatalError, Exception)
    assert issubclass(errors.ConfigurationError, errors.FatalError)
    assert issubclass(errors.PidFileError, errors.FatalError)
    assert issubclass(rsgi.ProtocolError, RuntimeError)
    assert issubclass(rsgi.ProtocolClosed, RuntimeError)


@pytest.mark.parametrize(
    "name",
    [
        "interface",
        "bind_addr",
        "bind_port",
        "bind_uds",
        "workers",
        "wrks",
        "process_name",
        "respawn_interval",
        "hooks_startup",
        "hooks_reload",
        "hooks_shutdown",
    ],
)
def test_attributes_exist(name: str) -> None:
    granian = importlib.import_module("granian")
    embed = importlib.import_module("granian.server.embed")
    assert hasattr(granian.Granian("x"), name)
    if name not in ("workers", "wrks", "process_name", "respawn_interval"):
        assert hasattr(embed.Server(None, interface="asgi"), name) or name == "interface"


IMPORTED = """
import json, sys
import granian, granian.server.embed, granian.rsgi, granian.constants, granian.log
names = ("click", "rich", "rich_click", "psutil")
print(json.dumps([name for name in names if name in sys.modules]))
"""


def test_importing_granian_imports_no_command_line(tmp_path: Path) -> None:
    """Workers and embedding programs import it too."""
    printed = subprocess.run(
        [sys.executable, "-c", IMPORTED],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    ).stdout
    assert json.loads(printed) == []

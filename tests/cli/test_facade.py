"""`granian.Granian`: the keyword arguments, without serving."""

from __future__ import annotations

import enum
import logging
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import granian
from granian import Granian, constants, loops
from granian._granian import ProcInfoCollector
from granian.log import LogLevels, access_logger, log_request_builder
from granian.net import SocketSpec, UnixSocketSpec
from granian.server import MTServer
from granian_core.errors import ConfigurationError, FatalError
from granian_core.settings import HTTP1Settings


class Interfaces(str, enum.Enum):
    ASGI = "asgi"


def test_names() -> None:
    assert granian.__version__
    assert "asyncio" in loops


def test_keywords_reach_the_configuration() -> None:
    server = Granian(
        "x:app",
        "0.0.0.0",
        9000,
        interface=Interfaces.ASGI,
        workers=2,
        log_access=True,
        log_access_format="%(addr)s",
        http1_settings=HTTP1Settings(keep_alive=False),
        env_files=[],
        factory=True,
    )
    configuration = server.configuration
    assert configuration.target == "x:app"
    assert configuration.network.host == ("0.0.0.0",)
    assert configuration.network.port == 9000
    assert configuration.application.interface == "asgi"
    assert configuration.application.factory is True
    assert configuration.processes.workers == 2
    assert configuration.log.log_access_enabled is True
    assert configuration.log.log_access_fmt == "%(addr)s"
    assert configuration.http1.keep_alive is False


def test_several_addresses() -> None:
    server = Granian("x", ["127.0.0.1", "::1"])
    assert server.configuration.network.host == ("127.0.0.1", "::1")


def test_numbers_are_raised_to_the_least() -> None:
    configuration = Granian("x", workers=0, backlog=1, backpressure=0).configuration
    assert configuration.processes.workers == 1
    assert configuration.network.backlog == 128
    assert configuration.backpressure == 1


@pytest.mark.parametrize(
    "keywords",
    [{"metrics_enabled": True}, {"metrics_port": 1}],
    ids=lambda keywords: next(iter(keywords)),
)
def test_what_is_not_supported_yet_says_so(keywords: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="not supported yet") as caught:
        Granian("x", **keywords)
    assert caught.value.option == next(iter(keywords))


def test_neutral_values_of_those_are_fine() -> None:
    Granian("x", metrics_enabled=False, runtime_threads=1, runtime_mode="auto", ssl_cert=None)


def test_tls_keywords() -> None:
    """One file or several, text or path, as people give them."""
    tls = Granian(
        "x",
        ssl_cert=Path("a.pem"),
        ssl_key="a.key",
        ssl_key_password="secret",
        ssl_protocol_min="tls1.2",
        ssl_ca=Path("ca.pem"),
        ssl_crl=[Path("one.crl"), Path("two.crl")],
        ssl_client_verify=True,
    ).configuration.tls
    assert (tls.certificate, tls.keyfile) == ((Path("a.pem"),), (Path("a.key"),))
    assert (tls.keyfile_password, tls.protocol_min) == ("secret", "tls1.2")
    assert (tls.ca, tls.client_verify) == (Path("ca.pem"), True)
    assert tls.crl == (Path("one.crl"), Path("two.crl"))
    assert not Granian("x", ssl_cert=None, ssl_key=None).configuration.tls.enabled


def test_unknown_keywords_are_errors() -> None:
    with pytest.raises(
        TypeError, match="there is no such setting; did you mean workers?"
    ) as caught:
        Granian("x", wrokers=2)
    assert isinstance(caught.value, ConfigurationError)


@pytest.mark.parametrize(
    ("name", "keyword"), [("host", "address"), ("ssl_certificate", "ssl_cert")]
)
def test_settings_have_one_keyword(name: str, keyword: str) -> None:
    with pytest.raises(TypeError, match=f"the keyword is {keyword}"):
        Granian("x", **{name: "127.0.0.1"})


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("workers", "2", "use a whole number"),
        ("workers", True, "use a whole number"),
        ("port", 8000.0, "use a whole number"),
        ("port", None, "use a whole number"),
        ("respawn_interval", "3.5", "use a number"),
        ("websockets", 1, "use True or False"),
        ("log_level", 20, "use text"),
        ("interface", None, "use text"),
        ("url_path_prefix", b"/api", "use text"),
        ("address", 5, "use a list"),
        ("address", [5], "use text"),
        ("uds", 3, "use a pathlib.Path"),
        ("env_files", [3], "use a pathlib.Path"),
        ("env_files", {"a": 1}, "use a list"),
        ("http1_settings", {"keep_alive": False}, "use HTTP1Settings"),
        ("limits", 5, "use Limits"),
        ("log_dictconfig", "x", "use a dict"),
        ("reload_filter", "x", "use a watchfiles filter class"),
    ],
)
def test_wrong_types_are_errors_that_name_the_keyword(name: str, value: Any, remedy: str) -> None:
    with pytest.raises(TypeError, match=remedy) as caught:
        Granian("x", **{name: value})
    assert isinstance(caught.value, ConfigurationError)
    assert caught.value.option == name


@pytest.mark.parametrize("name", ["http", "log_level", "task_impl", "ssl_protocol_min"])
def test_unknown_words_are_errors(name: str) -> None:
    with pytest.raises(ConfigurationError, match="use one of"):
        Granian("x", **{name: "nonsense"})


def test_an_application_object_is_no_target() -> None:
    with pytest.raises(TypeError, match="granian.server.embed.Server"):
        Granian(test_names)  # type: ignore[arg-type]


def test_enums_and_words_mean_the_same() -> None:
    words = Granian("x", interface="asgi", http="2", log_level="debug", ssl_protocol_min="tls1.2")
    members = Granian(
        "x",
        interface=constants.Interfaces.ASGI,
        http=constants.HTTPModes.http2,
        log_level=LogLevels.debug,
        ssl_protocol_min=constants.SSLProtocols.tls12,
    )
    assert words.configuration == members.configuration
    assert words.interface is members.interface is constants.Interfaces.ASGI


def test_attributes_say_what_was_asked_for(tmp_path: Path) -> None:
    server = Granian(
        "x", "::1", 9000, tmp_path / "s", workers=3, process_name="p", respawn_interval=1
    )
    assert (server.bind_addr, server.bind_port, server.bind_uds) == ("::1", 9000, tmp_path / "s")
    assert (server.workers, server.process_name, server.respawn_interval) == (3, "p", 1)
    assert server.wrks == []


def test_what_is_no_hook_is_refused() -> None:
    with pytest.raises(TypeError, match="use a callable without arguments"):
        Granian("x").on_startup("hook")  # type: ignore[type-var]


def test_the_threaded_server_insists_on_a_python_without_the_gil(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
    with pytest.raises(FatalError, match="needs a free-threaded Python"):
        MTServer("x").serve()


def test_sockets_are_bound_from_their_description(tmp_path: Path) -> None:
    holder = SocketSpec("127.0.0.1", 0, 128).build()
    with holder.socket() as sock:
        assert not holder.is_uds()
        assert sock.fileno() == holder.get_fd()
        assert sock.getsockname()[1] > 0
    with pytest.raises(ConfigurationError, match="name one address"):
        SocketSpec("localhost", 0, 128).build()
    if hasattr(socket, "AF_UNIX"):
        spec = UnixSocketSpec(tmp_path / "s", 128, 0o600)
        unix = spec.build()
        with unix.socket() as sock:
            assert unix.is_uds()
            assert spec.is_uds()
            assert sock.getsockname() == str(tmp_path / "s")


def test_memory_of_processes() -> None:
    pytest.importorskip("psutil")
    collector = ProcInfoCollector()
    (own,) = collector.memory().items()
    assert own[0] == os.getpid()
    assert own[1] > 1 << 20
    assert collector.memory([os.getpid()]).keys() == {os.getpid()}
    with pytest.raises(ProcessLookupError):
        collector.memory([2**22 + 1])


def test_lines_of_the_access_log_can_be_built(caplog: pytest.LogCaptureFixture) -> None:
    log = log_request_builder("%(addr)s %(path)s %(status)d %(header{X-A})s %(header{X-B})s")
    described = {"addr_remote": "192.0.2.1", "path": "/p", "headers": {"X-A": "1"}.get}
    access_logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, access_logger.name):
            log(time.time(), time.monotonic(), described, 404)
    finally:
        access_logger.removeHandler(caplog.handler)
    assert caplog.records[-1].getMessage() == "192.0.2.1 /p 404 1 -"


@pytest.mark.parametrize(
    "keywords", [{"workers_lifetime": 3}, {"blocking_threads_idle_timeout": 1}]
)
def test_out_of_range_values_are_errors(keywords: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Granian("x", **keywords)


def test_hooks_are_kept_and_returned() -> None:
    server = Granian("x")

    @server.on_startup
    def hook() -> None: ...

    assert server.hooks_startup == [hook]
    assert server.on_reload(hook) is hook
    assert server.on_shutdown(hook) is hook
    assert (server.hooks_reload, server.hooks_shutdown) == ([hook], [hook])

"""`granian.Granian`: the keyword arguments, without serving."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import pytest

import granian
from granian import Granian, loops
from granian_core.errors import ConfigurationError
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
    [{"metrics_enabled": True}, {"runtime_threads": 2}],
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
    with pytest.raises(ConfigurationError, match="there is no such setting"):
        Granian("x", wrokers=2)


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

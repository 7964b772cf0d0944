"""The factory, the choice of the callable, the hooks and the access log."""

from __future__ import annotations

import asyncio
import logging
from importlib.metadata import entry_points

import pytest

from granian_core import (
    INTERFACE_API,
    ConfigurationError,
    InterfaceFactory,
    InterfaceOptions,
    StartupError,
    load_interface,
)
from granian_core.testing import MemoryServer
from granian_rsgi import HTTPProtocol, HTTPScope, rsgi
from tests.rsgi.support import fetch, serve


class App:
    """An application with all the hooks."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.calls.append(("init", loop))

    async def __rsgi__(self, scope: HTTPScope, protocol: HTTPProtocol) -> None:
        self.calls.append(("request", scope.path))
        protocol.response_str(200, [], "from __rsgi__")

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.calls.append(("del", loop))


async def application(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    protocol.response_str(200, [], "from a function")


def test_the_factory_is_an_interface_factory() -> None:
    assert isinstance(rsgi, InterfaceFactory)
    assert rsgi.name == "rsgi"
    assert rsgi.interface_api == INTERFACE_API
    assert rsgi.blocking is False
    assert rsgi.default_blocking_threads == 1


def test_the_factory_is_found_by_its_name() -> None:
    (point,) = entry_points(group="granian.interfaces", name="rsgi")

    assert point.load() is rsgi
    assert load_interface("rsgi") is rsgi


def test_a_callable_is_the_application() -> None:
    assert fetch(application).body == b"from a function"


def test_a_callable_object_is_the_application() -> None:
    class Callable:
        async def __call__(self, scope: HTTPScope, protocol: HTTPProtocol) -> None:
            protocol.response_str(200, [], "from __call__")

    assert fetch(Callable()).body == b"from __call__"


def test_the_method_comes_before_the_callable() -> None:
    class Both(App):
        async def __call__(self, *args: object) -> None:
            raise AssertionError("not this one")

    assert fetch(Both()).body == b"from __rsgi__"


def test_the_hooks_run_around_all_requests() -> None:
    app = App()

    async def scenario(server: MemoryServer) -> asyncio.AbstractEventLoop:
        await server.connect().request(target="/first")
        await server.connect().request(target="/second")
        return asyncio.get_running_loop()

    loop = serve(app, scenario)

    assert app.calls == [
        ("init", loop),
        ("request", "/first"),
        ("request", "/second"),
        ("del", loop),
    ]


def test_the_hooks_can_run_a_loop_that_does_not_run_yet() -> None:
    ran: list[str] = []

    class Looping(App):
        def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
            loop.run_until_complete(asyncio.sleep(0))
            ran.append("init")

        def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
            loop.run_until_complete(asyncio.sleep(0))
            ran.append("del")

    interface = rsgi(Looping(), InterfaceOptions())
    loop = asyncio.new_event_loop()
    try:
        interface.setup(loop)
        interface.teardown(loop)
    finally:
        loop.close()
    assert ran == ["init", "del"]


def test_hooks_are_optional() -> None:
    interface = rsgi(application, InterfaceOptions())
    loop = asyncio.new_event_loop()
    try:
        interface.setup(loop)
        interface.teardown(loop)
    finally:
        loop.close()


def test_an_exception_in_the_first_hook_stops_the_start(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(App):
        def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
            raise KeyError("no database")

    async def scenario(server: MemoryServer) -> None:
        raise AssertionError("must not start")

    with (
        caplog.at_level(logging.ERROR, logger="_granian"),
        pytest.raises(StartupError, match="^__rsgi_init__ raised KeyError$"),
    ):
        serve(Failing(), scenario)
    assert "no database" in caplog.text


def test_an_exception_in_the_last_hook_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(App):
        def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
            raise KeyError("still busy")

    with caplog.at_level(logging.ERROR, logger="_granian"):
        assert fetch(Failing()).body == b"from __rsgi__"
    assert "__rsgi_del__" in caplog.text
    assert "still busy" in caplog.text


async def asgi(scope: object, receive: object, send: object) -> None:
    pass


class ASGI:
    async def __call__(self, scope: object, receive: object, send: object) -> None:
        pass


def wsgi(environ: object, start_response: object) -> list[bytes]:
    return []


async def alone(scope: object) -> None:
    pass


class Broken:
    __rsgi__ = "not callable"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (42, "a int is neither callable nor has __rsgi__"),
        (None, "a NoneType is neither callable nor has __rsgi__"),
        (Broken(), "a Broken is neither callable nor has __rsgi__"),
        (asgi, "looks like an ASGI application .* use --interface asgi"),
        (ASGI(), "looks like an ASGI application .* use --interface asgi"),
        (wsgi, "looks like a WSGI application; use --interface wsgi"),
        (App, "is a class; name an instance"),
        (alone, "called with two arguments, scope and protocol"),
    ],
)
def test_a_target_of_another_kind_is_refused(target: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        rsgi(target, InterfaceOptions())
    assert (caught.value.option, caught.value.value) == ("--interface", "rsgi")


def test_a_callable_without_a_signature_is_taken() -> None:
    """Compiled callables may not tell theirs."""

    class Silent:
        __signature__ = "none"

        async def __call__(self, scope: HTTPScope, protocol: HTTPProtocol) -> None:
            protocol.response_str(200, [], "silent")

    assert fetch(Silent()).body == b"silent"


@pytest.mark.parametrize(
    ("peername", "host"),
    [(("192.0.2.1", 80), "192.0.2.1"), (("2001:db8::1", 80, 0, 0), "[2001:db8::1]")],
)
def test_the_access_log_shows_the_host_as_the_scope_does(
    peername: tuple[object, ...], host: str
) -> None:
    """As in the scope, without the port: an IPv6 address keeps its brackets."""
    seen: list[object] = []

    async def spying(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        seen.append((scope.client, scope._stream.log_client))
        protocol.response_empty()

    async def scenario(server: MemoryServer) -> None:
        await server.connect(peername=peername).request()

    serve(spying, scenario, InterfaceOptions(access_log=True))
    assert seen == [(f"{host}:80", (host, 80))]


def test_the_access_log_of_a_unix_socket_has_no_client() -> None:
    seen: list[object] = []

    async def spying(scope: HTTPScope, protocol: HTTPProtocol) -> None:
        seen.append((scope.client, scope.server, scope._stream.log_client))
        protocol.response_empty()

    async def scenario(server: MemoryServer) -> None:
        await server.connect(peername="", sockname="/run/app.sock").request()

    serve(spying, scenario, InterfaceOptions(access_log=True))
    assert seen == [("", "/run/app.sock", None)]

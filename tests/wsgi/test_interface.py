"""The factory: what it publishes, what it takes, and how it refuses the rest."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import pytest

from granian_core import (
    INTERFACE_API,
    BlockingPool,
    ConfigurationError,
    InterfaceFactory,
    InterfaceOptions,
    interface_names,
    load_interface,
)
from granian_wsgi import WSGIInterface, wsgi

Start = Callable[..., Any]


def make(target: object) -> WSGIInterface:
    return wsgi(target, InterfaceOptions(blocking_pool=BlockingPool(1)))


def test_factory_is_published() -> None:
    assert "wsgi" in interface_names()
    assert load_interface("wsgi") is wsgi
    assert isinstance(wsgi, InterfaceFactory)
    assert wsgi.interface_api == INTERFACE_API


def test_capabilities() -> None:
    assert wsgi.name == "wsgi"
    assert wsgi.blocking is True
    assert wsgi.websockets is False
    assert wsgi.default_blocking_threads == 0


def test_pool_is_required() -> None:
    with pytest.raises(ConfigurationError, match="the WSGI interface needs a BlockingPool"):
        wsgi(function, InterfaceOptions())


# -- applications ------------------------------------------------------------------


def function(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    return []


def generator(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
    yield b""


def with_default(
    environ: dict[str, Any], start_response: Start, extra: object = None
) -> list[bytes]:
    return []


def anything(*args: Any, **kwargs: Any) -> Iterable[bytes]:
    return []


class AsClass:
    """PEP 3333's example: the instance is the result."""

    def __init__(self, environ: dict[str, Any], start_response: Start) -> None:
        self.start = start_response

    def __iter__(self) -> Iterator[bytes]:
        yield b""


class AsObject:
    def __call__(self, environ: dict[str, Any], start_response: Start) -> list[bytes]:
        return []

    def method(self, environ: dict[str, Any], start_response: Start) -> list[bytes]:
        return []

    async def unrelated(self) -> None: ...


class AlsoRSGI(AsObject):
    async def __rsgi__(self, scope: object, protocol: object) -> None: ...


def three(first: object, environ: dict[str, Any], start_response: Start) -> list[bytes]:
    return []


async def asgi(scope: object, receive: object, send: object) -> None: ...


async def rsgi(scope: object, protocol: object) -> None: ...


@functools.wraps(asgi)
def adapted(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    return []


class Uninspectable:
    __signature__ = "not a signature"

    def __call__(self, environ: dict[str, Any], start_response: Start) -> list[bytes]:
        return []


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(function, id="function"),
        pytest.param(generator, id="generator"),
        pytest.param(with_default, id="default"),
        pytest.param(anything, id="star-args"),
        pytest.param(AsClass, id="class"),
        pytest.param(AsObject(), id="object"),
        pytest.param(AsObject().method, id="method"),
        pytest.param(AlsoRSGI(), id="also-rsgi"),
        pytest.param(functools.partial(three, None), id="partial"),
        pytest.param(adapted, id="wraps-asgi"),
        pytest.param(Uninspectable(), id="uninspectable"),
    ],
)
def test_applications_are_accepted(target: object) -> None:
    assert isinstance(make(target), WSGIInterface)


# -- everything else ---------------------------------------------------------------


async def asgi_generator(scope: object, receive: object, send: object) -> AsyncIterator[bytes]:
    yield b""


async def anything_async(*args: object) -> None: ...


def sync_asgi(scope: object, receive: object, send: object) -> None: ...


def no_arguments() -> None: ...


def one_argument(environ: object) -> None: ...


class ASGIObject:
    async def __call__(self, scope: object, receive: object, send: object) -> None: ...


class RSGIObject:
    async def __rsgi__(self, scope: object, protocol: object) -> None: ...


class BothAsync(RSGIObject):
    def __call__(self, scope: object, receive: object, send: object) -> None: ...


@pytest.mark.parametrize(
    ("target", "name", "remedy"),
    [
        (asgi, "asgi", "looks like an ASGI application; use --interface asgi"),
        (asgi_generator, "asgi_generator", "looks like an ASGI application"),
        (anything_async, "anything_async", "looks like an ASGI application"),
        (sync_asgi, "sync_asgi", "looks like an ASGI application"),
        (ASGIObject(), "ASGIObject", "looks like an ASGI application"),
        (functools.partial(asgi, None), "partial", "looks like an RSGI application"),
        (rsgi, "rsgi", "looks like an RSGI application; use --interface rsgi"),
        (RSGIObject(), "RSGIObject", "looks like an RSGI application"),
        (BothAsync(), "BothAsync", "looks like an RSGI application"),
        (no_arguments, "no_arguments", "takes two arguments, environ and start_response"),
        (one_argument, "one_argument", "takes two arguments"),
        ("module:app", "str", "a WSGI application must be callable"),
        (None, "NoneType", "a WSGI application must be callable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "target",
)
def test_other_targets_are_refused_and_named(target: object, name: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy) as caught:
        make(target)

    assert (caught.value.option, caught.value.value) == ("--interface", "wsgi")
    assert caught.value.remedy.startswith(name)

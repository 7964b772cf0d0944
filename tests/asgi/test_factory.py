"""The factories: what they promise, and which targets they refuse."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from granian_asgi import ASGIInterface, Message, Receive, Scope, Send, asgi, asginl
from granian_core import ConfigurationError, InterfaceFactory, InterfaceOptions, load_interface

OPTIONS = InterfaceOptions()


async def application(scope: Scope, receive: Receive, send: Send) -> None: ...


class CallableObject:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class Endpoint:
    """A class whose instances are awaited, as in Starlette's class-based endpoints."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def __await__(self) -> object: ...


async def _with_more(
    config: str, scope: Scope, receive: Receive, send: Send, debug: bool = False
) -> None: ...


@functools.wraps(lambda environ, start_response: [])
async def wraps_something_else(*args: object) -> None: ...


def plain_function(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    return application(scope, receive, send)


def test_factories_satisfy_the_protocol_and_say_what_they_are() -> None:
    for factory, name in ((asgi, "asgi"), (asginl, "asginl")):
        assert isinstance(factory, InterfaceFactory)
        assert factory.name == name
        assert factory.interface_api == 1
        assert factory.blocking is False
        assert factory.websockets is True
        assert factory.default_blocking_threads == 1


def test_factories_are_found_through_their_entry_points() -> None:
    factories: list[object] = [load_interface("asgi"), load_interface("asginl")]

    assert factories == [asgi, asginl]


@pytest.mark.parametrize(
    "target",
    [
        application,
        CallableObject(),
        Endpoint,
        functools.partial(_with_more, "config"),
        wraps_something_else,
        plain_function,
        CallableObject().__call__,
        max,  # a builtin without a signature that tells: accepted
    ],
)
def test_applications_are_accepted(target: object) -> None:
    assert isinstance(asgi(target, OPTIONS), ASGIInterface)
    assert isinstance(asginl(target, OPTIONS), ASGIInterface)


class Version2:
    def __init__(self, scope: Scope) -> None: ...

    async def __call__(self, receive: Receive, send: Send) -> None: ...


def version2(scope: Scope) -> Callable[[Receive, Send], Awaitable[None]]:
    raise NotImplementedError


def wsgi(environ: dict[str, object], start_response: object) -> list[bytes]:
    raise NotImplementedError


async def rsgi(scope: object, protocol: object) -> None:
    raise NotImplementedError


class RSGI:
    async def __call__(self, scope: object, protocol: object) -> None:
        raise NotImplementedError


def four(scope: Scope, receive: Receive, send: Send, message: Message) -> None: ...


@pytest.mark.parametrize(
    ("target", "remedy"),
    [
        ("not an application", "must be callable, this is 'str'"),
        (None, "must be callable, this is 'NoneType'"),
        (Version2, "must take (scope, receive, send); ASGI 2 applications"),
        (version2, "must take (scope, receive, send); ASGI 2 applications"),
        (wsgi, "looks like a WSGI application; use --interface wsgi"),
        (rsgi, "looks like an RSGI application; use --interface rsgi"),
        (RSGI(), "looks like an RSGI application; use --interface rsgi"),
        (lambda: None, "must take (scope, receive, send), not ()"),
        (four, "must take (scope, receive, send), not (scope: 'Scope'"),
    ],
)
@pytest.mark.parametrize("factory", [asgi, asginl])
def test_other_targets_are_refused(target: object, remedy: str, factory: InterfaceFactory) -> None:
    with pytest.raises(ConfigurationError) as caught:
        factory(target, OPTIONS)

    assert caught.value.option == "--interface"
    assert caught.value.value == factory.name
    assert remedy in caught.value.remedy
    assert str(caught.value).startswith(f"--interface={factory.name}: the application must")


def test_an_unknown_interface_option_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the asgi interface has no options") as caught:
        asgi(application, InterfaceOptions(extra={"colour": "red"}))

    assert (caught.value.option, caught.value.value) == ("--interface-option", "colour")


def test_importing_the_adapter_imports_no_other_package_of_the_project() -> None:
    code = (
        "import sys, granian_asgi; "
        "print(sorted({m.partition('.')[0].removesuffix('__mypyc') "
        "for m in sys.modules if m.startswith('granian')}))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout

    assert output.strip() == "['granian_asgi', 'granian_core']"

"""How interfaces are found and refused, with distributions made for the test."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from granian_core import interface
from granian_core.errors import ConfigurationError
from granian_core.interface import (
    INTERFACE_API,
    PUBLISHED_ADAPTERS,
    BaseInterface,
    InterfaceFactory,
    InterfaceOptions,
    interface_names,
    load_interface,
)

FACTORY = """
from granian_core.interface import BaseInterface

class Acme(BaseInterface):
    def __init__(self, target, options):
        self.target = target
        self.options = options

class Factory:
    name = "acme"
    interface_api = {api}
    blocking = False
    websockets = False
    default_blocking_threads = 1

    def __call__(self, target, options):
        return Acme(target, options)

factory = Factory()
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install distributions into a directory at the front of ``sys.path``."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules: list[str] = []

    def install(name: str, entry_points: str, code: str = "", version: str = "1.0") -> None:
        module = name.replace("-", "_")
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(dedent(code))
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[granian.interfaces]\n{entry_points}\n")

    yield install
    for module in modules:
        sys.modules.pop(module, None)


def test_third_party_interface_is_found_by_its_name(install: Install) -> None:
    """A distribution that depends on granian-core alone adds an interface."""
    install("acme-web", "acme = acme_web:factory", FACTORY.format(api=INTERFACE_API))

    assert "acme" in interface_names()
    factory = load_interface("acme")
    assert isinstance(factory, InterfaceFactory)
    assert factory.name == "acme"
    options = InterfaceOptions(root_path="/app", extra={"a": "1"})
    made = factory("target", options)
    assert isinstance(made, BaseInterface)
    assert vars(made) == {"target": "target", "options": options}


def test_names_are_sorted_and_listed_once(install: Install) -> None:
    """Two distributions with one name give one choice."""
    install("acme-web", "zebra = acme_web:factory\nacme = acme_web:factory")
    install("acme-two", "acme = acme_two:factory")

    names = interface_names()
    assert names == sorted(set(names))
    assert {"acme", "zebra"} <= set(names)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("asgi", "granian-asgi"),
        ("asginl", "granian-asgi"),
        ("rsgi", "granian-rsgi"),
        ("wsgi", "granian-wsgi"),
    ],
)
def test_missing_adapter_names_its_package(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to install for the interfaces of this project."""
    monkeypatch.setattr(interface, "entry_points", lambda **_: ())
    with pytest.raises(ConfigurationError) as caught:
        load_interface(name)
    assert str(caught.value) == f"--interface={name}: install {package}"
    assert PUBLISHED_ADAPTERS[name] == package


def test_unknown_interface_lists_what_is_installed(install: Install) -> None:
    """A misspelt name is answered with the right ones."""
    install("acme-web", "acme = acme_web:factory", FACTORY.format(api=INTERFACE_API))
    with pytest.raises(ConfigurationError, match=r"^--interface=acne: installed.*: .*\bacme\b"):
        load_interface("acne")


def test_unknown_interface_without_any_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing installed it says so."""
    monkeypatch.setattr(interface, "entry_points", lambda **_: ())
    with pytest.raises(ConfigurationError, match="--interface=acme: installed interfaces: none"):
        load_interface("acme")


@pytest.mark.parametrize("offset", [-1, 1])
def test_factory_for_another_api_is_refused_with_both_versions(
    install: Install, offset: int
) -> None:
    """Older or newer: the distribution and both numbers are named."""
    api = INTERFACE_API + offset
    install("acme-web", "acme = acme_web:factory", FACTORY.format(api=api))
    with pytest.raises(
        ConfigurationError,
        match=f"acme-web is written for interface API {api}, this granian-core has {INTERFACE_API}",
    ):
        load_interface("acme")


def test_entry_point_that_is_no_factory_is_refused(install: Install) -> None:
    """Something else under the group's name is a configuration error, not a crash later."""
    install("acme-web", "acme = acme_web:factory", "factory = print")
    with pytest.raises(
        ConfigurationError, match="entry point acme_web:factory is not an interface factory"
    ):
        load_interface("acme")


def test_base_interface_has_defaults_for_all_but_requests() -> None:
    """An interface without a life of its own needs one method."""
    loop = asyncio.new_event_loop()
    base = BaseInterface()
    try:
        base.setup(loop)
        loop.run_until_complete(base.startup())
        loop.run_until_complete(base.shutdown())
        base.teardown(loop)
    finally:
        loop.close()
    with pytest.raises(NotImplementedError):
        base.handle_http(None)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        base.handle_websocket(None)  # type: ignore[arg-type]


def test_options_are_frozen_and_keyword_only() -> None:
    """Adapters share them; fields can be added without breaking anyone."""
    options = InterfaceOptions()
    assert (options.root_path, options.websockets, dict(options.extra)) == ("", True, {})
    with pytest.raises(dataclasses.FrozenInstanceError, match="root_path"):
        options.root_path = "/x"  # type: ignore[misc]
    with pytest.raises(TypeError, match="positional"):
        InterfaceOptions("/x")  # type: ignore[call-arg]

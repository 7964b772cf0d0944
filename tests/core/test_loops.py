"""The loop registry: what is there, what is missing, and what programs may change."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from granian_core.errors import ConfigurationError
from granian_core.loops import LoopError, LoopRegistry, builtin_loops, loops


@pytest.fixture(autouse=True)
def no_current_loop() -> Iterator[None]:
    """Leave no loop set behind."""
    yield
    asyncio.set_event_loop(None)


FAKE_LOOP = """
import asyncio
class Loop(asyncio.SelectorEventLoop): pass
def new_event_loop(): return Loop()
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hide the real loops and return a directory to put fake ones in."""
    for name in ("uvloop", "rloop", "winloop"):
        monkeypatch.setitem(sys.modules, name, None)  # "it is not there"
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(site: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str = FAKE_LOOP) -> None:
    (site / f"{name}.py").write_text(code)
    monkeypatch.delitem(sys.modules, name, raising=False)


def kind(registry: LoopRegistry, key: str) -> str:
    """Build a loop, run something on it, and return its class's module."""
    loop = registry.get(key)
    try:
        assert loop.run_until_complete(asyncio.sleep(0, "ran")) == "ran"
        assert asyncio.get_event_loop() is loop
        return type(loop).__module__
    finally:
        loop.close()


def test_asyncio_loop_is_built_whatever_the_policy() -> None:
    """The word asyncio means asyncio's own loop, and it becomes the current one."""
    assert kind(loops, "asyncio").startswith("asyncio.")


def test_auto_prefers_uvloop_then_winloop_then_rloop(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first that is installed wins; asyncio is always there."""
    assert kind(builtin_loops(), "auto").startswith("asyncio.")
    for name in ("rloop", "winloop", "uvloop"):
        install(site, monkeypatch, name)
        assert kind(builtin_loops(), "auto") == name
        assert kind(builtin_loops(), name) == name


def test_auto_passes_over_a_broken_package(
    site: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A loop that can not be imported costs a warning, not the start."""
    install(site, monkeypatch, "uvloop", "raise ImportError('built for another Python')")
    monkeypatch.setattr(logging.getLogger("_granian"), "propagate", True)
    with caplog.at_level(logging.WARNING, "_granian"):
        assert kind(builtin_loops(), "auto").startswith("asyncio.")
    assert [record.getMessage() for record in caplog.records] == [
        "Event loop passed over: --loop=uvloop: uvloop can not be imported: "
        "built for another Python"
    ]
    with pytest.raises(LoopError, match="built for another Python"):
        builtin_loops().get("uvloop")


@pytest.mark.parametrize("name", ["uvloop", "rloop", "winloop"])
def test_missing_loop_names_the_extra(site: Path, name: str) -> None:
    """The message says what to install."""
    registry = builtin_loops()
    assert name not in registry
    with pytest.raises(ConfigurationError, match=rf"--loop={name}: .*granian-cli\[{name}\]"):
        registry.get(name)


def test_unknown_loop_lists_the_known_ones(site: Path) -> None:
    """It is a configuration error, and the RuntimeError that Granian raises."""
    with pytest.raises(RuntimeError, match="--loop=nope: unknown; use one of asyncio, auto$") as e:
        builtin_loops().get("nope")
    assert isinstance(e.value, ConfigurationError)
    assert e.value.exit_code == 1


def test_builtin_names(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """keys() and ``in`` tell what can be built here."""
    assert set(builtin_loops().keys()) == {"asyncio", "auto"}
    install(site, monkeypatch, "uvloop")
    registry = builtin_loops()
    assert set(registry.keys()) == {"asyncio", "auto", "uvloop"}
    assert "uvloop" in registry
    assert "rloop" not in registry


def test_builder_gets_its_packages_and_replaces_an_earlier_one() -> None:
    """Modules come as keywords; the last registration of a name counts."""
    registry = builtin_loops()
    seen: list[ModuleType] = []

    @registry.register("auto", packages=["json", "selectors"])
    def build(json: ModuleType, selectors: ModuleType) -> asyncio.AbstractEventLoop:
        seen.extend([json, selectors])
        return asyncio.SelectorEventLoop()

    loop = registry.get("auto")
    loop.close()
    assert seen == [sys.modules["json"], sys.modules["selectors"]]
    assert callable(build)


def test_registration_without_its_package_changes_nothing() -> None:
    """A builder whose package is missing leaves the earlier one in place."""
    registry = LoopRegistry()

    @registry.register("mine", packages=["no_such_package", "no.such.module"])
    def build() -> asyncio.AbstractEventLoop:
        raise NotImplementedError

    assert "mine" not in registry
    with pytest.raises(LoopError, match=r"install no_such_package, no\.such\.module$"):
        registry.get("mine")

    registry.register("mine")(asyncio.SelectorEventLoop)
    registry.register("mine", packages=["no_such_package"])(build)
    registry.get("mine").close()


def test_importing_the_registry_imports_no_loop() -> None:
    """Looking at what is installed costs no import."""
    code = (
        "import sys, granian_core.loops; "
        "sys.exit(' '.join({'uvloop', 'rloop', 'winloop'} & sys.modules.keys()) or 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr.strip()) == (0, "")

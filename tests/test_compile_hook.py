"""Which modules a build compiles, and when: packages/granian-core/hatch_build.py."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.test_packaging import ROOT, metadata

HOME = ROOT / "packages" / "granian-core"


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("hatch_build", HOME / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table() -> dict[str, list[str]]:
    hooks = metadata("granian-core")["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
    found: dict[str, list[str]] = hooks["custom"]
    return found


def made(hook: ModuleType, monkeypatch: pytest.MonkeyPatch, value: str | None) -> Any:
    """The hook of a build in whose environment GRANIAN_COMPILE has that value."""
    if value is None:
        monkeypatch.delenv("GRANIAN_COMPILE", raising=False)
    else:
        monkeypatch.setenv("GRANIAN_COMPILE", value)
    project: Any = SimpleNamespace(core=SimpleNamespace(dependencies=["h11>=0.16"]))
    return hook.CompileHook(str(HOME), table(), None, project, "", "wheel")


def test_the_table_selects_the_hot_modules_and_no_others(hook: ModuleType) -> None:
    source = HOME / "src"
    chosen = hook.selected(source, table()["modules"], table()["exclude"])

    assert {"granian_core/http1/fast.py", "granian_core/stream.py"} <= set(chosen)
    assert not [path for path in chosen if path.endswith("__init__.py")]
    assert not [path for path in chosen if not (source / path).is_file()]


@pytest.mark.parametrize("where", ["modules", "exclude"])
def test_a_pattern_that_matches_nothing_is_an_error(
    hook: ModuleType, tmp_path: Path, where: str
) -> None:
    (tmp_path / "there.py").touch()
    patterns = {"modules": ["there.py"], "exclude": ["there.py"], where: ["gone.py"]}

    with pytest.raises(SystemExit, match=r"no module matches 'gone\.py'"):
        hook.selected(tmp_path, patterns["modules"], patterns["exclude"])


@pytest.mark.parametrize("value", [None, "", "0"])
def test_a_build_is_pure_unless_it_is_asked(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    pure = made(hook, monkeypatch, value)
    build_data: dict[str, Any] = {}

    pure.initialize("standard", build_data)
    pure.finalize("standard", build_data, "")

    assert pure.dependencies() == []
    assert build_data == {}


def test_an_editable_install_is_pure(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    build_data: dict[str, Any] = {}

    made(hook, monkeypatch, "1").initialize("editable", build_data)

    assert build_data == {}


def test_compiling_asks_for_the_compiler_and_for_types(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = made(hook, monkeypatch, "1").dependencies()

    assert [line for line in needed if line.startswith("mypy==")]
    assert "h11>=0.16" in needed


def test_another_value_is_an_error(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="GRANIAN_COMPILE is 'yes': set it to 1"):
        made(hook, monkeypatch, "yes").dependencies()


@pytest.mark.parametrize("free_threaded", [False, True])
def test_other_interpreters_are_refused(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch, free_threaded: bool
) -> None:
    implementation = SimpleNamespace(name="cpython" if free_threaded else "pypy")
    monkeypatch.setattr(sys, "implementation", implementation)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _name: int(free_threaded))

    expected = "free-threaded CPython" if free_threaded else "needs CPython, this is pypy"
    with pytest.raises(SystemExit, match=expected):
        made(hook, monkeypatch, "1").initialize("standard", {})


def test_output_of_a_failed_compilation_is_shown(hook: ModuleType, tmp_path: Path) -> None:
    program = "import sys; print('gcc: no such file'); sys.exit(1)"

    with pytest.raises(SystemExit, match=r"(?s)gcc: no such file.*C compiler.*pure Python"):
        hook._run([sys.executable, "-c", program], tmp_path)

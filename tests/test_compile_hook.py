"""Which modules a build compiles, and when: packages/granian-core/hatch_build.py, for all."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import sysconfig
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.compiled import SAMPLES
from tests.test_packaging import ROOT, metadata

HOME = ROOT / "packages" / "granian-core"
COMPILED = ("granian-core", "granian-asgi", "granian-wsgi")


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    pytest.importorskip("hatchling")
    return loaded(HOME / "hatch_build.py")


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(package: str = "granian-core") -> dict[str, list[str]]:
    hooks = metadata(package)["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
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


@pytest.mark.parametrize("package", COMPILED)
def test_the_table_selects_the_hot_modules_and_no_others(hook: ModuleType, package: str) -> None:
    source = ROOT / "packages" / package / "src"
    rows = table(package)
    chosen = hook.selected(source, rows["modules"], rows["exclude"])

    samples = {name.replace(".", "/") + ".py" for name in SAMPLES}
    assert len(samples & set(chosen)) == 1
    assert not [path for path in chosen if path.endswith("__init__.py")]
    assert not [path for path in chosen if not (source / path).is_file()]


@pytest.mark.parametrize("place", ["checkout", "sdist"])
@pytest.mark.parametrize("package", COMPILED[1:])
def test_adapters_find_the_hook(hook: ModuleType, tmp_path: Path, package: str, place: str) -> None:
    home = tmp_path / package
    core = tmp_path / "granian-core"
    home.mkdir()
    core.mkdir()
    shutil.copy(ROOT / "packages" / package / "hatch_build.py", home)
    beside = core / "hatch_build.py" if place == "checkout" else home / "compile_hook.py"
    shutil.copy(HOME / "hatch_build.py", beside)

    found = loaded(home / "hatch_build.py").CompileHook

    assert found.__name__ == hook.CompileHook.__name__
    assert found.initialize.__code__.co_filename == str(beside)


def test_types_of_a_sibling_are_read_from_the_checkout(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In an sdist there is none, so that it has to be installed for the build."""
    monkeypatch.setenv("GRANIAN_COMPILE", "1")
    requirements = ["granian-core>=0.1,<0.2", "granian-nothing"]
    project: Any = SimpleNamespace(core=SimpleNamespace(dependencies=requirements))
    home = ROOT / "packages" / "granian-asgi"

    inside = hook.CompileHook(str(home), {}, None, project, "", "wheel").dependencies()
    outside = hook.CompileHook(str(tmp_path), {}, None, project, "", "wheel").dependencies()

    assert inside[2:] == ["granian-nothing"]
    assert outside[2:] == requirements


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
        hook._run([sys.executable, "-c", program], tmp_path, [])

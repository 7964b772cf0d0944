"""Finding the application that a target names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from granian_cli.errors import TargetError
from granian_cli.loader import load_target, prepare_import, split_target


@pytest.fixture(autouse=True)
def _imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test its own directory, path and modules."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(name: str, text: str) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("m", ("m", "app")),
        ("m:", ("m", "app")),
        ("m:main", ("m", "main")),
        ("m:obj.attr", ("m", "obj.attr")),
        ("C:\\dir\\m.py", ("C:\\dir\\m.py", "app")),
        ("C:\\dir\\m.py:main", ("C:\\dir\\m.py", "main")),
        ("C:/dir/m.py:main", ("C:/dir/m.py", "main")),
        ("m:a:b", ("m", "a:b")),
    ],
)
def test_split(target: str, parts: tuple[str, str]) -> None:
    assert split_target(target) == parts


@pytest.mark.parametrize("target", ["plain_one:thing", "plain_one.py:thing", "./plain_one:thing"])
def test_module_file_and_path(target: str) -> None:
    write("plain_one.py", "thing = 42")
    assert load_target(target) == 42


def test_default_attribute() -> None:
    write("with_app.py", "app = 'found'")
    assert load_target("with_app") == "found"


def test_dotted_attribute() -> None:
    write("nested.py", "class outer:\n    inner = 7")
    assert load_target("nested:outer.inner") == 7


def test_dotted_module() -> None:
    write("pack/__init__.py", "")
    write("pack/sub/__init__.py", "")
    write("pack/sub/mod.py", "app = __name__")
    assert load_target("pack.sub.mod") == "pack.sub.mod"


def test_path_inside_a_package_climbs_to_its_root() -> None:
    write("src/pack2/__init__.py", "")
    write("src/pack2/mod.py", "app = __name__")
    assert load_target("src/pack2/mod.py") == "pack2.mod"
    assert sys.path[0] == str(Path("src").resolve())


def test_package_init_is_the_package() -> None:
    write("pack3/__init__.py", "app = __name__")
    assert load_target("pack3/__init__.py") == "pack3"


def test_directory_is_added_once() -> None:
    here = str(Path.cwd())
    prepare_import("anything")
    prepare_import("anything")
    assert sys.path.count(here) == 1


def test_working_directory_wins_over_the_current_one() -> None:
    write("both.py", "app = 'current'")
    write("work/both.py", "app = 'working'")
    assert load_target("both", working_dir=Path("work")) == "working"


def test_current_directory_is_looked_at_after_the_working_one() -> None:
    write("only_here.py", "app = 'current'")
    write("work/other.py", "app = 'working'")
    assert load_target("only_here", working_dir=Path("work")) == "current"


def test_working_directory_does_not_change_the_current_one(tmp_path: Path) -> None:
    write("work/cwd.py", "import os\napp = os.getcwd()")
    assert load_target("cwd", working_dir=Path("work")) == str(tmp_path)


def test_factory() -> None:
    write("fact.py", "def make():\n    return 'made'")
    assert load_target("fact:make", factory=True) == "made"


def test_module_that_is_not_there() -> None:
    with pytest.raises(TargetError) as caught:
        load_target("absent_module:app")
    assert str(caught.value).startswith("cannot import 'absent_module': there is no module")
    assert caught.value.traceback == ""
    assert caught.value.exit_code == 3


def test_package_that_is_not_there() -> None:
    with pytest.raises(TargetError, match="there is no module 'absent_package'"):
        load_target("absent_package.mod:app")


def test_attribute_that_is_not_there() -> None:
    write("no_attr.py", "other = 1")
    with pytest.raises(TargetError) as caught:
        load_target("no_attr:app")
    assert "the module 'no_attr' has no attribute 'app'" in str(caught.value)
    assert caught.value.traceback == ""


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("import really_absent", "ModuleNotFoundError: No module named 'really_absent'"),
        ("from os import nonsense_name", "ImportError: cannot import name 'nonsense_name'"),
        ("1/0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_what_the_application_raises_keeps_its_traceback(text: str, summary: str) -> None:
    write("broken_app.py", f"def deep():\n    {text}\ndeep()\n")
    with pytest.raises(TargetError) as caught:
        load_target("broken_app")
    error = caught.value
    assert str(error).startswith(f"cannot import 'broken_app': {summary}")
    assert "\n" not in str(error)
    files = [line for line in error.traceback.splitlines() if line.startswith("  File ")]
    assert len(files) == 2
    assert all("broken_app.py" in line for line in files)  # none of ours, none of importlib


def test_syntax_error_shows_the_line_and_nothing_of_ours() -> None:
    write("bad_syntax.py", "def f(:\n")
    with pytest.raises(TargetError) as caught:
        load_target("bad_syntax")
    assert "SyntaxError" in str(caught.value)
    assert "def f(:" in caught.value.traceback
    assert "loader.py" not in caught.value.traceback


def test_factory_that_raises() -> None:
    write("bad_fact.py", "def make():\n    raise ValueError('no')")
    with pytest.raises(TargetError) as caught:
        load_target("bad_fact:make", factory=True)
    assert str(caught.value) == "the factory 'bad_fact:make' raised: ValueError: no"
    assert "loader.py" not in caught.value.traceback


def test_factory_that_is_no_callable() -> None:
    write("not_fact.py", "app = 1")
    with pytest.raises(TargetError, match="is not callable"):
        load_target("not_fact:app", factory=True)

"""The five packages agree with each other and with the rules of the repository."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

try:
    import tomllib
except ImportError:  # Python 3.10; pytest and mypy bring tomli there
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
NAMES = ["granian-core", "granian-asgi", "granian-rsgi", "granian-wsgi", "granian-cli"]
ADAPTERS = ["granian-asgi", "granian-rsgi", "granian-wsgi"]
IMPORT_NAMES = {name: [name.replace("-", "_")] for name in NAMES}
IMPORT_NAMES["granian-cli"].append("granian")
DEPENDENCIES = {
    "granian-core": {"h11", "h2", "wsproto"},
    "granian-asgi": {"granian-core"},
    "granian-rsgi": {"granian-core"},
    "granian-wsgi": {"granian-core"},
    "granian-cli": {"granian-core[fast]", *ADAPTERS, "psutil", "rich-click"},
}
ENTRY_POINTS = {
    "granian-core": {},
    "granian-asgi": {"asgi": "granian_asgi:asgi", "asginl": "granian_asgi:asginl"},
    "granian-rsgi": {"rsgi": "granian_rsgi:rsgi"},
    "granian-wsgi": {"wsgi": "granian_wsgi:wsgi"},
    "granian-cli": {},
}


def metadata(name: str) -> dict[str, Any]:
    """Return the whole pyproject.toml of one package."""
    text = (ROOT / "packages" / name / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def project(name: str) -> dict[str, Any]:
    table: dict[str, Any] = metadata(name)["project"]
    return table


def requirements(name: str) -> dict[str, str]:
    """Return the declared dependencies as name to version range."""
    parts = (re.match(r"([\w.-]+(?:\[\w+\])?)(.*)", line) for line in project(name)["dependencies"])
    return {part[1]: part[2] for part in parts if part}


def version() -> str:
    found: str = project("granian-core")["version"]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_package_has_the_common_version_and_metadata(name: str) -> None:
    table = project(name)

    assert table["name"] == name
    assert table["version"] == version()
    assert table["requires-python"] == ">=3.10"
    assert table["license"] == "BSD-3-Clause"
    assert table["license-files"] == ["LICENSE"]


@pytest.mark.parametrize("name", NAMES)
def test_package_depends_on_what_the_architecture_says(name: str) -> None:
    assert set(requirements(name)) == DEPENDENCIES[name]


def test_extras_are_those_of_the_architecture() -> None:
    core = project("granian-core")["optional-dependencies"]
    cli = project("granian-cli")["optional-dependencies"]

    assert {extra: first_word(lines) for extra, lines in core.items()} == {
        "fast": "uvloop",
        "testing": "trustme",
    }
    assert set(cli) == {"reload", "pname", "dotenv", "uvloop", "rloop", "winloop", "all"}


def first_word(lines: list[str]) -> str:
    assert len(lines) == 1
    found = re.match(r"[\w-]+", lines[0])
    assert found is not None
    return found[0]


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapter_takes_a_range_of_cores(name: str) -> None:
    major, minor = (int(part) for part in version().split(".")[:2])
    below = f"{major + 1}" if major else f"0.{minor + 1}"

    assert requirements(name)["granian-core"] == f">={major}.{minor},<{below}"


def test_command_takes_siblings_of_its_own_minor_version() -> None:
    minor = ".".join(version().split(".")[:2])
    siblings = {
        key: value for key, value in requirements("granian-cli").items() if "granian" in key
    }

    assert len(siblings) == 4
    assert set(siblings.values()) == {f"~={minor}.0"}


@pytest.mark.parametrize("name", NAMES)
def test_entry_points_are_declared(name: str) -> None:
    table = project(name)

    assert table.get("entry-points", {}).get("granian.interfaces", {}) == ENTRY_POINTS[name]
    scripts = {"granian": "granian_cli.main:entrypoint"} if name == "granian-cli" else {}
    assert table.get("scripts", {}) == scripts


@pytest.mark.parametrize("name", NAMES)
def test_package_ships_its_licence_readme_and_type_marker(name: str) -> None:
    home = ROOT / "packages" / name

    assert (home / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (home / "README.md").stat().st_size > 0
    for package in IMPORT_NAMES[name]:
        assert (home / "src" / package / "py.typed").is_file()
    build = metadata(name)["tool"]["hatch"]["build"]["targets"]
    assert set(build["wheel"]["packages"]) == {f"src/{package}" for package in IMPORT_NAMES[name]}
    own = {"/hatch_build.py"} if (home / "hatch_build.py").exists() else set()
    assert {"/LICENSE", "/README.md", "/src", *own} == set(build["sdist"]["include"])


def test_root_is_no_package() -> None:
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert set(root) == {"tool"}


@pytest.mark.parametrize("name", [name for names in IMPORT_NAMES.values() for name in names])
def test_version_in_the_code_is_that_of_the_package(name: str) -> None:
    module = importlib.import_module(name)

    assert getattr(module, "__version__", version()) == version()


def test_public_names_of_the_core_exist_and_are_documented() -> None:
    import granian_core

    assert sorted(set(granian_core.__all__)) == sorted(granian_core.__all__)
    for name in granian_core.__all__:
        value = getattr(granian_core, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            assert value.__doc__, f"{name} has no docstring"


def test_workflow_runs_what_the_local_run_does() -> None:
    local = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    environments = tomllib.loads((ROOT / "hatch.toml").read_text(encoding="utf-8"))["envs"]
    alone = {
        name
        for name, environment in environments.items()
        if name == "core" or environment.get("template") == "core"
    }

    suites = re.search(r"for package in ([\w ]+); do\n\s+echo", local)
    matrix = re.search(r"package: \[([\w, ]+)\]", workflow)
    tools = re.search(r"DEBIAN_TOOLS=\(([^)]+)\)", local)
    installed = re.search(r"apt-get install -q -y (.+)", workflow)

    assert suites is not None
    assert set(suites[1].split()) == alone
    assert matrix is not None
    assert set(matrix[1].split(", ")) == alone
    assert tools is not None
    assert installed is not None
    needed = {pair.partition(":")[2] for pair in tools[1].split()}
    in_the_image = {"chromium", "systemd", "build-essential", "python3-dev"}
    assert needed - in_the_image == set(installed[1].split())

"""The documents name only options, files and modules that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from granian_cli.command import build_command
from scripts import write_engines
from scripts.write_options import PAGE

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("packages/*/README.md")])
MAPPED = [
    ROOT / "packages" / "granian-core" / "src" / "granian_core",
    ROOT / "packages" / "granian-cli" / "src" / "granian_cli",
]
"""What the map in docs/architecture.md covers module by module."""
OTHER_COMMANDS = {
    *("--all", "--cacert", "--knob", "--no-cache-dir", "--no-deps", "--rounds", "--strict"),
}
"""Options of pip, twine, the benchmarks and friends that the pages may mention."""
OTHER_SERVERS = ROOT / "docs" / "migrating.md"
"""Names options of others; `tests/docs/test_migrating.py` looks at it."""


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def known_options() -> set[str]:
    return {
        spelling
        for parameter in build_command().params
        for spelling in [*parameter.opts, *parameter.secondary_opts]
    }


@pytest.mark.parametrize("page", [page for page in PAGES if page != OTHER_SERVERS], ids=ids)
def test_options_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    if page == PAGE:  # the table has those that do not exist yet
        text = "".join(line for line in text.splitlines(True) if "planned*" not in line)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]", text))

    assert named - known_options() - OTHER_COMMANDS <= {"--help", "--version"}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_modules_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

    named = set(re.findall(r"`([a-z0-9_/]+)\.py`", text))

    homes = [ROOT, *MAPPED, *(home.parent for home in MAPPED)]
    assert [name for name in named if not any((h / f"{name}.py").is_file() for h in homes)] == []


@pytest.mark.parametrize("home", MAPPED, ids=lambda home: str(home.name))
def test_every_module_is_on_the_map(home: Path) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    whole = ("http2/hpack/", *re.findall(r"`([a-z0-9_/]+/)`", text))  # folders with one row

    modules = [path.relative_to(home).as_posix() for path in home.rglob("*.py")]
    lost = [
        name
        for name in modules
        if not name.endswith("__init__.py")
        and not name.startswith(whole)
        and f"`{name}`" not in text
    ]

    assert len(modules) > 20
    assert lost == []


def test_diagrams_of_the_engines_are_those_of_the_tables() -> None:
    page = write_engines.PAGE.read_text(encoding="utf-8")
    assert "stateDiagram" in page
    assert page == write_engines.updated(page), "run python scripts/write_engines.py"

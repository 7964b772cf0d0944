"""The site: built without a warning, whole, on its own, and wide enough for a phone.

Runs in the environment `docs` (``hatch run docs:check``), which has mkdocs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import write_api
from scripts.docs_hooks import ROOT
from tests.e2e import browser
from tests.e2e.serving import START_TIMEOUT, ServerProcess, serving

pytest.importorskip("mkdocs", reason="needs mkdocs, see hatch run docs:check")

PHONE, DESKTOP = (390, 844), (1280, 800)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, built with warnings as errors."""
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=8 * START_TIMEOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout, done.stdout
    return directory


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[ServerProcess]:
    """The site, served by the command that it is about."""
    options = ("--static-path-mount", str(site), "--static-path-route", "/")
    index = ("--static-path-dir-to-file", "index.html", "--static-path-expires", "0")
    with serving("asgi_app:app", "--working-dir", "examples", *options, *index) as process:
        yield process


def pages(site: Path) -> list[str]:
    return sorted(str(path.parent.relative_to(site)) for path in site.rglob("index.html"))


def test_every_page_is_there(site: Path) -> None:
    sources = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    wanted = {str(source.with_suffix("")) for source in sources} - {"index"}
    assert {"deployment", "migrating", "options", "api/core"} <= wanted
    assert set(pages(site)) == {".", *wanted}


@pytest.mark.parametrize("name", write_api.MODULES)
def test_the_reference_has_every_public_name(site: Path, name: str) -> None:
    written = (site / "api" / name / "index.html").read_text(encoding="utf-8")
    found = set(re.findall(r'id="([\w.]+)"', written))
    names = {f"{module}.{one}" for module in write_api.MODULES[name] for one in _public(module)}
    assert len(names) > 5
    assert names - found == set()


def _public(module: str) -> list[str]:
    pytest.importorskip(module)
    return write_api.public_names(module)


def test_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    """No script, style, font or picture of another host: the site works without a network."""
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        fetched = re.findall(r"<(?:script|img|iframe)[^>]+src=\"?(https?:[^\"> ]+)", text)
        fetched += re.findall(
            r"<link[^>]+rel=\"?(?:stylesheet|preconnect)[^>]+(https?:[^\"> ]+)", text
        )
        assert fetched == [], path
    for path in site.rglob("*.css"):
        assert "url(http" not in path.read_text(encoding="utf-8")


def test_no_page_is_wider_than_a_phone(site: Path, server: ServerProcess, tmp_path: Path) -> None:
    with browser.page(tmp_path) as page:
        assert overflow(page, server.url, pages(site), PHONE) == []
        assert overflow(page, server.url, ["."], DESKTOP) == []
        assert page.evaluate("document.querySelector('h1').innerText").startswith("An application")


def test_a_page_that_is_too_wide_is_seen(server: ServerProcess, tmp_path: Path) -> None:
    with browser.page(tmp_path) as page:
        assert overflow(page, server.url, ["."], PHONE) == []
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=width:500px>.')")
        assert page.evaluate(WIDER)


WIDER = "document.documentElement.scrollWidth > window.innerWidth"


def overflow(page: browser.Page, url: str, paths: list[str], size: tuple[int, int]) -> list[str]:
    """Return the pages that scroll sideways in a window of that size."""
    width, height = size
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=height,
        deviceScaleFactor=1,
        mobile=False,
    )
    found = []
    for path in paths:
        page.open(f"{url}/{'' if path == '.' else path + '/'}")
        if page.evaluate(WIDER):
            found.append(path)
    return found

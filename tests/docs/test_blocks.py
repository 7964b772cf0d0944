"""Every code block of the documents and readmes is run, or says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.docs_hooks import DIAGRAMS, digest
from tests.docs.blocks import ALL, PAGES, ROOT, Block, blocks
from tests.docs.configurations import CHECKS, ToolMissing
from tests.docs.story import Story
from tests.e2e.serving import ServerFailed

LANGUAGES = {"console", "mermaid", "python", "sh", "text", *CHECKS}
UNRUN_ALLOWED = 4
"""Blocks with a reason not to be run. Think twice before raising it."""


def check(story: Story, block: Block, before: Block | None) -> None:
    """Do with one block what its language asks for."""
    if block.language == "python":
        story.python(block)
    elif block.language in ("console", "sh"):
        story.console(block)
    elif block.language == "text":
        assert before is not None, f"{block.where}: text of nothing"
        assert block.follows, f"{block.where}: text that no block prints"
        story.output(block)
    elif block.language == "mermaid":
        picture = ROOT / "docs" / DIAGRAMS / f"{digest(block.code)}.svg"
        in_site = (ROOT / "docs") in block.page.parents
        assert picture.is_file() or not in_site, "run python scripts/write_diagrams.py"
    else:
        CHECKS[block.language](story, block)


def tell(story: Story, page_blocks: list[Block]) -> list[str]:
    """Run the blocks of a page; return the names of tools that would have been needed."""
    missing, before = [], None
    for block in page_blocks:
        if block.reason:
            continue
        try:
            check(story, block, before)
        except ToolMissing as error:
            missing.append(str(error))
        except BaseException as error:
            error.args = (f"{block.where}: {error}",)
            raise
        before = block
    return missing


@pytest.mark.parametrize(
    "page", [page for page in PAGES if ALL[page]], ids=lambda page: str(page.relative_to(ROOT))
)
def test_blocks_of_a_page(page: Path, tmp_path: Path) -> None:
    story = Story(tmp_path)
    try:
        missing = tell(story, ALL[page])
    finally:
        story.stop()
    unused = [block.where for block in story.unused.values()]
    assert not unused, f"nothing runs these files: {unused}"
    if missing:
        pytest.skip(", ".join(missing))


def test_every_block_has_a_language_that_something_checks() -> None:
    unknown = [
        block.where
        for found in ALL.values()
        for block in found
        if block.language not in LANGUAGES and not block.reason
    ]
    assert unknown == []


def test_few_blocks_are_not_run() -> None:
    unrun = [
        f"{block.where}: {block.reason}"
        for found in ALL.values()
        for block in found
        if block.reason
    ]
    assert len(unrun) <= UNRUN_ALLOWED, unrun


def test_no_block_hides_from_the_tests() -> None:
    """Each fence of each page is one of a block that was found."""
    for page, found in ALL.items():
        fences = [
            line for line in page.read_text("utf-8").splitlines() if line.lstrip()[:3] == "```"
        ]
        assert len(fences) == 2 * len(found), page


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```python\nraise SystemExit(3)\n```\n", "exit code 3"),
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "printed"),
        ("```console\n$ echo one\ntwo\n```\n", "printed"),
        ("```sh\nfalse\n```\n", "false"),
        ("```sh\npip install granian-nothing\n```\n", "granian-nothing"),
        ("```text\nnobody prints this\n```\n", "text of nothing"),
        ("```nginx\nlocation / { proxy_pas x; }\n```\n", "unknown directive"),
        ("```mermaid\nflowchart\n```\n", "write_diagrams"),
    ],
)
def test_a_wrong_block_is_found(text: str, message: str, tmp_path: Path) -> None:
    page = ROOT / "docs" / "not-there.md"
    written = tmp_path / "page.md"
    written.write_text(text, encoding="utf-8")
    (tmp_path / "stage").mkdir()
    story = Story(tmp_path / "stage")
    found = [
        Block(page, one.line, *(getattr(one, name) for name in Block.__slots__[2:]))
        for one in blocks(written)
    ]
    try:
        with pytest.raises(AssertionError, match=message):
            if missing := tell(story, found):
                pytest.skip(", ".join(missing))
    finally:
        story.stop()


@pytest.mark.parametrize(
    ("language", "right", "wrong", "message"),
    [
        ("dockerfile", "EXPOSE 8000", "EXPOSE 80", "EXPOSE another port"),
        ("dockerfile", "COPY shop.py", "COPY shops.py", "shops.py is not there"),
        ("dockerfile", "granian-cli[pname]", "granian-cli[name]", "no extra name"),
        ("haproxy", "balance roundrobin", "balance squarerobin", "balance"),
        ("ini", "TimeoutStopSec=40", "TimeoutStopSec=30", "TimeoutStopSec is too short"),
        ("ini", "--respawn-failed-workers", "--respawn-failed", "No such option"),
        ("yaml", "seconds: 5}", "seconds: 15}", "the grace period is too short"),
        ("yaml", "/health,", "/healthy,", "startupProbe"),
    ],
)
def test_a_wrong_recipe_is_found(
    language: str, right: str, wrong: str, message: str, tmp_path: Path
) -> None:
    page = ALL[ROOT / "docs" / "deployment.md"]
    recipe = next(block for block in page if block.language == language)
    assert right in recipe.code
    story = Story(tmp_path)
    try:
        check(story, page[0], None)
        with pytest.raises(AssertionError, match=message) as found:
            check(story, replace(recipe, code=recipe.code.replace(right, wrong)), page[0])
        if isinstance(found.value, ServerFailed):
            story.failed()
    except ToolMissing as error:
        pytest.skip(str(error))
    finally:
        story.stop()


def test_a_file_that_nothing_runs_is_found(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.python(Block(tmp_path, 1, "python", "lonely.py", "app = None\n", "", False))
    assert list(story.unused) == ["lonely.py"]
    story.use("granian lonely:app")
    assert not story.unused

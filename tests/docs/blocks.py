"""Code blocks of the documents: where they stand, and what they are."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *(page for page in ROOT.glob("*.md") if page.name != "CHANGELOG.md"),
        *(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "api"),
        *ROOT.glob("packages/*/README.md"),
        *ROOT.glob("examples/*.md"),
    ]
)
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)(?P<rest>.*)\n(?P<code>(?:.*\n)*?)(?P=indent)```$",
    re.MULTILINE,
)
_MARK = re.compile(r"<!-- not run: (?P<reason>.+?) -->\s*$")
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        page: The document.
        line: Its first line there, counted from 1.
        language: The word behind the fence.
        title: Name of the file that it is, or empty.
        code: The text, without the fences.
        reason: Why it is not run, or empty.
        follows: Whether nothing but blank lines stands between it and the block before.
    """

    page: Path
    line: int
    language: str
    title: str
    code: str
    reason: str
    follows: bool

    @property
    def where(self) -> str:
        """Page and line."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    found, end = [], -1
    for match in _FENCE.finditer(text):
        between = text[max(end, 0) : match.start()]
        mark = _MARK.search(between)
        title = _TITLE.search(match["rest"])
        found.append(
            Block(
                page,
                text.count("\n", 0, match.start()) + 1,
                match["language"],
                title[1] if title else "",
                textwrap.dedent(match["code"]),
                mark["reason"] if mark else "",
                end >= 0 and not between.strip(),
            )
        )
        end = match.end()
    return found


ALL = {page: blocks(page) for page in PAGES}

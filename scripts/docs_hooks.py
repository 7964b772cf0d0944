"""Hooks of the documentation's build: diagrams become pictures that were drawn beforehand.

The text of a diagram stays in its page, as a ``mermaid`` block; its picture is
``docs/assets/diagrams/<digest>.svg``, which ``python scripts/write_diagrams.py`` draws. So the
site needs no script of anybody, and the build neither a browser nor a network.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
DIAGRAMS = "assets/diagrams"
BLOCK = re.compile(r"^```mermaid\n(?P<source>.*?)^```$", re.DOTALL | re.MULTILINE)
TITLE = re.compile(r"^\s*accTitle: *(.+)$", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def digest(source: str) -> str:
    """Return the name of a diagram's picture, without its suffix."""
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def diagrams() -> Iterator[tuple[Path, str]]:
    """Yield each diagram of the pages with its page."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
            yield page, match["source"]


def on_page_markdown(markdown: str, *, page: Any, **_: object) -> str:
    """Put the picture in the place of each diagram.

    Raises:
        FileNotFoundError: A diagram was changed and not drawn anew.
    """

    def picture(match: re.Match[str]) -> str:
        name = f"{DIAGRAMS}/{digest(match['source'])}.svg"
        if not (ROOT / "docs" / name).is_file():
            remedy = "run python scripts/write_diagrams.py"
            raise FileNotFoundError(f"{page.file.src_uri}: a diagram has no picture, {remedy}")
        titles = TITLE.findall(match["source"]) or HEADING.findall(markdown[: match.start()])[-1:]
        title = titles[0] if titles else "Diagram"
        link = posixpath.relpath(name, posixpath.dirname(page.file.src_uri) or ".")
        return f"![{title}]({link}){{ .diagram }}"

    return BLOCK.sub(picture, markdown)

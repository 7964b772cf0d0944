"""Pages that are made from the code are those that the code makes."""

from __future__ import annotations

import pytest

from scripts import write_api
from scripts.docs_hooks import DIAGRAMS, ROOT, diagrams, digest


@pytest.mark.parametrize("name", write_api.MODULES)
def test_pages_of_the_reference_name_what_is_public(name: str) -> None:
    written = (write_api.PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert written == write_api.page(name), "run python scripts/write_api.py"


def test_every_diagram_has_its_picture_and_no_picture_is_left_over() -> None:
    wanted = {digest(source) for _, source in diagrams()}
    drawn = {path.stem for path in (ROOT / "docs" / DIAGRAMS).glob("*.svg")}
    assert len(wanted) >= 5
    assert drawn == wanted, "run python scripts/write_diagrams.py"

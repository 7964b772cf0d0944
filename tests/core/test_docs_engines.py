"""The code of docs/engines.md runs, and prints what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"
EXAMPLES = re.findall(
    r"^## (.+?)$.*?```python\n(.*?)```\n\n```text\n(.*?)```",
    PAGE.read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)


def test_every_engine_has_an_example() -> None:
    assert [name for name, _, _ in EXAMPLES] == ["HTTP/1.1", "HTTP/2", "WebSocket"]


@pytest.mark.parametrize(
    ("code", "output"), [row[1:] for row in EXAMPLES], ids=[row[0] for row in EXAMPLES]
)
def test_example_prints_what_the_page_says(
    code: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(code, str(PAGE), "exec"), {"__name__": "example"})
    assert capsys.readouterr().out == output

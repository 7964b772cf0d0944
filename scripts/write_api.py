"""Write the pages of docs/api, which name every public object.

    python scripts/write_api.py

Their docstrings are read when the site is built.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

PAGES = Path(__file__).resolve().parent.parent / "docs" / "api"
MODULES = {
    "core": ("granian_core", "granian_core.testing"),
    "asgi": ("granian_asgi",),
    "rsgi": ("granian_rsgi",),
    "wsgi": ("granian_wsgi",),
    "granian": (
        "granian",
        "granian.server",
        "granian.server.embed",
        "granian.constants",
        "granian.errors",
        "granian.http",
        "granian.log",
        "granian.net",
        "granian.utils.proxies",
        "granian.cli",
    ),
}
INTRODUCTIONS = {
    "core": "The public API, under semantic versioning: what is not here is private. "
    "[Embedding](../embedding.md) and [writing an interface](../interface.md) show it at work.",
    "asgi": "Types for applications, and the factories behind `--interface asgi` and `asginl`. "
    "[ASGI](../asgi.md) is the page to read first.",
    "rsgi": "What an application gets to see, and the factory behind `--interface rsgi`. "
    "[RSGI](../rsgi.md) is the page to read first.",
    "wsgi": "The factory behind `--interface wsgi`, and what it puts into the environ. "
    "[WSGI](../wsgi.md) is the page to read first.",
    "granian": "The import name of Granian, which `granian-cli` provides. "
    "[Python API](../python-api.md) shows it at work.",
}
HAND_WRITTEN = {
    # The module of the same name would hide the object.
    "granian_core.loops": "\n### `granian_core.loops` { #granian_core.loops }\n\n"
    "The registry of event loops, of this class:\n\n::: granian_core.loops.LoopRegistry\n",
}


def public_names(module: str) -> list[str]:
    """Return the names of a module's ``__all__``, without dunders."""
    names = importlib.import_module(module).__all__
    return sorted((name for name in names if not name.startswith("__")), key=str.lower)


def page(name: str) -> str:
    """Return the text of one page."""
    modules = MODULES[name]
    text = f"# `{modules[0]}`\n\n{INTRODUCTIONS[name]}\n"
    for module in modules:
        if module != modules[0]:
            text += f"\n## `{module}`\n"
        for item in public_names(module):
            text += HAND_WRITTEN.get(f"{module}.{item}") or f"\n::: {module}.{item}\n"
            if len(modules) > 1:
                text += "    options:\n      heading_level: 3\n"
    return text


def main() -> int:
    """Write every page."""
    for name in MODULES:
        (PAGES / f"{name}.md").write_text(page(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

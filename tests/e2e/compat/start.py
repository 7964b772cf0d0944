"""What runs in the spawned process. It imports no more than a program would."""

from __future__ import annotations

from typing import Any


def serve(target: str, keywords: dict[str, Any]) -> None:
    """Serve until told to stop."""
    from granian import Granian

    Granian(target, **keywords).serve()

"""Session-wide checks. Standard library and pytest only: the isolated suites load this too."""

from __future__ import annotations

import contextlib
import importlib.util
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[1] / "packages" / "granian-cli" / "src"


def foreign_granian() -> str:
    """Say what is wrong if the import name `granian` is not ours, else nothing."""
    try:
        distribution("granian")
    except PackageNotFoundError:
        pass
    else:
        return "the distribution 'granian' is installed beside ours; use another environment"
    spec = importlib.util.find_spec("granian")
    if spec is None:
        return ""
    location = Path(spec.origin or "").resolve()
    homes = [SOURCES]
    with contextlib.suppress(PackageNotFoundError):
        homes.append(Path(str(distribution("granian-cli").locate_file(""))).resolve())
    if any(home in location.parents for home in homes):
        return ""
    return f"'granian' would be imported from {location}, which is not ours"


@pytest.fixture(scope="session", autouse=True)
def _only_our_granian() -> None:
    """Fail the run where another `granian` could be tested in place of ours."""
    if fault := foreign_granian():
        pytest.exit(fault, returncode=1)

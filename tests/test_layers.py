"""The import rules hold, and the checker would see it if they did not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINT = "from importlinter.cli import lint_imports_command as run; run()"
PACKAGES = ["core", "asgi", "rsgi", "wsgi", "cli"]


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Run the import linter over the packages under *root* with the repository's contracts."""
    sources = [str(root / "packages" / f"granian-{name}" / "src") for name in PACKAGES]
    return subprocess.run(
        [sys.executable, "-c", LINT, "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sources)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Return a copy of the packages' sources that a test may spoil."""
    for name in PACKAGES:
        source = Path("packages") / f"granian-{name}" / "src"
        shutil.copytree(ROOT / source, tmp_path / source)
    return tmp_path


def test_import_rules_hold() -> None:
    result = lint_imports(ROOT)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("core/src/granian_core/http1/fast.py", "import asyncio", "Engines know no socket"),
        ("core/src/granian_core/interface.py", "import granian_asgi", "The command sees adapters"),
        ("wsgi/src/granian_wsgi/__init__.py", "import granian_asgi", "The command sees adapters"),
        ("core/src/granian_core/stream.py", "import socket", "Streams and the interface API"),
    ],
    ids=["engine-asyncio", "core-adapter", "adapter-adapter", "stream-socket"],
)
def test_planted_violation_is_reported(copied: Path, module: str, line: str, contract: str) -> None:
    path = copied / "packages" / f"granian-{module}"
    path.write_text(f"{path.read_text('utf-8')}\n{line}\n", "utf-8")

    result = lint_imports(copied)

    assert result.returncode == 1
    broken = [text for text in result.stdout.splitlines() if " BROKEN" in text]
    assert any(text.startswith(contract) for text in broken), result.stdout

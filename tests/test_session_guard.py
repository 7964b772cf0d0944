"""The session refuses to test another project's `granian` in place of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import foreign_granian

ROOT = Path(__file__).resolve().parents[1]
TEST = ["tests/test_packaging.py", "-k", "root_is_no_package"]


def run_suite_beside(site: Path) -> subprocess.CompletedProcess[str]:
    """Run one quick test with *site* in front of the installed packages."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TEST],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_this_environment_is_clean() -> None:
    assert foreign_granian() == ""


def test_distribution_named_granian_ends_the_session(tmp_path: Path) -> None:
    info = tmp_path / "granian-2.8.7.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: granian\nVersion: 2.8.7\n", "utf-8"
    )

    result = run_suite_beside(tmp_path)

    assert result.returncode == 1
    assert "the distribution 'granian' is installed beside ours" in result.stdout + result.stderr


def test_import_name_from_elsewhere_ends_the_session(tmp_path: Path) -> None:
    (tmp_path / "granian").mkdir()
    (tmp_path / "granian" / "__init__.py").write_text("", "utf-8")

    result = run_suite_beside(tmp_path)

    assert result.returncode == 1
    assert "which is not ours" in result.stdout + result.stderr


def test_clean_environment_runs(tmp_path: Path) -> None:
    result = run_suite_beside(tmp_path)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 passed" in result.stdout

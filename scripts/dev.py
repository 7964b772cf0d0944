"""Set up a development environment and serve, or run the tests, in one command.

    python3 scripts/dev.py serve [granian options]
    python3 scripts/dev.py test [pytest options]

Needs Python 3.10 or later with ``venv`` and nothing else: the environment is made in
``.venv`` (or ``GRANIAN_VENV``), and the five packages are installed from this tree in
one pip command, so that none of them is ever looked up in an index.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(os.environ.get("GRANIAN_VENV", ROOT / ".venv"))
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
PACKAGES = [ROOT / "packages" / f"granian-{name}" for name in ("core", "asgi", "rsgi", "wsgi")]
CLI = ROOT / "packages" / "granian-cli"
TEST_REQUIREMENTS = ROOT / "tests" / "requirements.txt"
BESIDE_REQUIREMENTS = ROOT / "tests" / "e2e" / "requirements-no-deps.txt"
"""Frameworks that depend on the distribution `granian`, which may never come in here."""

EXAMPLE = ["--interface", "asgi", "--working-dir", str(ROOT / "examples"), "asgi_app:app"]


def main(arguments: list[str]) -> int:
    """Run the command that *arguments* name; return its exit code."""
    if sys.version_info < (3, 10):  # noqa: UP036 - whoever runs this may have another one
        print("Python 3.10 or later is needed", file=sys.stderr)
        return 2
    commands = {"serve": serve, "test": test}
    if not arguments or arguments[0] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    return commands[arguments[0]](arguments[1:])


def serve(options: list[str]) -> int:
    """Serve the example application on localhost:8000 until interrupted."""
    prepare("serve", [*local_packages(), "-e", str(CLI)])
    command = [str(BIN / "granian"), *options, *EXAMPLE]
    os.chdir(ROOT)
    if os.name != "nt":
        os.execv(command[0], command)  # noqa: S606 - signals reach the server itself
    return subprocess.call(command)


def test(options: list[str]) -> int:
    """Run all tests; with ``GRANIAN_COVERAGE=1`` under coverage, with a report."""
    prepare(
        "test",
        [*local_packages(), "-e", f"{CLI}[all]", "-r", str(TEST_REQUIREMENTS)],
        ["--no-deps", "-r", str(BESIDE_REQUIREMENTS)],
    )
    options = [*in_parallel(), *options]
    runner = [str(PYTHON), "-m"]
    if os.environ.get("GRANIAN_COVERAGE") != "1":
        return subprocess.call([*runner, "pytest", *options], cwd=ROOT)
    for stale in ROOT.glob(".coverage*"):
        stale.unlink()
    code = subprocess.call([*runner, "coverage", "run", "-m", "pytest", *options], cwd=ROOT)
    subprocess.check_call([*runner, "coverage", "combine", "--quiet"], cwd=ROOT)
    subprocess.check_call([*runner, "coverage", "report", "--fail-under=0"], cwd=ROOT)
    return code


def in_parallel() -> list[str]:
    """Return pytest's options for running on several processors; ``-n 0`` undoes them."""
    # More than a few, and the servers under test crowd each other out.
    return ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "worksteal"]


def local_packages() -> list[str]:
    """Return pip's arguments for the packages that the command depends on."""
    return [word for path in PACKAGES for word in ("-e", str(path))]


def prepare(purpose: str, *installs: list[str]) -> None:
    """Make the environment and run pip once for each of *installs*, unless that was done."""
    stamp = VENV / f".installed-{purpose}"
    wanted = fingerprint(installs)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    if not PYTHON.exists():
        print(f"Making {VENV}", file=sys.stderr)
        venv.create(VENV, with_pip=True)
    for arguments in installs:
        pip = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.check_call([*pip, *arguments], cwd=ROOT, stdin=subprocess.DEVNULL)
    stamp.write_text(wanted)


def fingerprint(installs: tuple[list[str], ...]) -> str:
    """Return a digest of everything that decides what is installed."""
    digest = hashlib.sha256(repr((sys.version, installs)).encode())
    inputs = [*(path / "pyproject.toml" for path in [*PACKAGES, CLI])]
    inputs += sorted((ROOT / "tests").glob("**/requirements*.txt"))
    for path in inputs:
        digest.update(path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

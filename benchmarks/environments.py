"""One virtual environment per server under test, made once and kept in a cache directory.

Servers never share an environment: the Rust distribution ``granian`` and this project own the same
import name, and a peer must not gain an optional dependency of another.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError

ROOT = Path(__file__).resolve().parent.parent
"""The root of the source tree."""

_MARKER = "complete"
_VERSIONS_SCRIPT = """
import importlib.metadata, json, platform
versions = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
versions["python"] = platform.python_implementation() + " " + platform.python_version()
print(json.dumps(versions))
"""


@dataclass(frozen=True)
class Environment:
    """What one virtual environment holds."""

    name: str
    requirements: tuple[str, ...] = ()
    """Requirements that pip resolves."""
    editable: tuple[str, ...] = ()
    """Projects of the source tree, as ``path`` or ``path[extra]`` relative to its root."""
    compiled: tuple[str, ...] = ()
    """The same, but built with ``GRANIAN_COMPILE=1`` and installed as wheels: each state of their
    sources has an environment of its own."""
    fallback: str = ""
    """The server to select where the compiled projects can not be built."""

    def key(self, python: str) -> str:
        """Return a digest that changes when the environment has to be made anew."""
        digest = hashlib.sha256(repr((self, python, str(ROOT))).encode())
        for project in (*self.editable, *self.compiled):
            digest.update((_home(project) / "pyproject.toml").read_bytes())
        for project in self.compiled:
            for path in (_home(project) / "hatch_build.py", *_sources(project)):
                digest.update(f"{path.relative_to(ROOT)}\0".encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()[:12]


def _home(project: str) -> Path:
    return ROOT / project.partition("[")[0]


def _sources(project: str) -> list[Path]:
    return sorted((_home(project) / "src").rglob("*.py"))


def default_cache() -> Path:
    """Return the directory that keeps the environments between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "granian-benchmarks"


def prepare(environment: Environment, cache: Path, python: str = sys.executable) -> Path:
    """Return the interpreter of *environment*, making the environment if it is not there.

    Args:
        environment: What to install.
        cache: Directory that keeps environments; made if it is missing.
        python: Interpreter that the environment is made with.

    Raises:
        BenchmarkError: venv or pip failed; the text has the end of its output, and which server
            to select instead where something was to be compiled.
    """
    try:
        directory = cache / f"{environment.name}-{environment.key(python)}"
    except OSError as error:
        message = f"environment {environment.name}: {error}"
        raise BenchmarkError(message) from error
    interpreter = directory / "bin" / "python"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(directory.with_suffix(".lock")):
        if not (directory / _MARKER).exists():
            shutil.rmtree(directory, ignore_errors=True)
            _make(environment, directory, python)
            (directory / _MARKER).touch()
    return interpreter


def versions(interpreter: Path) -> Mapping[str, str]:
    """Return the version of Python and of every distribution beside *interpreter*."""
    output = _run([str(interpreter), "-c", _VERSIONS_SCRIPT])
    found: dict[str, str] = json.loads(output)
    return found


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, so that two runs do not make the same environment at once."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(environment: Environment, directory: Path, python: str) -> None:
    _run([python, "-m", "venv", str(directory)])
    wanted = [*environment.requirements, *(str(ROOT / project) for project in environment.compiled)]
    for project in environment.editable:
        wanted += ["--editable", str(ROOT / project)]
    if not wanted:
        return
    pip = [str(directory / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    compile_or_not = {"GRANIAN_COMPILE": "1" if environment.compiled else "0"}
    try:
        _run([*pip, "install", "--quiet", *wanted], compile_or_not)
    except BenchmarkError as error:
        if not environment.compiled:
            raise
        message = f"{error}\nWhere nothing can be compiled, select --server {environment.fallback}"
        raise BenchmarkError(message) from error


def _run(command: list[str], variables: Mapping[str, str] | None = None) -> str:
    # Nothing of the environment that the suite itself runs in may reach another interpreter.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    clean.pop("VIRTUAL_ENV", None)
    clean.update(variables or {})
    done = subprocess.run(command, capture_output=True, text=True, env=clean, check=False)
    if done.returncode:
        message = f"{' '.join(command)} failed:\n{(done.stderr or done.stdout)[-2000:]}"
        raise BenchmarkError(message)
    return done.stdout

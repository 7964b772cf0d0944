"""Compiles the hot modules of granian-core with mypyc while its wheel is built, if asked to.

``GRANIAN_COMPILE=1`` in the environment of the build asks for it. Without it, or with ``0``, the
wheel is pure Python. Editable installs are always pure. Which modules are compiled is a table of
``pyproject.toml``. They are compiled in a temporary copy: nothing is written beside the sources.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SWITCH = "GRANIAN_COMPILE"
"""The environment variable that asks for compiled modules."""

GROUP = "granian_core"
"""Names the library with the code of all modules, ``granian_core__mypyc``; beside each module is a
small one that finds its code there. It is no part of the package because mypyc 2.4.1 gets
``__file__`` of the modules wrong where the library is not at the top."""

_REMEDY = f"without {SWITCH} the wheel is pure Python, and behaves the same"


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is our caller's
    """Adds compiled modules to a wheel."""

    _built: TemporaryDirectory[str] | None = None

    def dependencies(self) -> list[str]:
        """Return what compiling needs, the types of the package's own dependencies included."""
        if not wanted():
            return []
        return ["mypy==2.4.1", "setuptools>=75", *self.metadata.core.dependencies]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatchling which files to add under which platform's tag."""
        if not wanted() or version == "editable":
            return
        refuse_unsupported()
        self._built = TemporaryDirectory(prefix="granian-core-")
        top = Path(self._built.name)
        copy, libraries = top / "src", top / "lib"
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(Path(self.root, "src"), copy, ignore=ignored)
        modules = selected(copy, self.config["modules"], self.config["exclude"])
        self.app.display_info(f"Compiling {len(modules)} modules, which takes a minute or two")
        _run([sys.executable, str(Path(__file__)), str(libraries), *modules], copy)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for path in sorted(libraries.rglob("*.so")):
            build_data["force_include"][str(path)] = path.relative_to(libraries).as_posix()

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary copy; the wheel has what is needed of it."""
        if self._built is not None:
            self._built.cleanup()


def wanted() -> bool:
    """Return whether the environment asks for compiled modules.

    Raises:
        SystemExit: The variable has a value that is neither yes nor no.
    """
    value = os.environ.get(SWITCH, "")
    if value not in {"", "0", "1"}:
        sys.exit(f"{SWITCH} is {value!r}: set it to 1 to compile granian-core; {_REMEDY}")
    return value == "1"


def refuse_unsupported() -> None:
    """Check that compiled modules work on this interpreter.

    Raises:
        SystemExit: It is not CPython, or has no GIL.
    """
    if sys.implementation.name != "cpython":
        sys.exit(f"{SWITCH}=1 needs CPython, this is {sys.implementation.name}; {_REMEDY}")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        sys.exit(f"{SWITCH}=1 does not support free-threaded CPython; {_REMEDY}")


def selected(source: Path, modules: list[str], exclude: list[str]) -> list[str]:
    """Return the files below *source* that *modules* match and *exclude* does not, in order.

    Raises:
        SystemExit: A pattern matches nothing, so the table is out of date.
    """
    found = {pattern: set(source.glob(pattern)) for pattern in [*modules, *exclude]}
    for pattern, paths in found.items():
        if not paths:
            sys.exit(f"pyproject.toml: no module matches {pattern!r}")
    chosen = set[Path]().union(*(found[pattern] for pattern in modules))
    chosen.difference_update(*(found[pattern] for pattern in exclude))
    return sorted(path.relative_to(source).as_posix() for path in chosen)


def _run(command: list[str], directory: Path) -> None:
    environment = {**os.environ, "MYPYPATH": "."}
    done = subprocess.run(  # noqa: S603 - ourselves
        command,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        sys.exit(
            f"{done.stdout}\n{SWITCH}=1: granian-core could not be compiled, see above. It needs a "
            f"C compiler and the headers of Python (Debian: gcc, python3-dev); {_REMEDY}"
        )


def main(libraries: str, modules: list[str]) -> None:
    """Compile *modules*, paths relative to the current directory, into *libraries*.

    It runs in a process of its own: mypyc and setuptools both take the current directory for
    granted, and leave by ``sys.exit`` where something is wrong.
    """
    from mypyc.build import mypycify  # noqa: PLC0415 - there only when compiling
    from setuptools import setup  # noqa: PLC0415

    # Optional dependencies (uvloop) need not be there; and no configuration file from anywhere.
    options = ["--config-file=", "--ignore-missing-imports"]
    # What setup() takes by its annotation is another class with the same attributes.
    extensions: Any = mypycify(
        [*options, *modules], opt_level="3", debug_level="0", group_name=GROUP
    )
    jobs = str(os.cpu_count() or 1)
    setup(
        name="granian-core",
        ext_modules=extensions,
        packages=[],
        script_args=["--quiet", "build_ext", "--build-lib", libraries, "--parallel", jobs],
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

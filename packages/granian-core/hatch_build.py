"""Compiles the hot modules of a package with mypyc while its wheel is built, if asked to.

``GRANIAN_COMPILE=1`` in the environment of the build asks for it. Without it, or with ``0``, the
wheel is pure Python. Editable installs are always pure. Which modules are compiled is a table of
``pyproject.toml``. They are compiled in a temporary copy: nothing is written beside the sources.

The adapters use this file, too (their own ``hatch_build.py`` finds it). Each package is compiled
by itself: what it calls of another is called as from Python, so any two builds fit together.
"""

from __future__ import annotations

import os
import re
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

_REMEDY = f"without {SWITCH} the wheel is pure Python, and behaves the same"


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is our caller's
    """Adds compiled modules to a wheel."""

    _built: TemporaryDirectory[str] | None = None

    def dependencies(self) -> list[str]:
        """Return what compiling needs, the types of the package's own dependencies included."""
        if not wanted():
            return []
        needed = ["mypy==2.4.1", "setuptools>=75"]
        return needed + [line for line in self._dependencies if not self._sources_of(line)]

    @property
    def _dependencies(self) -> list[str]:
        found: list[str] = self.metadata.core.dependencies
        return found

    def _sources_of(self, requirement: str) -> list[Path]:
        """Return where the sources of a package of ours are, if this is a checkout."""
        name = re.split(r"[^\w-]", requirement, maxsplit=1)[0]
        source = Path(self.root).parent / name / "src"
        return [source] if name.startswith("granian-") and source.is_dir() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatchling which files to add under which platform's tag."""
        if not wanted() or version == "editable":
            return
        refuse_unsupported()
        self._built = TemporaryDirectory(prefix="granian-compiled-")
        top = Path(self._built.name)
        copy, libraries = top / "src", top / "lib"
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(Path(self.root, "src"), copy, ignore=ignored)
        modules = selected(copy, self.config["modules"], self.config["exclude"])
        self.app.display_info(f"Compiling {len(modules)} modules, which takes a minute or two")
        types = [path for line in self._dependencies for path in self._sources_of(line)]
        name = self.metadata.name
        command = [sys.executable, str(Path(__file__)), name, str(libraries), *modules]
        _run(command, copy, [Path(), *types])
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
        sys.exit(f"{SWITCH} is {value!r}: set it to 1 to compile hot modules; {_REMEDY}")
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


def _run(command: list[str], directory: Path, types: list[Path]) -> None:
    environment = {**os.environ, "MYPYPATH": os.pathsep.join(map(str, types))}
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
            f"{done.stdout}\n{SWITCH}=1: the compiler failed, see above. It needs a C "
            f"compiler and the headers of Python (Debian: gcc, python3-dev); {_REMEDY}"
        )


def main(name: str, libraries: str, modules: list[str]) -> None:
    """Compile *modules* of the package *name*, relative to the current directory, into *libraries*.

    The code of all is in one library at the top, named for the package and ``__mypyc``; beside each
    module is a small one that finds its code there. The library is no part of the package because
    mypyc 2.4.1 gets ``__file__`` of the modules wrong where it is not at the top.

    It runs in a process of its own: mypyc and setuptools both take the current directory for
    granted, and leave by ``sys.exit`` where something is wrong.
    """
    from mypyc.build import mypycify  # noqa: PLC0415 - there only when compiling
    from setuptools import setup  # noqa: PLC0415

    # Dependencies that only modules beside these need (uvloop, wsproto) may be missing, whatever
    # mypy then makes of such modules; and no configuration file from anywhere.
    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    # What setup() takes by its annotation is another class with the same attributes.
    extensions: Any = mypycify(
        [*options, *modules], opt_level="3", debug_level="0", group_name=name.replace("-", "_")
    )
    jobs = str(os.cpu_count() or 1)
    setup(
        name=name,
        ext_modules=extensions,
        packages=[],
        script_args=["--quiet", "build_ext", "--build-lib", libraries, "--parallel", jobs],
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])

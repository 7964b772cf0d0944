"""Check what is inside the built distributions: ``python scripts/check_dists.py DIST``.

Each package must be there as one sdist and one wheel of the same version, with its
licence, its readme and its type marker, and without tests. Wheels must be pure.

``python scripts/check_dists.py --compiled DIST`` checks that DIST has one compiled wheel of each
package that can be compiled.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

IMPORT_NAMES = {
    "granian-core": ["granian_core"],
    "granian-asgi": ["granian_asgi"],
    "granian-rsgi": ["granian_rsgi"],
    "granian-wsgi": ["granian_wsgi"],
    "granian-cli": ["granian", "granian_cli"],
}
BUILD_FILES = {
    "granian-core": {"hatch_build.py"},
    "granian-asgi": {"hatch_build.py", "compile_hook.py"},
    "granian-wsgi": {"hatch_build.py", "compile_hook.py"},
}
"""The packages that can be compiled, and what their sdists carry for it."""


def main(arguments: list[str]) -> int:
    """Print every fault found in the directory; return 1 if there is one."""
    *options, directory = arguments
    faults = check_compiled(Path(directory)) if options else check_all(Path(directory))
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        count = len(BUILD_FILES) if options else 2 * len(IMPORT_NAMES)
        print(f"{count} distributions with what should be inside")
    return 1 if faults else 0


def check_all(directory: Path) -> list[str]:
    """Return what is wrong with the sdists and pure wheels of all packages."""
    faults = []
    for name, imports in IMPORT_NAMES.items():
        stem = name.replace("-", "_")
        faults += check_sdist(sorted(directory.glob(f"{stem}-*.tar.gz")), name, imports)
        faults += check_wheel(sorted(directory.glob(f"{stem}-*.whl")), name, imports)
    return faults


def check_compiled(directory: Path) -> list[str]:
    """Return what is wrong with the compiled wheels."""
    faults = []
    for name in BUILD_FILES:
        paths = sorted(directory.glob(f"{name.replace('-', '_')}-*.whl"))
        faults += check_wheel(paths, name, IMPORT_NAMES[name], compiled=True)
    return faults


def check_sdist(paths: list[Path], name: str, imports: list[str]) -> list[str]:
    """Return what is wrong with the one sdist that *paths* should be."""
    if len(paths) != 1:
        return [f"{name}: {len(paths)} sdists"]
    with tarfile.open(paths[0]) as archive:
        files = {member.partition("/")[2] for member in archive.getnames()}
    wanted = {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO"}
    wanted |= {f"src/{package}/py.typed" for package in imports}
    wanted |= BUILD_FILES.get(name, set())
    return report(paths[0], wanted - files, [file for file in files if "tests/" in file])


def check_wheel(
    paths: list[Path], name: str, imports: list[str], *, compiled: bool = False
) -> list[str]:
    """Return what is wrong with the one wheel that *paths* should be."""
    if len(paths) != 1:
        return [f"{name}: {len(paths)} wheels"]
    with zipfile.ZipFile(paths[0]) as archive:
        files = set(archive.namelist())
    info = next(file.partition("/")[0] for file in files if ".dist-info/" in file)
    wanted = {f"{info}/licenses/LICENSE", f"{info}/METADATA"}
    wanted |= {f"{package}/py.typed" for package in imports}
    libraries = {file for file in files if file.endswith(".so")}
    if compiled:
        # Each library needs its source beside it, for tracebacks and for type checkers.
        wanted |= {f"{file.partition('.')[0]}.py" for file in libraries if "/" in file}
        foreign = set()
    else:
        foreign = libraries
    ours = {*imports, info}
    foreign |= {file for file in files - libraries if file.partition("/")[0] not in ours}
    faults = report(paths[0], wanted - files, sorted(foreign))
    if (compiled and not libraries) or compiled == paths[0].stem.endswith("-none-any"):
        faults.append(f"{paths[0].name}: not a {'compiled' if compiled else 'pure'} wheel")
    return faults


def report(path: Path, missing: set[str], foreign: list[str]) -> list[str]:
    """Put the findings about one file into words."""
    faults = [f"{path.name}: {file} is missing" for file in sorted(missing)]
    return faults + [f"{path.name}: {file} does not belong there" for file in sorted(foreign)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

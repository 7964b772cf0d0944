"""Check what is inside the built distributions: ``python scripts/check_dists.py DIST``.

Each package must be there as one sdist and one wheel of the same version, with its
licence, its readme and its type marker, and without tests.
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


def main(directory: Path) -> int:
    """Print every fault found in *directory*; return 1 if there is one."""
    faults = []
    for name, imports in IMPORT_NAMES.items():
        stem = name.replace("-", "_")
        faults += check_sdist(sorted(directory.glob(f"{stem}-*.tar.gz")), name, imports)
        faults += check_wheel(sorted(directory.glob(f"{stem}-*.whl")), name, imports)
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(f"{2 * len(IMPORT_NAMES)} distributions hold what they should")
    return 1 if faults else 0


def check_sdist(paths: list[Path], name: str, imports: list[str]) -> list[str]:
    """Return what is wrong with the one sdist that *paths* should be."""
    if len(paths) != 1:
        return [f"{name}: {len(paths)} sdists"]
    with tarfile.open(paths[0]) as archive:
        files = {member.partition("/")[2] for member in archive.getnames()}
    wanted = {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO"}
    wanted |= {f"src/{package}/py.typed" for package in imports}
    return report(paths[0], wanted - files, [file for file in files if "tests/" in file])


def check_wheel(paths: list[Path], name: str, imports: list[str]) -> list[str]:
    """Return what is wrong with the one wheel that *paths* should be."""
    if len(paths) != 1:
        return [f"{name}: {len(paths)} wheels"]
    with zipfile.ZipFile(paths[0]) as archive:
        files = set(archive.namelist())
    info = next(file.partition("/")[0] for file in files if ".dist-info/" in file)
    wanted = {f"{info}/licenses/LICENSE", f"{info}/METADATA"}
    wanted |= {f"{package}/py.typed" for package in imports}
    foreign = [file for file in files if file.partition("/")[0] not in {*imports, info}]
    return report(paths[0], wanted - files, foreign)


def report(path: Path, missing: set[str], foreign: list[str]) -> list[str]:
    """Put the findings about one file into words."""
    faults = [f"{path.name}: {file} is missing" for file in sorted(missing)]
    return faults + [f"{path.name}: {file} does not belong there" for file in sorted(foreign)]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

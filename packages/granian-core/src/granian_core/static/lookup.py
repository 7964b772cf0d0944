"""From names below a mount to an open file. Runs in a thread: disks may be slow.

A path is resolved first, so that links inside the mount work and links that leave it are
seen; then the *resolved* path is opened name by name, following no link at all, so that
whoever swaps a name for a link in between gains nothing.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from granian_core.files import OPEN_FLAGS, OpenFile
from granian_core.static.codings import SIBLINGS

if TYPE_CHECKING:
    from granian_core.static.paths import Names

_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
# O_PATH: a directory that may be searched but not listed can be passed through.
_DIRECTORY_FLAGS: Final = (
    getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
)
_BY_NAME: Final = os.open in os.supports_dir_fd and _NO_FOLLOW != 0

Identity = tuple[int, int, int, int, int]
"""Device, inode, size, and times of change: equal means the same content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A directory that is served, and how."""

    route: str
    """URL path without a slash at its end."""
    path: str
    """The directory, absolute."""
    index: str | None = None
    """Name of the file that stands for a directory."""
    follow_symlinks: bool = False
    """Whether links may lead out of the directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An open file that answers a request; the caller closes it."""

    file: OpenFile
    info: os.stat_result
    name: str
    """Name of the file without the ending of a coding: its type depends on it."""
    path: str
    """Where it was looked up, links not resolved."""
    coding: bytes
    """Content coding, empty if there is none."""
    codings: tuple[bytes, ...]
    """Codings that there are siblings for."""


def identity(info: os.stat_result) -> Identity:
    """Return what changes when a file is changed or replaced."""
    return (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def find(mount: Mount, names: Names) -> tuple[Found, dict[bytes, str]]:
    """Open the file that *names* mean, and see which siblings it has.

    Returns:
        The file as it is, and the paths of its siblings by their coding.

    Raises:
        OSError: There is none, or it must not be served.
    """
    root = os.path.realpath(mount.path, strict=True)
    path = os.path.join(root, *names.parts)
    resolved = _resolve(root, path, mount)
    if os.path.isdir(resolved):
        if mount.index is None:
            raise IsADirectoryError(path)
        path = os.path.join(path, mount.index)
        resolved = _resolve(root, path, mount)
    elif names.directory:
        raise NotADirectoryError(path)
    file, info = _open(root, resolved, mount)
    siblings = _siblings(root, path, info, mount)
    found = Found(
        file=file,
        info=info,
        name=os.path.basename(path),
        path=path,
        coding=b"",
        codings=tuple(siblings),
    )
    return found, siblings


def open_sibling(mount: Mount, original: Found, coding: bytes, path: str) -> Found:
    """Open the sibling at *path* instead of *original*, which is closed.

    If it has gone meanwhile, the original is the answer.
    """
    try:
        root = os.path.realpath(mount.path, strict=True)
        file, info = _open(root, _resolve(root, path, mount), mount)
    except OSError:
        return original
    original.file.close()
    return Found(
        file=file,
        info=info,
        name=original.name,
        path=path,
        coding=coding,
        codings=original.codings,
    )


def _siblings(root: str, path: str, original: os.stat_result, mount: Mount) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    for coding, ending in SIBLINGS:
        try:
            info = os.stat(_resolve(root, path + ending, mount))
        except OSError:
            continue
        # One that is older was made from something else.
        if stat.S_ISREG(info.st_mode) and int(info.st_mtime) >= int(original.st_mtime):
            found[coding] = path + ending
    return found


def _resolve(root: str, path: str, mount: Mount) -> str:
    """Return *path* without links; refuse it if they lead out of the mount."""
    resolved = os.path.realpath(path, strict=True)
    if not mount.follow_symlinks and os.path.commonpath((root, resolved)) != root:
        raise PermissionError(f"{path} leads out of {root}")
    return resolved


def _open(root: str, resolved: str, mount: Mount) -> tuple[OpenFile, os.stat_result]:
    fd = _open_by_name(root, resolved, mount) if _BY_NAME else os.open(resolved, OPEN_FLAGS)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(f"{resolved} is not a regular file")
        return OpenFile(fd), info
    except BaseException:
        os.close(fd)
        raise


def _open_by_name(root: str, resolved: str, mount: Mount) -> int:
    """Open a resolved path without following any link on the way down from the mount."""
    top = os.path.sep if mount.follow_symlinks else root
    names = os.path.relpath(resolved, top).split(os.path.sep)
    directory = os.open(top, _DIRECTORY_FLAGS)
    try:
        for name in names[:-1]:
            below = os.open(name, _DIRECTORY_FLAGS | _NO_FOLLOW, dir_fd=directory)
            os.close(directory)
            directory = below
        return os.open(names[-1], OPEN_FLAGS | _NO_FOLLOW, dir_fd=directory)
    finally:
        os.close(directory)

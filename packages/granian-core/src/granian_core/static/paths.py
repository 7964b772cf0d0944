"""From the path of a request to the names below a mount. Pure functions.

The path was percent-decoded once, by the connection; nothing is decoded here, so that
``%252e%252e`` is a name with percent signs in it and nothing else.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

WELL_KNOWN: Final = ".well-known"
"""The one hidden name that is served (RFC 8615)."""

_WINDOWS_DEVICES: Final = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{name}{digit}" for name in ("com", "lpt") for digit in "123456789¹²³"]
)


class Names(NamedTuple):
    """A path below a mount that is safe to look up."""

    parts: tuple[str, ...]
    directory: bool
    """The path ends with a slash (or is empty): only a directory can be meant."""


def match_route(route: str, path: str) -> str | None:
    """Return what follows *route* in *path*: empty or from a slash on; None if no match.

    Args:
        route: Without a slash at its end; empty matches every path.
        path: Percent-decoded, from its first slash.
    """
    if not path.startswith(route):
        return None
    rest = path[len(route) :]
    return rest if not rest or rest[0] == "/" else None


def has_encoded_slash(raw_path: bytes) -> bool:
    """Whether a slash is hidden in a name; no file has such a name (RFC 3986 2.2)."""
    return b"%2f" in raw_path or b"%2F" in raw_path


def split_names(
    rest: str, *, dotfiles: bool = False, windows: bool = os.name == "nt"
) -> Names | None:
    """Return the names in *rest*, or None if one of them can not be a file's.

    Args:
        rest: From `match_route`.
        dotfiles: Whether names that begin with a dot are served.
        windows: Whether the rules of Windows apply to names.
    """
    if "\0" in rest or "\\" in rest or "\ufffd" in rest:
        return None
    parts = rest.split("/")[1:]
    directory = not parts or not parts[-1]
    if parts and directory:
        parts.pop()
    for index, part in enumerate(parts):
        # An empty name would make what follows absolute for a careless join.
        if part in ("", ".", ".."):
            return None
        if part[0] == "." and not dotfiles and not (index == 0 and part == WELL_KNOWN):
            return None
        if windows and not _is_windows_name(part):
            return None
    return Names(tuple(parts), directory)


def _is_windows_name(part: str) -> bool:
    """Whether *part* means itself: no drive, stream, device, or dropped ending."""
    if ":" in part or part[-1] in ". ":
        return False
    return part.partition(".")[0].rstrip().lower() not in _WINDOWS_DEVICES

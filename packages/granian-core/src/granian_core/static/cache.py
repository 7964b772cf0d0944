"""Contents of hot small files, kept in memory. Used on the loop's thread alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from granian_core.static.lookup import Identity, identity

if TYPE_CHECKING:
    from granian_core.static.answer import Representation

MAX_FILE: Final = 131_072
"""Largest file, in bytes, that is kept."""
MAX_BYTES: Final = 33_554_432
"""Bytes that all the files kept may have together, per worker."""
MAX_FILES: Final = 4096
FRESH: Final = 1.0
"""Seconds after which a file is looked up anew: only that notices a sibling that has come."""


@dataclass(slots=True, kw_only=True)
class Kept:
    """One file in memory."""

    identity: Identity
    path: str
    body: bytes
    representation: Representation
    until: float
    """When it has to be looked up anew, by the loop's clock."""

    def is_current(self) -> bool:
        """Whether the file is what it was; a few microseconds, for its name is hot as well."""
        try:
            return identity(os.stat(self.path)) == self.identity
        except OSError:
            return False


class Cache:
    """Files by what was asked for, the longest unused ones dropped first.

    Args:
        max_bytes: Bytes that all the files may have together.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.size = 0
        self._max_bytes = max_bytes
        self._codings: dict[str, tuple[bytes, ...]] = {}
        self._kept: dict[tuple[str, bytes], Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def codings(self, path: str) -> tuple[bytes, ...] | None:
        """Return the codings of the file at a request's path; None if nothing is kept of it."""
        return self._codings.get(path)

    def get(self, path: str, coding: bytes, now: float) -> Kept | None:
        """Return what is kept and still true."""
        key = (path, coding)
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until < now or not kept.is_current():
            self._drop(key)
            return None
        return kept

    def put(self, path: str, coding: bytes, codings: tuple[bytes, ...], kept: Kept) -> None:
        """Keep a file, in place of the longest unused ones if there is no room."""
        key = (path, coding)
        if key in self._kept:
            self._drop(key)
        self._kept[key] = kept
        self._codings[path] = codings
        self.size += len(kept.body)
        while self.size > self._max_bytes or len(self._kept) > MAX_FILES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, bytes]) -> None:
        # Files leave in the order in which they came or were looked up anew: one that is in
        # use comes anew every FRESH seconds, so no hit has to move anything.
        self.size -= len(self._kept.pop(key).body)
        path = key[0]
        codings = self._codings.get(path, ())
        if not any((path, coding) in self._kept for coding in (b"", *codings)):
            self._codings.pop(path, None)

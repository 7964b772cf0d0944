"""The limit of open files: what a worker may raise by itself, it raises."""

from __future__ import annotations

import logging

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

logger = logging.getLogger("_granian.worker")

MOST_OPEN_FILES = 1 << 20
"""Where raising ends: programs that walk all possible descriptors exist (before `close_range`)."""


def raise_open_files() -> None:
    """Raise this process's soft limit of open files to the hard one.

    The soft limit is 1024 on most systems, for the sake of programs that use `select.select`;
    a server has other reasons. An application that takes every descriptor leaves none for
    its clients: some loops then close them without a word.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError) as exc:
        logger.debug("The limit of open files stays at %d: %s", soft, exc)
    else:
        logger.debug("The limit of open files is raised from %d to %d", soft, most)

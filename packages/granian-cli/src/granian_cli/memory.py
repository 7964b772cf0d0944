"""Resident memory of the workers, and which of them stay over the limit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

logger = logging.getLogger("_granian.supervisor")

MEBIBYTE = 1 << 20


def resident_bytes(pid: int) -> int:
    """Return the resident set size of a process.

    Raises:
        ProcessLookupError: It is gone, or may not be looked at.
    """
    import psutil  # noqa: PLC0415 - needed with --workers-max-rss only

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error as exc:
        raise ProcessLookupError(str(exc)) from exc


class MemoryMonitor:
    """Counts samples over the limit, for each worker in a row.

    Args:
        limit: MiB.
        samples: How many samples in a row make a worker too big.
        measure: Returns the bytes of a pid.
    """

    def __init__(
        self, limit: int, samples: int, measure: Callable[[int], int] = resident_bytes
    ) -> None:
        self._limit = limit * MEBIBYTE
        self._samples = samples
        self._measure = measure
        self._over: dict[int, int] = {}

    def sample(self, pids: Mapping[int, int]) -> list[int]:
        """Measure every worker once.

        Args:
            pids: Worker id to pid, of the workers that serve.

        Returns:
            The ids of those that have been over the limit often enough.
        """
        over: dict[int, int] = {}
        for worker, pid in pids.items():
            try:
                size = self._measure(pid)
            except OSError as exc:
                logger.warning("Cannot read the memory of process %d: %s", pid, exc)
                continue
            logger.debug("Process %d has %d MiB resident", pid, size // MEBIBYTE)
            if size >= self._limit:
                over[worker] = self._over.get(worker, 0) + 1
        self._over = over
        return [worker for worker, count in over.items() if count >= self._samples]

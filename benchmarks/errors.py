"""The benchmark suite's own errors."""

from __future__ import annotations


class BenchmarkError(Exception):
    """Something the benchmark needs is missing or failed; the text says what and why."""

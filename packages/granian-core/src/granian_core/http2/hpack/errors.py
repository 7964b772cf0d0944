"""What a field block can be wrong in."""

from __future__ import annotations


class HPACKError(Exception):
    """A block cannot be decoded: the connection ends with COMPRESSION_ERROR (RFC 9113 4.3)."""


class FieldSectionBombError(HPACKError):
    """A block decodes to so much that going on is not worth it (ENHANCE_YOUR_CALM)."""

"""The errors that end a server."""

from __future__ import annotations

from granian_cli.errors import PidFileError
from granian_core.errors import ConfigurationError, FatalError

__all__ = ["ConfigurationError", "FatalError", "PidFileError"]

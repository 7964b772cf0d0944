"""The command, as programs extend it: the click command and the types of its options."""

from __future__ import annotations

from granian_cli.command import build_command
from granian_cli.main import entrypoint
from granian_cli.types import Duration, EnumType, OctalIntType

__all__ = ["Duration", "EnumType", "OctalIntType", "cli", "entrypoint"]

cli = build_command()
"""The command ``granian``."""

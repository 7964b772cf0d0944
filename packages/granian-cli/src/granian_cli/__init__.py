"""The ``granian`` command and the supervisor behind it.

Public: `Configuration` and its parts (`granian_cli.settings`), and `Supervisor`. Importing
this package imports neither click nor rich: workers import it too.
"""

from __future__ import annotations

from importlib.metadata import version

from granian_cli.config import Configuration
from granian_cli.errors import PidFileError
from granian_cli.settings import (
    ApplicationSettings,
    LogSettings,
    NetworkSettings,
    ProcessSettings,
    ReloadSettings,
    RuntimeSettings,
)
from granian_cli.supervisor import Supervisor

__all__ = [
    "ApplicationSettings",
    "Configuration",
    "LogSettings",
    "NetworkSettings",
    "PidFileError",
    "ProcessSettings",
    "ReloadSettings",
    "RuntimeSettings",
    "Supervisor",
    "__version__",
]

__version__ = version("granian-cli")

"""Process titles, through setproctitle where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from granian_core.errors import ConfigurationError

if TYPE_CHECKING:
    from granian_cli.config import Configuration


def process_title(configuration: Configuration, addresses: str) -> str | None:
    """Return the supervisor's title, or None where titles can not be set.

    Raises:
        ConfigurationError: A name was asked for, and setproctitle is not installed.
    """
    name = configuration.processes.process_name
    try:
        import setproctitle  # noqa: F401, PLC0415 - an extra
    except ImportError:
        if name is None:
            return None
        raise ConfigurationError(
            "--process-name", name, "needs setproctitle: install granian-cli[pname]"
        ) from None
    application = configuration.application
    return name or f"granian {application.interface} {addresses} {configuration.target}"


def set_process_title(title: str | None) -> None:
    """Set the title of this process, unless it is None."""
    if title is not None:
        import setproctitle  # noqa: PLC0415 - an extra

        setproctitle.setproctitle(title)


def set_thread_title(title: str) -> None:
    """Name the current thread for ``ps -L`` and ``top -H``, where that is possible."""
    try:
        import setproctitle  # noqa: PLC0415 - an extra
    except ImportError:
        return
    setproctitle.setthreadtitle(title)

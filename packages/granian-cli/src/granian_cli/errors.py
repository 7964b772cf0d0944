"""Errors that only the command and its supervisor raise."""

from __future__ import annotations

from granian_core.errors import AppLoadError, FatalError


class PidFileError(FatalError):
    """The pid file can not be used: a live process owns it, or it is unreadable."""


class TargetError(AppLoadError):
    """The target can not be imported, or has no such application.

    Args:
        message: One line for the user.
        traceback: The application's own traceback, without frames of ours; empty when
            there is nothing of the application to show.
    """

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message, traceback)
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        return self.message


class WorkerError(FatalError):
    """A worker did not become ready when the server started.

    Args:
        reason: One line for the user, as the worker gave it.
        exit_code: The server's exit code.
        traceback: The application's own traceback, or empty.
    """

    def __init__(self, reason: str, exit_code: int = 1, traceback: str = "") -> None:
        super().__init__(reason, exit_code, traceback)
        self.reason = reason
        self.exit_code = exit_code
        self.traceback = traceback

    def __str__(self) -> str:
        return self.reason

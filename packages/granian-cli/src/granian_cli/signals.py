"""Signals as something to wait for: a socket that yields their numbers."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from granian_core.errors import FatalError

HANDLED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGCHLD")
"""Signals that reach the supervisor as events; SIGUSR2 is reserved, SIGCHLD only wakes it."""


class Interrupted(BaseException):
    """Somebody asks us to leave while code that is not ours runs on the main thread."""


def handled_signals() -> list[signal.Signals]:
    """Return those of `HANDLED` that this platform has."""
    return [getattr(signal, name) for name in HANDLED if hasattr(signal, name)]


class SignalPipe:
    """While open, takes the process's signals and hands them out one by one.

    The handlers do nothing: the C handler writes the number to a socket
    (`signal.set_wakeup_fd`), which wakes whoever waits for it. Former handlers come back
    on exit.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._former: dict[signal.Signals, Any] = {}
        self._former_fd = -1

    def __enter__(self) -> SignalPipe:
        """Install the handlers.

        Raises:
            FatalError: This is not the main thread.
        """
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        try:
            self._former_fd = signal.set_wakeup_fd(self._writer.fileno())
        except ValueError:
            self._close()
            raise FatalError("the server must run on the main thread") from None
        for signum in handled_signals():
            self._former[signum] = signal.signal(signum, _wake)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put the former handlers back."""
        for signum, handler in self._former.items():
            signal.signal(signum, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(self._former_fd)
        self._close()

    def fileno(self) -> int:
        """Return the descriptor that is readable when a signal has arrived."""
        return self._reader.fileno()

    def read(self) -> list[int]:
        """Return the signals that have arrived, in order, without waiting."""
        try:
            return list(self._reader.recv(4096))
        except BlockingIOError:
            return []

    def _close(self) -> None:
        self._reader.close()
        self._writer.close()


def _wake(signum: int, frame: object) -> None:
    """Do nothing: the wakeup descriptor tells."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within a `SignalPipe`, let SIGINT and SIGTERM raise `Interrupted` on the main thread."""
    former = {
        signum: signal.signal(signum, _interrupt) for signum in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for signum, handler in former.items():
            signal.signal(signum, handler)


def _interrupt(signum: int, frame: object) -> None:
    raise Interrupted

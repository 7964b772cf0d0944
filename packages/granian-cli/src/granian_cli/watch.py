"""Reload mode: a process of its own that watches files and reports what changed.

The supervisor stays single-threaded, and so safe to fork: the watcher's threads and
inotify handles live over there. It leaves when its pipe closes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granian_core.errors import ConfigurationError

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from granian_cli.settings import ReloadSettings

Changes = list[tuple[str, str]]
"""What happened (``Added``, ``Modified``, ``Deleted``) and to which path."""


def require_watchfiles() -> None:
    """Check that watchfiles is installed.

    Raises:
        ConfigurationError: It is not.
    """
    try:
        import watchfiles  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise ConfigurationError(
            "--reload", None, "needs watchfiles: install granian-cli[reload]"
        ) from None


class Watcher:
    """The watching process, seen from the supervisor.

    Args:
        settings: What to watch.
        filter_class: A watchfiles filter class to use instead of its default.
    """

    def __init__(self, settings: ReloadSettings, filter_class: type[Any] | None = None) -> None:
        self._settings = settings
        self._filter_class = filter_class
        self._process: BaseProcess | None = None
        self.connection: Connection | None = None
        """Readable when there is something for `read`; None once the watcher has ended."""

    def start(self, context: BaseContext, inherited: tuple[Connection, ...] = ()) -> None:
        """Start the process; *inherited* are pipe ends that a forked child has to close."""
        self.connection, theirs = multiprocessing.Pipe()
        ends = (*inherited, self.connection) if context.get_start_method() == "fork" else ()
        self._process = context.Process(  # type: ignore[attr-defined]
            target=_watch,
            args=(theirs, self._settings, self._filter_class, ends),
            name="granian-watcher",
            daemon=True,
        )
        self._process.start()
        theirs.close()

    def read(self) -> Changes | None:
        """Return the next report, or None when the watcher has ended."""
        if self.connection is None:
            return None
        try:
            changes: Changes = self.connection.recv()
        except (EOFError, OSError):
            self.connection.close()
            self.connection = None
            return None
        return changes

    def stop(self) -> None:
        """End the process."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        if self._process is not None:
            self._process.kill()
            self._process.join()


def watch_filter(settings: ReloadSettings, filter_class: type[Any] | None = None) -> Any:
    """Return the watchfiles filter that the settings mean.

    What is to be ignored is added to what the class ignores already.
    """
    if filter_class is None:
        from watchfiles import DefaultFilter  # noqa: PLC0415 - an extra

        filter_class = DefaultFilter
    extended = type(
        "ReloadFilter",
        (filter_class,),
        {
            "ignore_dirs": (
                *getattr(filter_class, "ignore_dirs", ()),
                *settings.reload_ignore_dirs,
            ),
            "ignore_entity_patterns": (
                *getattr(filter_class, "ignore_entity_patterns", ()),
                *settings.reload_ignore_patterns,
            ),
            "ignore_paths": (
                *getattr(filter_class, "ignore_paths", ()),
                *(path.resolve() for path in settings.reload_ignore_paths),
            ),
        },
    )
    return extended()


def _watch(
    connection: Connection,
    settings: ReloadSettings,
    filter_class: type[Any] | None,
    inherited: tuple[Connection, ...],
) -> None:
    """Run in the watching process until the supervisor's end of the pipe closes."""
    from watchfiles import watch  # noqa: PLC0415 - an extra

    _forget_parent(inherited)
    threading.Thread(target=_leave_at_end, args=(connection,), daemon=True).start()
    paths = settings.reload_paths or (Path.cwd(),)
    with contextlib.suppress(BrokenPipeError):
        for changes in watch(
            *paths,
            watch_filter=watch_filter(settings, filter_class),
            step=settings.reload_tick,
            raise_interrupt=False,
        ):
            connection.send(
                sorted((change.raw_str().capitalize(), path) for change, path in changes)
            )


def _forget_parent(inherited: tuple[Connection, ...]) -> None:
    """Undo what a forked child has from the supervisor: handlers, and ends of pipes."""
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for end in inherited:
        end.close()


def _leave_at_end(connection: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        connection.recv()
    os._exit(0)

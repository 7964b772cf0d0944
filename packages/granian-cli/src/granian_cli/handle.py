"""A worker as the supervisor holds it, be it a process or a thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Protocol

from granian_cli.control import DumpMessage, StopMessage

if TYPE_CHECKING:
    from granian_cli.control import Assignment, SharedFloat


class WorkerHandle(Protocol):
    """What the supervisor can do with a worker, and see of it."""

    kind: str
    """What `pid` is: ``PID`` or ``TID``."""
    connection: Connection | None
    """Our end of the control pipe; None once the worker has closed its end."""

    def start(self, assignment: Assignment, others: tuple[Connection, ...]) -> None:
        """Start the worker; *others* are ends of pipes that are ours alone.

        Raises:
            OSError: The system has no room for it.
        """

    @property
    def pid(self) -> int:
        """The id by which the system knows it."""

    @property
    def sentinel(self) -> Any:
        """What becomes readable when the worker ends, for `multiprocessing.connection.wait`."""

    @property
    def exitcode(self) -> int | None:
        """How the worker ended, negative for a signal; None while it runs."""

    @property
    def last_beat(self) -> float:
        """Monotonic time at which the worker's loop was last seen alive."""

    def messages(self) -> Iterator[object]:
        """Yield what the worker has said and we have not read."""

    def stop(self, *, final: bool) -> None:
        """Tell the worker to drain and leave."""

    def dump(self) -> None:
        """Tell the worker to write its state to the log."""

    def dump_stacks(self) -> None:
        """Have the worker's stacks written, even while its loop is blocked."""

    def kill(self) -> None:
        """Be done with the worker at once."""

    def close(self) -> None:
        """Release what we hold of a worker that has ended, or is about to."""


class ControlPipe:
    """The supervisor's end of a control pipe, and the heartbeat beside it.

    Attributes:
        connection: The end itself; None once either side has closed.
    """

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self._heartbeat: SharedFloat | None = None

    @property
    def last_beat(self) -> float:
        """Monotonic time at which the worker's loop was last seen alive."""
        return self._heartbeat.value if self._heartbeat is not None else time.monotonic()

    def stop(self, *, final: bool) -> None:
        """Tell the worker to drain and leave."""
        self.send(StopMessage(final))

    def dump(self) -> None:
        """Tell the worker to write its state to the log."""
        self.send(DumpMessage())

    def messages(self) -> Iterator[object]:
        """Yield what the worker has said and we have not read."""
        while self.connection is not None:
            try:
                if not self.connection.poll():
                    return
                yield self.connection.recv()
            except (EOFError, OSError):
                self.close_connection()

    def send(self, message: object) -> None:
        """Tell the worker; one that is gone shows by its sentinel."""
        if self.connection is not None:
            try:
                self.connection.send(message)
            except OSError:
                return

    def close_connection(self) -> None:
        """Close our end."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

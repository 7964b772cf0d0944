"""What supervisor and worker tell each other on the control pipe, and what a worker is given."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from granian_cli.config import Configuration


class SharedFloat(Protocol):
    """A float in memory that supervisor and worker share."""

    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a worker is to do; picklable while it is spawned."""

    configuration: Configuration
    number: int
    """Of the worker's slot, from 1."""
    sockets: tuple[socket.socket, ...]
    """Bound, owned by the supervisor, shared by all workers."""
    log_config: Mapping[str, Any] | None = None
    loader: Callable[[], object] | None = None
    """Makes the application, instead of importing the target."""
    title: str | None = None
    """Process title, where titles can be set."""
    max_requests: int | None = None
    """Number of requests, jitter included, after which the worker asks to be replaced."""

    def equipped(
        self,
        control: Connection,
        heartbeat: SharedFloat | None,
        inherited: tuple[Connection, ...] = (),
    ) -> WorkerSpec:
        """Return it with what one worker has to talk to the supervisor."""
        return WorkerSpec(
            configuration=self.configuration,
            number=self.number,
            sockets=self.sockets,
            log_config=self.log_config,
            loader=self.loader,
            title=self.title,
            max_requests=self.max_requests,
            control=control,
            heartbeat=heartbeat,
            inherited=inherited,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec(Assignment):
    """Everything that a worker is started with; picklable while it is spawned."""

    control: Connection
    """The worker's end of the control pipe. It closes when the supervisor dies."""
    heartbeat: SharedFloat | None = None
    """Where the worker's loop writes the monotonic time, for the watchdog."""
    inherited: tuple[Connection, ...] = ()
    """Ends of other workers' pipes that a forked child has to close."""


@dataclass(frozen=True, slots=True)
class ReadyMessage:
    """Worker: I accept connections."""

    loop: str
    """Name of the event loop's package."""


@dataclass(frozen=True, slots=True)
class FailedMessage:
    """Worker: I can not become ready, and exit."""

    reason: str
    exit_code: int
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class RetireMessage:
    """Worker: I have served my number of requests; replace me."""


@dataclass(frozen=True, slots=True)
class StopMessage:
    """Supervisor: drain, then leave."""

    final: bool
    """The whole server stops: nobody else will accept what is queued."""


@dataclass(frozen=True, slots=True)
class DumpMessage:
    """Supervisor: write your stacks, tasks and connections to the log."""

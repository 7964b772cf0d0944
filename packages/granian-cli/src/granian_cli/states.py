"""What the supervisor's state machine knows, hears and orders: its state, events and actions.

All of it is immutable. `granian_cli.machine` makes the next state of one, and what to do, out of
an event; `granian_cli.supervisor` makes the events and carries out the actions.

- A *slot* is a place for one worker (``worker-1``); a *worker* is one process or thread, and
  its id is never used again.
- Times are in seconds: settings as durations, everything else on the monotonic clock.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

SHUTDOWN_MARGIN = 5.0
"""Seconds that a worker has for the application's shutdown, beyond its graceful timeout."""
KILL_MARGIN = 5.0
"""Seconds after which we kill a worker that should have left by itself."""


class Phase(enum.Enum):
    """What the whole server is doing."""

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"
    STOPPED = "stopped"


class WorkerPhase(enum.Enum):
    """What one worker is doing."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"
    KILLED = "killed"


class Cause(enum.Enum):
    """Why a worker was started."""

    START = "start"
    RELOAD = "reload"
    ERROR = "error"
    LIFETIME = "lifetime"
    MEMORY = "memory"
    REQUESTS = "requests"
    WATCHDOG = "watchdog"
    SCALE = "scale"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings that the machine decides by. Times are in seconds."""

    workers: int = 1
    respawn_failed: bool = False
    respawn_interval: float = 3.5
    graceful_timeout: float = 25.0
    kill_timeout: float | None = None
    startup_timeout: float | None = None
    tolerate_failures: bool = False
    """A lost or failed worker stays away until the next reload (development)."""

    @property
    def drain_deadline(self) -> float:
        """Time from the order to drain to the SIGKILL."""
        if self.kill_timeout is not None:
            return self.kill_timeout
        return self.graceful_timeout + SHUTDOWN_MARGIN + KILL_MARGIN


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a worker did not become ready."""

    reason: str
    exit_code: int = 1
    traceback: str = ""
    """The application's own, where there is one."""

    def __str__(self) -> str:
        return f"{self.reason}\n{self.traceback}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One process."""

    id: int
    slot: int
    cause: Cause
    started_at: float
    phase: WorkerPhase = WorkerPhase.STARTING
    deadline: float | None = None
    """When patience with this phase ends."""
    retire_at: float | None = None
    """When its lifetime is over."""
    failure: Failure | None = None

    @property
    def current(self) -> bool:
        """Whether the worker serves, or is about to."""
        return self.phase in (WorkerPhase.STARTING, WorkerPhase.READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place for one worker."""

    number: int
    failures: int = 0
    """Workers lost in a row, each soon after its start."""
    retry_at: float | None = None
    """When an empty slot is filled again."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A replacement that waits for its turn."""

    slot: int
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything the machine knows."""

    policy: Policy
    phase: Phase = Phase.STARTING
    slots: tuple[Slot, ...] = ()
    workers: tuple[Worker, ...] = ()
    turns: tuple[Turn, ...] = ()
    next_turn_at: float = 0.0
    next_id: int = 1
    unready_since: float | None = None
    """Since when a server that was ready has no ready worker."""
    exit_code: int = 0
    failure: Failure | None = None
    """What stopped the server, where it did not stop by a signal."""

    def worker(self, worker_id: int) -> Worker | None:
        """Return the worker with that id, if it still exists."""
        return next((worker for worker in self.workers if worker.id == worker_id), None)

    def ready(self) -> int:
        """Return the number of ready workers."""
        return sum(worker.phase is WorkerPhase.READY for worker in self.workers)


@dataclass(frozen=True, slots=True)
class Start:
    """Begin: start the first workers."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker accepts connections."""

    worker: int
    lifetime: float | None = None
    """Seconds, jitter included, after which it is to be replaced."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A worker says why it can not become ready; it is about to exit."""

    worker: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class Exited:
    """A worker's process has ended."""

    worker: int
    status: int | None = None
    """As `multiprocessing` has it: negative for a signal."""


@dataclass(frozen=True, slots=True)
class Retire:
    """A worker should be replaced (memory, requests, watchdog)."""

    worker: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class Reload:
    """Replace every worker (SIGHUP, or a changed file)."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """Stop gracefully (SIGTERM)."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop gracefully; when already stopping, at once (SIGINT)."""


@dataclass(frozen=True, slots=True)
class AddWorker:
    """One worker more (SIGTTIN)."""


@dataclass(frozen=True, slots=True)
class RemoveWorker:
    """One worker fewer (SIGTTOU)."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing but time has passed."""


Event: TypeAlias = (
    Start
    | Ready
    | Failed
    | Exited
    | Retire
    | Reload
    | Terminate
    | Interrupt
    | AddWorker
    | RemoveWorker
    | Tick
)


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a process."""

    worker: int
    slot: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class Drain:
    """Tell a worker to leave; it answers what it has accepted."""

    worker: int
    final: bool
    """The whole server stops, so that the worker empties the accept queue."""


@dataclass(frozen=True, slots=True)
class Kill:
    """End a process at once."""

    worker: int


@dataclass(frozen=True, slots=True)
class CloseListeners:
    """Close our own copies of the listening sockets: nobody will be started again."""


@dataclass(frozen=True, slots=True)
class Reloading:
    """A reload begins: read the env files again, run the hooks."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Every first worker has started: print the banner."""


@dataclass(frozen=True, slots=True)
class Log:
    """One line for the log, in the manner of `logging.Logger.log`."""

    level: int
    message: str
    args: tuple[object, ...] = ()


Action: TypeAlias = Spawn | Drain | Kill | CloseListeners | Reloading | Announce | Log

"""The supervisor's state machine: which worker is started, drained or killed, and when.

Rules:

- No process, no clock, no I/O: `step` takes a state, an event and the time, and
  returns the next state and the actions that lead there. The shell
  (`granian_cli.supervisor`) makes events and carries out actions, and decides nothing.
- A *slot* is a place for one worker (``worker-1``); a *worker* is one process, and its
  id is never used again. A slot has at most two: the one that leaves and its successor.
- A replacement is always *successor ready, then predecessor drains*. Replacements take
  turns: the next one starts when nobody starts and nobody drains, and the pause
  (``respawn_interval``) is over.
- Every wait that could last for ever has a deadline in the state; `next_deadline` says
  when to call again with `Tick`. Deadlines that have passed are dealt with on every event.
- A worker is gone only when `Exited` says so. Until then it counts, whatever we told it.

A worker's phases move one way only::

    STARTING ── Ready ──▶ READY ── replaced, or stop ──▶ DRAINING ── deadline ──▶ KILLED
        └─ Failed ──▶ FAILED ── 5 s ──▶ KILLED            (Exited ends any of them)
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass, field

from granian_cli.states import (
    KILL_MARGIN,
    Action,
    AddWorker,
    Announce,
    Cause,
    CloseListeners,
    Drain,
    Event,
    Exited,
    Failed,
    Failure,
    Interrupt,
    Kill,
    Log,
    Phase,
    Policy,
    Ready,
    Reload,
    Reloading,
    RemoveWorker,
    Retire,
    Slot,
    Spawn,
    Start,
    State,
    Terminate,
    Tick,
    Turn,
    Worker,
    WorkerPhase,
)

CRASH_WINDOW = 5.5
"""Seconds; a worker lost sooner than this after its respawn counts as a crash loop."""
LONGEST_RETRY = 30.0
"""Seconds; the doubling delay between two attempts stops here."""
UNREADY_LIMIT = 60.0
"""Seconds without any ready worker after which the server gives up."""

_RETIREMENTS = {
    Cause.LIFETIME: "worker-%d has reached its lifetime",
    Cause.MEMORY: "worker-%d is over its memory limit",
    Cause.REQUESTS: "worker-%d has served its number of requests",
    Cause.WATCHDOG: "worker-%d does not answer: its event loop is blocked",
}


def step(state: State, event: Event, now: float) -> tuple[State, list[Action]]:
    """Advance the machine by one event.

    Args:
        state: The state so far; it is not changed.
        event: What happened. Events about workers that are gone are ignored.
        now: Monotonic seconds; never earlier than in the previous call.

    Returns:
        The next state, and what to do, in order.
    """
    if state.phase is Phase.STOPPED:
        return state, []
    transition = _Transition.of(state, now)
    transition.handle(event)
    transition.settle()
    return transition.frozen(), transition.actions


def next_deadline(state: State) -> float | None:
    """Return when `step` must be called with `Tick`, unless something happens before."""
    deadlines = [
        *(worker.deadline for worker in state.workers),
        *(worker.retire_at for worker in state.workers),
        *(slot.retry_at for slot in state.slots),
    ]
    if state.turns and state.phase is Phase.SERVING and not _busy(state.workers):
        deadlines.append(state.next_turn_at)
    if state.unready_since is not None and not state.policy.tolerate_failures:
        deadlines.append(state.unready_since + UNREADY_LIMIT)
    return min((deadline for deadline in deadlines if deadline is not None), default=None)


def _busy(workers: tuple[Worker, ...]) -> bool:
    """Whether a replacement has to wait: somebody starts, or leaves."""
    return any(worker.phase is not WorkerPhase.READY for worker in workers)


def _retry_delay(failures: int) -> float:
    return min(LONGEST_RETRY, 2.0 ** (failures - 1)) if failures else 0.0


@dataclass(slots=True)
class _Transition:
    """One step in the making: the state taken apart, and the actions so far."""

    policy: Policy
    phase: Phase
    slots: dict[int, Slot]
    workers: dict[int, Worker]
    turns: list[Turn]
    next_turn_at: float
    next_id: int
    unready_since: float | None
    exit_code: int
    failure: Failure | None
    now: float
    was_ready: bool
    actions: list[Action] = field(default_factory=list)

    @classmethod
    def of(cls, state: State, now: float) -> _Transition:
        return cls(
            policy=state.policy,
            phase=state.phase,
            slots={slot.number: slot for slot in state.slots},
            workers={worker.id: worker for worker in state.workers},
            turns=list(state.turns),
            next_turn_at=state.next_turn_at,
            next_id=state.next_id,
            unready_since=state.unready_since,
            exit_code=state.exit_code,
            failure=state.failure,
            now=now,
            was_ready=state.ready() > 0,
        )

    def frozen(self) -> State:
        return State(
            policy=self.policy,
            phase=self.phase,
            slots=tuple(self.slots[number] for number in sorted(self.slots)),
            workers=tuple(self.workers.values()),
            turns=tuple(self.turns),
            next_turn_at=self.next_turn_at,
            next_id=self.next_id,
            unready_since=self.unready_since,
            exit_code=self.exit_code,
            failure=self.failure,
        )

    @property
    def stopping(self) -> bool:
        return self.phase is Phase.STOPPING

    # What happened.

    def handle(self, event: Event) -> None:
        match event:
            case Start():
                self.start()
            case Ready(worker_id, lifetime):
                self.on_ready(worker_id, lifetime)
            case Failed(worker_id, failure):
                self.on_failed(worker_id, failure)
            case Exited(worker_id, status):
                self.on_exited(worker_id, status)
            case Retire(worker_id, cause):
                self.retire(worker_id, cause)
            case Reload():
                self.reload()
            case Terminate():
                self.stop(0)
            case Interrupt():
                self.interrupt()
            case AddWorker():
                self.add_worker()
            case RemoveWorker():
                self.remove_worker()
            case Tick():
                pass

    def start(self) -> None:
        if self.slots or self.phase is not Phase.STARTING:
            return
        for number in range(1, self.policy.workers + 1):
            self.slots[number] = Slot(number=number)
            self.spawn(number, Cause.START)

    def on_ready(self, worker_id: int, lifetime: float | None) -> None:
        worker = self.workers.get(worker_id)
        if worker is None or worker.phase is not WorkerPhase.STARTING:
            return
        self.change(
            worker,
            phase=WorkerPhase.READY,
            deadline=None,
            retire_at=None if lifetime is None else self.now + lifetime,
        )
        self.log(logging.INFO, "Started worker-%d", worker.slot)
        predecessor = self.find(worker.slot, WorkerPhase.READY, other_than=worker_id)
        if predecessor is not None:
            self.next_turn_at = self.now + self.policy.respawn_interval
            self.drain(predecessor, "Stopping old worker-%d")

    def on_failed(self, worker_id: int, failure: Failure) -> None:
        worker = self.workers.get(worker_id)
        if worker is not None and worker.phase is WorkerPhase.STARTING:
            deadline = self.now + KILL_MARGIN
            self.change(worker, phase=WorkerPhase.FAILED, deadline=deadline, failure=failure)

    def on_exited(self, worker_id: int, status: int | None) -> None:
        worker = self.workers.pop(worker_id, None)
        if worker is None:
            return
        if self.stopping or worker.slot not in self.slots:
            self.log(logging.INFO, "Stopped worker-%d", worker.slot)
        elif worker.failure is not None:
            self.start_failed(worker, worker.failure)
        elif worker.phase is WorkerPhase.STARTING:
            reason = f"worker-{worker.slot} ended with status {status} before it was ready"
            self.start_failed(worker, Failure(reason))
        elif worker.phase is WorkerPhase.READY:
            self.lost(worker)
        else:
            self.log(logging.INFO, "Stopped old worker-%d", worker.slot)

    def lost(self, worker: Worker) -> None:
        """A worker that served has ended, and nobody told it to."""
        self.log(logging.ERROR, "Unexpected exit from worker-%d", worker.slot)
        if self.policy.tolerate_failures:
            return
        if not self.policy.respawn_failed:
            self.stop(1)
        elif self.find(worker.slot, WorkerPhase.STARTING) is None:
            young = self.now - worker.started_at < CRASH_WINDOW
            self.retry(worker.slot, counts=young and worker.cause is not Cause.START)

    def start_failed(self, worker: Worker, failure: Failure) -> None:
        """A worker did not become ready."""
        number = worker.slot
        kept = self.find(number, WorkerPhase.READY) is not None
        spare = worker.cause is Cause.SCALE and len(self.slots) > 1
        if kept or self.policy.tolerate_failures or spare:
            remark = " (the old one keeps serving)" if kept else ""
            self.log(logging.ERROR, "worker-%d failed to start%s: %s", number, remark, failure)
        if worker.cause is Cause.RELOAD and (kept or self.policy.tolerate_failures):
            self.give_up_reload()
        elif kept:
            self.retry_turn(number, worker.cause)
        elif spare:
            del self.slots[number]
        elif self.policy.tolerate_failures:
            return
        elif worker.cause is not Cause.START and self.policy.respawn_failed:
            self.log(logging.ERROR, "worker-%d failed to start: %s", number, failure)
            self.retry(number, counts=True)
        else:
            self.failure = failure
            self.stop(failure.exit_code)

    def give_up_reload(self) -> None:
        """The new code does not start: the others would not start either."""
        self.turns = [turn for turn in self.turns if turn.cause is not Cause.RELOAD]

    def retire(self, worker_id: int, cause: Cause) -> None:
        worker = self.workers.get(worker_id)
        if worker is None or worker.phase is not WorkerPhase.READY or self.stopping:
            return
        if self.find(worker.slot, WorkerPhase.STARTING) is not None:
            return
        waiting = [turn.cause for turn in self.turns if turn.slot == worker.slot]
        blocked = cause is Cause.WATCHDOG
        if cause in waiting or (waiting and not blocked):
            return
        level = logging.WARNING if blocked else logging.INFO
        self.log(level, _RETIREMENTS[cause], worker.slot)
        if blocked:  # it serves nobody: first in the queue, and no pause
            self.turns = [turn for turn in self.turns if turn.slot != worker.slot]
            self.turns.insert(0, Turn(worker.slot, cause))
            self.next_turn_at = self.now
        else:
            self.turns.append(Turn(worker.slot, cause))

    def reload(self) -> None:
        if self.stopping:
            return
        self.actions.append(Reloading())
        self.turns = [Turn(number, Cause.RELOAD) for number in sorted(self.slots)]

    def interrupt(self) -> None:
        if not self.stopping:
            self.stop(0)
            return
        self.log(logging.WARNING, "Stopping at once")
        for worker in list(self.workers.values()):
            self.kill(worker)

    def stop(self, exit_code: int) -> None:
        if self.stopping:
            return
        self.phase = Phase.STOPPING
        self.exit_code = exit_code
        self.turns.clear()
        self.unready_since = None
        for slot in list(self.slots.values()):
            self.slots[slot.number] = dataclasses.replace(slot, retry_at=None)
        self.log(logging.INFO, "Shutting down granian")
        self.actions.append(CloseListeners())
        for worker in list(self.workers.values()):
            if worker.current:
                self.drain(worker, "Stopping worker-%d")

    def add_worker(self) -> None:
        if self.stopping:
            return
        taken = {*self.slots, *(worker.slot for worker in self.workers.values())}
        number = next(number for number in range(1, len(taken) + 2) if number not in taken)
        self.slots[number] = Slot(number=number)
        self.log(logging.INFO, "Adding worker-%d", number)
        self.spawn(number, Cause.SCALE)

    def remove_worker(self) -> None:
        if self.stopping:
            return
        if len(self.slots) == 1:
            self.log(logging.WARNING, "Not removing the last worker")
            return
        ready = {w.slot for w in self.workers.values() if w.phase is WorkerPhase.READY}
        number = max(self.slots, key=lambda number: (number not in ready, number))
        del self.slots[number]
        self.turns = [turn for turn in self.turns if turn.slot != number]
        self.log(logging.INFO, "Removing worker-%d", number)
        for worker in list(self.workers.values()):
            if worker.slot == number and worker.current:
                self.drain(worker, "Stopping worker-%d")

    # What follows from the state and the time alone.

    def settle(self) -> None:
        """Deal with every deadline that has passed, and let the next turn begin."""
        for worker in list(self.workers.values()):
            self.check_worker(worker)
        if not self.stopping:
            self.check_readiness()
        if self.stopping:
            if not self.workers:
                self.phase = Phase.STOPPED
            return
        for slot in list(self.slots.values()):
            if slot.retry_at is not None and slot.retry_at <= self.now:
                self.slots[slot.number] = dataclasses.replace(slot, retry_at=None)
                self.spawn(slot.number, Cause.ERROR)
        if self.phase is Phase.STARTING:
            self.check_started()
        if self.phase is Phase.SERVING:
            self.take_turn()

    def check_started(self) -> None:
        """Serve once every first worker is ready, or allowed to be missing."""
        ready = sum(worker.phase is WorkerPhase.READY for worker in self.workers.values())
        if ready == len(self.workers) and (ready or (self.slots and self.policy.tolerate_failures)):
            self.phase = Phase.SERVING
            if ready:
                self.actions.append(Announce())

    def check_worker(self, worker: Worker) -> None:
        if worker.deadline is not None and worker.deadline <= self.now:
            if worker.phase is WorkerPhase.STARTING:
                reason = f"worker-{worker.slot} was not ready in time"
                worker = self.change(worker, failure=Failure(reason))
            elif worker.phase is WorkerPhase.DRAINING:
                self.log(logging.WARNING, "Killing worker-%d: it does not stop", worker.slot)
            self.kill(worker)
        if worker.retire_at is not None and worker.retire_at <= self.now:
            self.change(worker, retire_at=None)
            self.retire(worker.id, Cause.LIFETIME)

    def check_readiness(self) -> None:
        """Give up where nobody has been ready for too long."""
        if any(worker.phase is WorkerPhase.READY for worker in self.workers.values()):
            self.unready_since = None
            return
        if self.was_ready and self.unready_since is None:
            self.unready_since = self.now
        if (
            self.unready_since is not None
            and not self.policy.tolerate_failures
            and self.unready_since + UNREADY_LIMIT <= self.now
        ):
            self.log(logging.ERROR, "Worker crash loop detected, exiting")
            self.stop(1)

    def take_turn(self) -> None:
        """Begin the next replacement, if it may begin."""
        while self.turns and self.next_turn_at <= self.now:
            if _busy(tuple(self.workers.values())):
                return
            turn = self.turns.pop(0)
            slot = self.slots.get(turn.slot)
            if slot is None:
                continue
            self.slots[turn.slot] = dataclasses.replace(slot, retry_at=None)
            self.log(logging.INFO, "Respawning worker-%d", turn.slot)
            self.spawn(turn.slot, turn.cause)

    # Changes that several of the above share.

    def find(self, slot: int, phase: WorkerPhase, other_than: int | None = None) -> Worker | None:
        for worker in self.workers.values():
            if worker.slot == slot and worker.phase is phase and worker.id != other_than:
                return worker
        return None

    def change(self, worker: Worker, **changes: object) -> Worker:
        changed = dataclasses.replace(worker, **changes)  # type: ignore[arg-type]
        self.workers[worker.id] = changed
        return changed

    def spawn(self, number: int, cause: Cause) -> None:
        timeout = self.policy.startup_timeout
        self.workers[self.next_id] = Worker(
            id=self.next_id,
            slot=number,
            cause=cause,
            started_at=self.now,
            deadline=None if timeout is None else self.now + timeout,
        )
        self.actions.append(Spawn(self.next_id, number, cause))
        self.next_id += 1

    def drain(self, worker: Worker, message: str) -> None:
        self.log(logging.INFO, message, worker.slot)
        deadline = self.now + self.policy.drain_deadline
        self.change(worker, phase=WorkerPhase.DRAINING, deadline=deadline, retire_at=None)
        self.actions.append(Drain(worker.id, self.phase is Phase.STOPPING))

    def kill(self, worker: Worker) -> None:
        if worker.phase is WorkerPhase.KILLED:
            return
        self.change(worker, phase=WorkerPhase.KILLED, deadline=None, retire_at=None)
        self.actions.append(Kill(worker.id))

    def retry(self, number: int, *, counts: bool) -> None:
        """Fill an empty slot again: at once, or later when it keeps failing."""
        slot = self.slots.get(number)
        if slot is None:
            return
        failures = slot.failures + 1 if counts else 0
        delay = _retry_delay(failures)
        self.slots[number] = dataclasses.replace(slot, failures=failures, retry_at=self.now + delay)
        if delay:
            self.log(logging.WARNING, "Respawning worker-%d in %d s", number, int(delay))
        else:
            self.log(logging.INFO, "Respawning worker-%d", number)

    def retry_turn(self, number: int, cause: Cause) -> None:
        """A successor failed while its predecessor still serves: try again later."""
        slot = self.slots.get(number)
        if slot is None:
            return
        self.slots[number] = dataclasses.replace(slot, failures=slot.failures + 1)
        if not any(turn.slot == number for turn in self.turns):
            self.turns.append(Turn(number, cause))
        self.next_turn_at = max(self.next_turn_at, self.now + _retry_delay(slot.failures + 1))

    def log(self, level: int, message: str, *args: object) -> None:
        self.actions.append(Log(level, message, args))

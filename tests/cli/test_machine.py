"""The supervisor's state machine, without processes: a table of cases and random sequences."""

from __future__ import annotations

import itertools
import logging
import typing
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granian_cli import machine
from granian_cli.config import Configuration
from granian_cli.machine import next_deadline, step
from granian_cli.settings import ProcessSettings
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
    Spawn,
    Start,
    State,
    Terminate,
    Tick,
    WorkerPhase,
)
from granian_cli.supervisor import Supervisor


class Run:
    """A machine that is driven by hand, with its actions and log lines collected."""

    def __init__(self, *events: Event, **policy: object) -> None:
        self.state = State(policy=Policy(**policy))  # type: ignore[arg-type]
        self.now = 100.0
        self.log: list[str] = []
        self.send(Start(), *events)

    def send(self, *events: Event, after: float = 0.0) -> list[Action]:
        """Feed events, *after* some seconds; return the actions but for log lines."""
        self.now += after
        made: list[Action] = []
        for event in events:
            self.state, actions = step(self.state, event, self.now)
            made += actions
        self.log += [action.message % action.args for action in made if isinstance(action, Log)]
        return [action for action in made if not isinstance(action, Log)]

    def phases(self) -> dict[int, str]:
        return {worker.id: worker.phase.value for worker in self.state.workers}


def test_start_spawns_one_worker_per_slot() -> None:
    state, actions = step(State(policy=Policy(workers=3)), Start(), 0.0)
    assert actions == [Spawn(1, 1, Cause.START), Spawn(2, 2, Cause.START), Spawn(3, 3, Cause.START)]
    assert state.phase is Phase.STARTING


# Each case: a policy, the events before, the event, and the actions that must follow.
ONE = {"workers": 1}
TWO = {"workers": 2, "respawn_interval": 0.0}
RESPAWN = {"workers": 2, "respawn_failed": True, "respawn_interval": 0.0}
BOTH_READY = (Ready(1), Ready(2))
CASES: dict[str, tuple[dict[str, object], tuple[Event, ...], Event, list[object]]] = {
    "the last first worker is ready": (TWO, (Ready(1),), Ready(2), [Announce()]),
    "ready twice": (TWO, BOTH_READY, Ready(1), []),
    "ready from a stranger": (TWO, BOTH_READY, Ready(9), []),
    "reload starts one successor": (
        TWO,
        BOTH_READY,
        Reload(),
        [Reloading(), Spawn(3, 1, Cause.RELOAD)],
    ),
    "successor ready, predecessor drains": (
        TWO,
        (*BOTH_READY, Reload()),
        Ready(3),
        [Drain(1, final=False)],
    ),
    "predecessor gone, next turn": (
        TWO,
        (*BOTH_READY, Reload(), Ready(3)),
        Exited(1, 0),
        [Spawn(4, 2, Cause.RELOAD)],
    ),
    "successor fails, the reload is given up": (
        TWO,
        (*BOTH_READY, Reload(), Failed(3, Failure("broken", 3))),
        Exited(3, 3),
        [],
    ),
    "a second reload begins anew": (
        TWO,
        (*BOTH_READY, Reload(), Reload(), Ready(3)),
        Exited(1, 0),
        [Spawn(4, 1, Cause.RELOAD)],
    ),
    "terminate drains everybody": (
        TWO,
        BOTH_READY,
        Terminate(),
        [CloseListeners(), Drain(1, final=True), Drain(2, final=True)],
    ),
    "terminate twice": (TWO, (*BOTH_READY, Terminate()), Terminate(), []),
    "interrupt once drains": (
        ONE,
        (Ready(1),),
        Interrupt(),
        [CloseListeners(), Drain(1, final=True)],
    ),
    "interrupt twice kills": (ONE, (Ready(1), Interrupt()), Interrupt(), [Kill(1)]),
    "interrupt after terminate kills": (ONE, (Ready(1), Terminate()), Interrupt(), [Kill(1)]),
    "terminate while starting": (ONE, (), Terminate(), [CloseListeners(), Drain(1, final=True)]),
    "ready after terminate is late": (ONE, (Terminate(),), Ready(1), []),
    "a worker lost stops the server": (
        TWO,
        BOTH_READY,
        Exited(1, -9),
        [CloseListeners(), Drain(2, final=True)],
    ),
    "a worker lost is replaced": (RESPAWN, BOTH_READY, Exited(1, -9), [Spawn(3, 1, Cause.ERROR)]),
    "a first start fails": (
        TWO,
        (Ready(1), Failed(2, Failure("no app", 3))),
        Exited(2, 3),
        [CloseListeners(), Drain(1, final=True)],
    ),
    "a first start fails, respawn or not": (
        RESPAWN,
        (Ready(1),),
        Exited(2, -11),
        [CloseListeners(), Drain(1, final=True)],
    ),
    "retire": (TWO, BOTH_READY, Retire(2, Cause.MEMORY), [Spawn(3, 2, Cause.MEMORY)]),
    "retire while it is replaced": (TWO, (*BOTH_READY, Reload()), Retire(1, Cause.MEMORY), []),
    "retire one that starts": (TWO, (Ready(1),), Retire(2, Cause.MEMORY), []),
    "one worker more": (TWO, BOTH_READY, AddWorker(), [Spawn(3, 3, Cause.SCALE)]),
    "one worker fewer": (TWO, BOTH_READY, RemoveWorker(), [Drain(2, final=False)]),
    "the one that is not ready goes first": (
        TWO,
        (Ready(2),),
        RemoveWorker(),
        [Drain(1, final=False)],
    ),
    "never the last one": (ONE, (Ready(1),), RemoveWorker(), []),
    "an added worker that fails is let go": (
        ONE,
        (Ready(1), AddWorker(), Failed(2, Failure("broken"))),
        Exited(2, 1),
        [],
    ),
    "nothing but time": (TWO, BOTH_READY, Tick(), []),
    "an exit we know nothing of": (TWO, BOTH_READY, Exited(9, 0), []),
}


@pytest.mark.parametrize(("policy", "before", "event", "actions"), CASES.values(), ids=CASES.keys())
def test_case(
    policy: dict[str, object],
    before: tuple[Event, ...],
    event: Event,
    actions: list[Action],
) -> None:
    assert Run(*before, **policy).send(event) == actions


def test_state_is_not_changed_in_place() -> None:
    run = Run(Ready(1), **ONE)
    before = run.state
    copy = State(**{name: getattr(before, name) for name in State.__slots__})
    step(before, Terminate(), run.now)
    assert before == copy


def test_a_stopped_server_does_nothing_more() -> None:
    run = Run(Ready(1), Terminate(), Exited(1, 0), **ONE)
    assert run.state.phase is Phase.STOPPED
    assert run.state.exit_code == 0
    assert run.send(Reload(), AddWorker(), Tick(), after=1e6) == []


def test_first_start_failure_keeps_reason_and_exit_code() -> None:
    run = Run(Failed(1, Failure("cannot import x", 3)), Exited(1, 3), **ONE)
    assert run.state.phase is Phase.STOPPED
    assert run.state.failure == Failure("cannot import x", 3)
    assert run.state.exit_code == 3


def test_a_worker_that_dies_before_it_is_ready_is_named() -> None:
    run = Run(Exited(1, -11), **ONE)
    assert run.state.failure == Failure("worker-1 ended with status -11 before it was ready")
    assert run.state.exit_code == 1


def test_reload_failure_is_logged_and_the_old_one_stays() -> None:
    run = Run(Ready(1), Reload(), Failed(2, Failure("broken", 3)), Exited(2, 3), **ONE)
    assert "worker-1 failed to start (the old one keeps serving): broken" in run.log
    assert run.phases() == {1: "ready"}
    assert run.send(Tick(), after=1000) == []


def test_other_replacements_are_tried_again_later() -> None:
    run = Run(Ready(1), Retire(1, Cause.MEMORY), Exited(2, 1), respawn_interval=0.0)
    assert run.send(Tick(), after=0.9) == []
    assert next_deadline(run.state) == pytest.approx(run.now + 0.1)
    assert run.send(Tick(), after=0.2) == [Spawn(3, 1, Cause.MEMORY)]


def test_replacements_pause_for_the_interval() -> None:
    run = Run(Ready(1), Ready(2), Reload(), Ready(3), workers=2, respawn_interval=3.5)
    assert run.send(Exited(1, 0), after=1.0) == []
    assert next_deadline(run.state) == pytest.approx(run.now + 2.5)
    assert run.send(Tick(), after=2.5) == [Spawn(4, 2, Cause.RELOAD)]


def test_next_replacement_waits_for_the_predecessor_to_leave() -> None:
    run = Run(Ready(1), Ready(2), Reload(), Ready(3), workers=2, respawn_interval=0.0)
    assert run.send(Tick(), after=10) == []
    assert run.send(Exited(1, 0)) == [Spawn(4, 2, Cause.RELOAD)]


def test_reload_while_starting_waits_for_the_first_workers() -> None:
    run = Run(Ready(1), workers=2, respawn_interval=0.0)
    assert run.send(Reload()) == [Reloading()]
    assert run.send(Ready(2)) == [Announce(), Spawn(3, 1, Cause.RELOAD)]


@pytest.mark.parametrize(("kill_timeout", "deadline"), [(None, 12 + 10), (4, 4)])
def test_a_worker_that_does_not_stop_is_killed(kill_timeout: float | None, deadline: float) -> None:
    run = Run(Ready(1), Terminate(), graceful_timeout=12, kill_timeout=kill_timeout)
    assert next_deadline(run.state) == run.now + deadline
    assert run.send(Tick(), after=deadline - 0.1) == []
    assert run.send(Tick(), after=0.2) == [Kill(1)]
    assert run.send(Tick(), after=100) == []
    assert run.state.phase is Phase.STOPPING
    run.send(Exited(1, -9))
    assert run.state.phase is Phase.STOPPED


def test_a_worker_that_reports_failure_and_stays_is_killed() -> None:
    run = Run(Failed(1, Failure("broken", 5)), **ONE)
    assert run.send(Tick(), after=KILL_MARGIN) == [Kill(1)]
    run.send(Exited(1, -9))
    assert run.state.exit_code == 5


def test_startup_has_its_own_deadline() -> None:
    run = Run(startup_timeout=10)
    assert run.send(Tick(), after=10) == [Kill(1)]
    run.send(Exited(1, -9))
    assert run.state.failure == Failure("worker-1 was not ready in time")


def test_startup_deadline_ends_when_ready() -> None:
    run = Run(Ready(1), startup_timeout=10)
    assert next_deadline(run.state) is None


def test_lifetime_ends_in_a_replacement() -> None:
    run = Run(Ready(1, lifetime=60.0), respawn_interval=0.0)
    assert next_deadline(run.state) == run.now + 60
    assert run.send(Tick(), after=60) == [Spawn(2, 1, Cause.LIFETIME)]
    assert run.send(Ready(2, lifetime=66.0)) == [Drain(1, final=False)]
    assert run.send(Exited(1, 0)) == []
    assert next_deadline(run.state) == run.now + 66


def test_lifetimes_that_end_together_still_take_turns() -> None:
    run = Run(Ready(1, 60.0), Ready(2, 60.0), workers=2, respawn_interval=5.0)
    assert run.send(Tick(), after=60) == [Spawn(3, 1, Cause.LIFETIME)]
    run.send(Ready(3, 60.0))
    assert run.send(Exited(1, 0)) == []
    assert run.send(Tick(), after=5) == [Spawn(4, 2, Cause.LIFETIME)]


@pytest.mark.parametrize("jitter", [None, 30, 600])
def test_lifetimes_with_jitter_do_not_end_together(jitter: int | None) -> None:
    """A day of four workers on a clock of paper: never two replacements at a time."""
    settings = ProcessSettings(workers=4, workers_lifetime=600, workers_lifetime_jitter=jitter)
    supervisor = Supervisor(Configuration(target="x:app", processes=settings))
    supervisor._random.seed(1)
    run = Run(workers=4, respawn_interval=3.5)
    waiting = [1, 2, 3, 4]
    retired_at: list[float] = []
    lifetimes: list[float] = []
    while run.now < 86_400:
        for worker in waiting:
            lifetime = supervisor._draw_lifetime()
            assert lifetime is not None
            lifetimes.append(lifetime)
            run.send(Ready(worker, lifetime))
        for worker in run.state.workers:
            if worker.phase is WorkerPhase.DRAINING:
                run.send(Exited(worker.id, 0))
        deadline = next_deadline(run.state)
        assert deadline is not None
        run.now = max(run.now, deadline)
        spawned = [action for action in run.send(Tick()) if isinstance(action, Spawn)]
        assert len(spawned) <= 1
        assert run.state.ready() == 4
        waiting = [action.worker for action in spawned]
        retired_at += [run.now for _ in spawned]
    most = 600 / 10 if jitter is None else jitter
    assert min(lifetimes) >= 600
    assert max(lifetimes) <= 600 + most
    assert len(set(lifetimes)) == len(lifetimes) > 300
    assert min(b - a for a, b in itertools.pairwise(retired_at)) >= 3.5


def test_numbers_of_requests_differ_between_workers() -> None:
    def draw(**settings: int) -> list[int | None]:
        processes = ProcessSettings(workers=4, **settings)
        supervisor = Supervisor(Configuration(target="x:app", processes=processes))
        return [supervisor._draw_max_requests() for _ in range(200)]

    numbers = [number or 0 for number in draw(workers_max_requests=1000)]
    assert 1000 <= min(numbers) <= max(numbers) <= 1100
    assert len(set(numbers)) > 50
    assert set(draw(workers_max_requests=1000, workers_max_requests_jitter=0)) == {1000}
    assert set(draw()) == {None}


def test_blocked_worker_jumps_the_queue() -> None:
    run = Run(Ready(1), Ready(2), Ready(3), workers=3, respawn_interval=100.0)
    run.send(Reload(), Ready(4), Exited(1, 0))
    assert run.send(Tick()) == []  # the pause
    assert run.send(Retire(3, Cause.WATCHDOG)) == [Spawn(5, 3, Cause.WATCHDOG)]


def test_crash_loop_is_retried_with_doubling_delay() -> None:
    run = Run(Ready(1), Ready(2), **RESPAWN)
    assert run.send(Exited(1, -9)) == [Spawn(3, 1, Cause.ERROR)]
    run.send(Ready(3))
    delays = []
    worker = 3
    for _ in range(7):
        assert run.send(Exited(worker, 1)) == []
        deadline = next_deadline(run.state)
        assert deadline is not None
        delays.append(deadline - run.now)
        worker += 1
        assert run.send(Tick(), after=deadline - run.now) == [Spawn(worker, 1, Cause.ERROR)]
        run.send(Ready(worker))
    assert delays == [1, 2, 4, 8, 16, 30, 30]


def test_a_crash_after_the_window_is_respawned_at_once() -> None:
    run = Run(Ready(1), Ready(2), **RESPAWN)
    run.send(Exited(1, -9))
    run.send(Ready(3))
    assert run.send(Exited(3, -9), after=machine.CRASH_WINDOW) == [Spawn(4, 1, Cause.ERROR)]


def test_nobody_ready_for_a_minute_stops_the_server() -> None:
    run = Run(Ready(1), respawn_failed=True)
    run.send(Exited(1, -9))  # worker 2 starts, and never gets ready
    assert next_deadline(run.state) == run.now + machine.UNREADY_LIMIT
    assert run.send(Tick(), after=machine.UNREADY_LIMIT) == [CloseListeners(), Drain(2, final=True)]
    assert run.state.exit_code == 1
    assert "Worker crash loop detected, exiting" in run.log


def test_tolerated_failures_wait_for_the_next_reload() -> None:
    run = Run(Failed(1, Failure("syntax", 3)), Exited(1, 3), tolerate_failures=True)
    assert run.state.phase is Phase.SERVING
    assert run.send(Tick(), after=1000) == []
    assert run.send(Reload()) == [Reloading(), Spawn(2, 1, Cause.RELOAD)]
    run.send(Ready(2))
    assert run.send(Exited(2, 1)) == []
    assert run.state.phase is Phase.SERVING
    assert run.send(Reload()) == [Reloading(), Spawn(3, 1, Cause.RELOAD)]


def test_a_freed_number_is_used_again_only_when_its_worker_is_gone() -> None:
    run = Run(Ready(1), Ready(2), RemoveWorker(), **TWO)
    assert run.send(AddWorker()) == [Spawn(3, 3, Cause.SCALE)]
    run.send(Exited(2, 0))
    assert run.send(AddWorker()) == [Spawn(4, 2, Cause.SCALE)]


def test_every_transition_is_one_info_line() -> None:
    run = Run(Ready(1), Reload(), Ready(2), Exited(1, 0), Terminate(), Exited(2, 0), **ONE)
    assert run.log == [
        "Started worker-1",
        "Respawning worker-1",
        "Started worker-1",
        "Stopping old worker-1",
        "Stopped old worker-1",
        "Shutting down granian",
        "Stopping worker-1",
        "Stopped worker-1",
    ]


# -- random sequences ----------------------------------------------------------------------

policies = st.builds(
    Policy,
    workers=st.integers(1, 4),
    respawn_failed=st.booleans(),
    respawn_interval=st.sampled_from([0.0, 3.5]),
    graceful_timeout=st.sampled_from([0.0, 25.0]),
    kill_timeout=st.sampled_from([None, 1.0, 60.0]),
    startup_timeout=st.sampled_from([None, 5.0]),
    tolerate_failures=st.booleans(),
)
workers = st.integers(1, 40)
failures = st.builds(Failure, st.just("broken"), st.sampled_from([1, 3, 4, 5]))
STOPS: dict[type[Event], st.SearchStrategy[Event]] = {
    Terminate: st.just(Terminate()),
    Interrupt: st.just(Interrupt()),
}
CALM: dict[type[Event], st.SearchStrategy[Event]] = {
    Ready: st.builds(Ready, workers, st.sampled_from([None, 60.0])),
    Failed: st.builds(Failed, workers, failures),
    Retire: st.builds(Retire, workers, st.sampled_from(sorted(machine._RETIREMENTS, key=str))),
    Reload: st.just(Reload()),
    AddWorker: st.just(AddWorker()),
    RemoveWorker: st.just(RemoveWorker()),
    Tick: st.just(Tick()),
}
ENDS: dict[type[Event], st.SearchStrategy[Event]] = {
    Exited: st.builds(Exited, workers, st.integers(-15, 5)),
}
stops = st.one_of(*STOPS.values())
calm_events = st.one_of(*CALM.values())
any_events = st.one_of(calm_events, *ENDS.values(), stops)
steps = st.floats(0, 40)


def test_random_sequences_know_every_event() -> None:
    assert {Start, *CALM, *ENDS, *STOPS} == set(typing.get_args(Event))


class World:
    """Carries out actions on processes that exist on paper, and checks the rules."""

    def __init__(self, policy: Policy) -> None:
        self.state = State(policy=policy)
        self.now = 0.0
        self.alive: dict[int, int] = {}
        self.told: set[int] = set()
        self.feed(Start())

    def feed(self, event: Event) -> None:
        if isinstance(event, (Ready, Failed, Exited, Retire)) and event.worker not in self.alive:
            return  # no such process: the shell would not say so
        if isinstance(event, Exited):
            del self.alive[event.worker]
        before = self.state
        self.state, actions = step(before, event, self.now)
        for action in actions:
            self.act(action)
        self.check(before, event)

    def act(self, action: Action) -> None:
        match action:
            case Spawn(worker, slot, _):
                assert self.state.phase is not Phase.STOPPED
                assert worker not in self.alive
                self.alive[worker] = slot
            case Drain(worker) | Kill(worker):
                assert worker in self.alive
                self.told.add(worker)

    def check(self, before: State, event: Event) -> None:
        state = self.state
        assert {worker.id for worker in state.workers} == set(self.alive)
        per_slot = Counter(self.alive.values())
        assert all(count <= 2 for count in per_slot.values()), per_slot
        for number in per_slot:
            phases = Counter(w.phase for w in state.workers if w.slot == number)
            assert phases[WorkerPhase.READY] <= 1
            assert phases[WorkerPhase.STARTING] <= 1
        deadline = next_deadline(state)
        assert deadline is None or deadline > self.now  # else the shell would spin
        if state.phase in (Phase.STARTING, Phase.SERVING):
            assert state.slots
            if before.ready() and not isinstance(event, Exited):
                assert state.ready(), "we ended the last ready worker"


@settings(max_examples=1000, deadline=None)
@given(policies, st.lists(st.tuples(any_events, steps), max_size=60), stops)
def test_random_sequences_keep_the_rules_and_always_stop(
    policy: Policy, events: list[tuple[Event, float]], stop: Event
) -> None:
    world = World(policy)
    for event, seconds in events:
        world.now += seconds
        world.feed(Tick())
        world.feed(event)
    world.feed(stop)
    # Workers that follow no order: patience, then SIGKILL, which nobody survives.
    for _ in range(len(world.alive) + 10):
        if world.state.phase is Phase.STOPPED:
            break
        deadline = next_deadline(world.state)
        if deadline is not None:
            world.now = deadline
            world.feed(Tick())
        for worker in world.state.workers:
            if worker.phase is WorkerPhase.KILLED:
                world.feed(Exited(worker.id, -9))
    assert world.state.phase is Phase.STOPPED
    assert not world.alive


@settings(max_examples=300, deadline=None)
@given(policies, st.lists(st.tuples(calm_events, steps), max_size=60))
def test_while_processes_live_somebody_is_always_ready(
    policy: Policy, events: list[tuple[Event, float]]
) -> None:
    """Reloads, retirements, failures to start: none of them ends the last ready worker."""
    world = World(policy)
    for slot in range(1, policy.workers + 1):
        world.feed(Ready(slot))
    for event, seconds in events:
        world.now += seconds
        world.feed(Tick())
        world.feed(event)
        for worker in world.state.workers:  # those who were told to leave, or failed, leave
            if worker.id in world.told or worker.phase is WorkerPhase.FAILED:
                world.feed(Exited(worker.id, 0))
        assert world.state.ready() >= 1
    assert world.state.phase is Phase.SERVING


def test_levels_are_those_of_logging() -> None:
    run = Run(Ready(1), **ONE)
    _, actions = step(run.state, Exited(1, -9), run.now)
    levels = [action.level for action in actions if isinstance(action, Log)]
    assert levels == [logging.ERROR, logging.INFO]

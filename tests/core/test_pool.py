"""The elastic thread pool: no job lost, no thread too many, none kept for nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import queue
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granian_core.pool import BlockingPool, _Worker

PATIENCE = 30.0
"""Seconds after which an event that has to come is taken for lost."""


class Held:
    """A job that says when it runs and ends when it is told to."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.release = threading.Event()
        self.thread: threading.Thread | None = None

    def __call__(self) -> None:
        self.thread = threading.current_thread()
        self.running.set()
        assert self.release.wait(PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a state that another thread is about to reach."""
    tick = threading.Event()
    for _ in range(int(PATIENCE / 0.001)):
        if condition():
            return
        tick.wait(0.001)
    raise AssertionError("the state was never reached")


def run_job(pool: BlockingPool) -> threading.Thread:
    """Run one job to its end and return its thread, idle again."""
    threads: list[threading.Thread] = []
    pool.submit(lambda: threads.append(threading.current_thread()))
    until(lambda: bool(threads) and pool.idle == pool.threads)
    return threads[0]


def test_job_runs_with_its_arguments_on_a_daemon_thread() -> None:
    pool = BlockingPool(1, name="pool-test")
    seen: list[object] = []
    done = threading.Event()

    def job(*args: object) -> None:
        seen.extend([args, threading.current_thread().daemon, threading.current_thread().name])
        done.set()

    pool.submit(job, 1, "two")

    assert done.wait(PATIENCE)
    assert seen == [(1, "two"), True, "pool-test-1"]
    assert pool.shutdown(timeout=PATIENCE)


def test_no_thread_before_the_first_job() -> None:
    pool = BlockingPool(4)

    assert (pool.threads, pool.idle, pool.queued) == (0, 0, 0)


def test_idle_thread_is_reused() -> None:
    pool = BlockingPool(4)

    threads = {run_job(pool) for _ in range(20)}

    assert len(threads) == 1
    assert pool.threads == 1
    assert pool.shutdown(timeout=PATIENCE)


def test_threads_start_on_demand_up_to_the_ceiling_and_the_rest_waits() -> None:
    pool = BlockingPool(2)
    jobs = [Held() for _ in range(4)]
    for job in jobs:
        pool.submit(job)

    assert jobs[0].running.wait(PATIENCE)
    assert jobs[1].running.wait(PATIENCE)
    assert (pool.threads, pool.idle, pool.queued) == (2, 0, 2)
    jobs[1].release.set()
    assert jobs[2].running.wait(PATIENCE)
    assert jobs[2].thread is jobs[1].thread
    assert pool.queued == 1
    for job in jobs:
        job.release.set()
    assert jobs[3].running.wait(PATIENCE)
    until(lambda: pool.idle == 2)
    assert pool.threads == 2
    assert pool.shutdown(timeout=PATIENCE)


def test_queued_jobs_run_in_order() -> None:
    pool = BlockingPool(1)
    held = Held()
    pool.submit(held)
    seen: list[int] = []
    for number in range(50):
        pool.submit(seen.append, number)
    done = threading.Event()
    pool.submit(done.set)

    held.release.set()

    assert done.wait(PATIENCE)
    assert seen == list(range(50))
    assert pool.shutdown(timeout=PATIENCE)


class Turn:
    """A loop whose turn ends when a test says so."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], object]] = []

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        self.soon.append(partial(callback, *args))

    def end(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return cast("asyncio.AbstractEventLoop", self)


def test_jobs_of_a_turn_are_handed_over_together_at_its_end() -> None:
    pool = BlockingPool(1)
    thread = run_job(pool)
    turn, seen, done = Turn(), list[object](), threading.Event()
    for number in range(50):
        pool.submit_soon(turn.loop, seen.append, number)
    pool.submit_soon(turn.loop, lambda: seen.append(threading.current_thread()))
    pool.submit_soon(turn.loop, done.set)

    assert len(turn.soon) == 1
    assert (seen, pool.idle, pool.queued) == ([], 1, 0)
    turn.end()

    assert done.wait(PATIENCE)
    assert seen == [*range(50), thread]
    assert pool.shutdown(timeout=PATIENCE)


def test_jobs_of_a_turn_get_as_many_threads_as_there_may_be() -> None:
    pool = BlockingPool(3)
    run_job(pool)
    turn, jobs = Turn(), [Held() for _ in range(5)]
    for job in jobs:
        pool.submit_soon(turn.loop, job)
    turn.end()

    for job in jobs[:3]:
        assert job.running.wait(PATIENCE)
    assert (pool.threads, pool.idle, pool.queued) == (3, 0, 2)
    assert not jobs[3].running.is_set()
    for job in jobs:
        job.release.set()
    assert pool.shutdown(timeout=PATIENCE)
    assert all(job.running.is_set() for job in jobs)


def test_each_loop_has_turns_of_its_own() -> None:
    pool = BlockingPool(1)
    run_job(pool)
    one, other = Turn(), Turn()
    first, second = threading.Event(), threading.Event()
    pool.submit_soon(one.loop, first.set)
    pool.submit_soon(other.loop, second.set)

    other.end()
    assert second.wait(PATIENCE)
    assert not first.is_set()
    one.end()
    assert first.wait(PATIENCE)
    assert pool.shutdown(timeout=PATIENCE)


def test_first_job_of_all_does_not_wait_for_the_end_of_the_turn() -> None:
    """Whether a thread can be had is known while the caller can still be told."""
    pool, turn, ran = BlockingPool(1), Turn(), threading.Event()

    pool.submit_soon(turn.loop, ran.set)

    assert ran.wait(PATIENCE)
    assert turn.soon == []
    assert pool.shutdown(timeout=PATIENCE)


@pytest.mark.parametrize("max_threads", [1, 4])
def test_jobs_of_a_turn_run_although_the_pool_is_shut_down_before_its_end(
    max_threads: int,
) -> None:
    pool, turn, seen = BlockingPool(max_threads), Turn(), list[int]()
    run_job(pool)
    for number in range(3):
        pool.submit_soon(turn.loop, seen.append, number)
    assert pool.shutdown(timeout=PATIENCE)

    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit_soon(turn.loop, seen.append, 3)
    turn.end()

    until(lambda: sorted(seen) == [0, 1, 2] and pool.threads == 0)


def test_last_idle_thread_is_taken_first() -> None:
    """Threads of a burst stay at the bottom, so that their idle time can run out."""
    pool = BlockingPool(3)
    jobs = [Held() for _ in range(3)]
    for job in jobs:
        pool.submit(job)
        assert job.running.wait(PATIENCE)
    for idle, job in enumerate(jobs, 1):
        job.release.set()
        until(lambda idle=idle: pool.idle == idle)  # type: ignore[misc]

    assert {run_job(pool) for _ in range(10)} == {jobs[-1].thread}
    assert pool.shutdown(timeout=PATIENCE)


def test_extra_threads_leave_and_the_first_stays() -> None:
    pool = BlockingPool(5, idle_timeout=0.001)
    jobs = [Held() for _ in range(5)]
    for job in jobs:
        pool.submit(job)
    for job in jobs:
        assert job.running.wait(PATIENCE)
    for job in jobs:
        job.release.set()

    until(lambda: pool.threads == pool.idle == 1)

    assert run_job(pool) is jobs[0].thread
    assert pool.shutdown(timeout=PATIENCE)


def test_thread_whose_job_is_on_its_way_does_not_leave() -> None:
    """The race of a timeout with a submit, step by step."""
    pool = BlockingPool(2)
    worker = _Worker((print, ()), 1, permanent=False)
    pool._workers.add(worker)
    pool._idle.append(worker)

    assert pool._idle.pop() is worker  # submit has decided for this thread ...
    assert not pool._retire(worker)  # ... whose timeout fires before the job is there
    assert pool.threads == 1
    worker.hand_over((print, ("late",)))
    worker.permanent = True
    assert pool._wait(worker) == (print, ("late",))


def test_thread_that_waited_in_vain_is_off_the_books() -> None:
    pool = BlockingPool(2)
    worker = _Worker((print, ()), 1, permanent=False)
    pool._workers.add(worker)
    pool._idle.append(worker)

    assert pool._retire(worker)

    assert (pool.threads, pool.idle) == (0, 0)


@settings(max_examples=15, deadline=None)
@given(
    max_threads=st.integers(1, 6),
    idle_timeout=st.sampled_from([0.0, 1e-6, 1e-4, 1e-3]),
    submitters=st.integers(1, 3),
    pauses=st.lists(st.sampled_from([0.0, 1e-6, 1e-4, 2e-3]), min_size=1, max_size=8),
)
def test_no_job_is_lost_while_threads_come_and_go(
    max_threads: int, idle_timeout: float, submitters: int, pauses: list[float]
) -> None:
    pool = BlockingPool(max_threads, idle_timeout=idle_timeout)
    done = threading.Semaphore(0)
    running, most = 0, 0
    lock = threading.Lock()

    def job() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        done.release()

    def submit_all() -> None:
        tick = threading.Event()
        for number in range(120):
            pool.submit(job)
            tick.wait(pauses[number % len(pauses)])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=submit_all) for _ in range(submitters)]
        for thread in threads:
            thread.start()
        for _ in range(120 * submitters):
            assert done.acquire(timeout=PATIENCE)
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert most <= max_threads
    assert 1 <= pool.threads <= max_threads
    assert pool.shutdown(timeout=PATIENCE)
    assert (pool.threads, pool.idle, pool.queued) == (0, 0, 0)


@pytest.mark.parametrize("error", [ValueError("broken job"), SystemExit(3), KeyboardInterrupt()])
def test_exception_of_a_job_is_logged_and_the_thread_stays(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    pool = BlockingPool(1)

    def job() -> None:
        raise error

    with caplog.at_level(logging.ERROR, logger="_granian.pool"):
        pool.submit(job)
        run_job(pool)

    (record,) = caplog.records
    assert (record.name, record.levelname) == ("_granian.pool", "ERROR")
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert pool.threads == 1
    assert pool.shutdown(timeout=PATIENCE)


def test_idle_thread_keeps_no_object_of_its_last_job() -> None:
    class Request:
        def run(self) -> None:
            pass

    pool = BlockingPool(1)
    request = Request()
    gone = weakref.ref(request)
    pool.submit(request.run)
    del request

    until(lambda: pool.idle == 1)
    gc.collect()

    assert gone() is None
    assert pool.shutdown(timeout=PATIENCE)


def test_shutdown_runs_what_is_queued_and_takes_no_more() -> None:
    pool = BlockingPool(1)
    held = Held()
    ran = threading.Event()
    pool.submit(held)
    pool.submit(ran.set)

    assert not pool.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="the blocking pool is shut down"):
        pool.submit(print)
    held.release.set()

    assert pool.shutdown(timeout=PATIENCE)
    assert ran.is_set()


def test_shutdown_wait_is_bounded() -> None:
    pool = BlockingPool(1)
    held = Held()
    pool.submit(held)

    assert not pool.shutdown(wait=True, timeout=0.01)

    held.release.set()
    assert pool.shutdown(timeout=PATIENCE)


def test_shutdown_sends_idle_threads_home() -> None:
    pool = BlockingPool(2)
    run_job(pool)

    assert pool.shutdown(timeout=PATIENCE)
    assert pool.threads == 0


def test_shutdown_of_an_unused_pool_ends_at_once() -> None:
    assert BlockingPool(1).shutdown(wait=True, timeout=0.0)


def refuse_start(self: threading.Thread) -> None:
    """Stand in for `Thread.start` on a machine that is out of threads."""
    raise RuntimeError("can't start new thread")


def test_submit_without_any_thread_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = BlockingPool(2)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse_start)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            pool.submit(print)

    assert pool.threads == 0
    run_job(pool)
    assert pool.shutdown(timeout=PATIENCE)


def test_jobs_of_a_turn_wait_for_the_next_job_when_no_thread_can_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread that was counted when they were submitted never came to be."""
    pool, turn, seen = BlockingPool(2), Turn(), list[int]()
    counted = _Worker((print, ()), 1, permanent=True)
    pool._workers.add(counted)
    for number in range(3):
        pool.submit_soon(turn.loop, seen.append, number)
    pool._workers.discard(counted)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse_start)
        turn.end()

    assert (pool.threads, pool.queued, seen) == (0, 3, [])
    assert "can't start new thread" in caplog.text
    run_job(pool)
    until(lambda: sorted(seen) == [0, 1, 2])
    assert pool.shutdown(timeout=PATIENCE)


def test_job_waits_for_a_thread_when_no_other_can_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = BlockingPool(2)
    held = Held()
    ran = threading.Event()
    pool.submit(held)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse_start)
        pool.submit(ran.set)

    assert (pool.threads, pool.queued) == (1, 1)
    assert "Cannot start another blocking thread (1 are running)" in caplog.text
    held.release.set()
    assert ran.wait(PATIENCE)
    assert pool.shutdown(timeout=PATIENCE)


def test_failed_start_hands_the_job_to_a_thread_that_became_idle_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = BlockingPool(2)
    held = Held()
    ran = threading.Event()
    pool.submit(held)

    def refuse_late(self: threading.Thread) -> None:
        held.release.set()
        until(lambda: pool.idle == 1)
        refuse_start(self)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse_late)
        pool.submit(ran.set)

    assert ran.wait(PATIENCE)
    assert pool.shutdown(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 1.0), "max_threads must be at least 1"), ((1, -1.0), "idle_timeout is out of range")],
)
def test_bad_arguments_are_refused(arguments: tuple[int, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BlockingPool(*arguments)


@pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="needs Linux's /proc")
def test_a_thread_shows_its_name_to_the_system() -> None:
    pool = BlockingPool(1, name="granian-pool")
    seen: queue.SimpleQueue[str] = queue.SimpleQueue()
    pool.submit(
        lambda: seen.put(Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text())
    )

    assert seen.get(timeout=30) == "granian-pool-1\n"
    assert pool.shutdown(timeout=30)

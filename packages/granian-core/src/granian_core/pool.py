"""The elastic thread pool on which blocking applications run.

Rules:

- A job goes to the thread that became idle *last*. So the threads that a burst
  started stay idle at the bottom of the stack and leave, whatever the load on top;
  a shared queue wakes its waiters in turn and would keep all of them alive.
- All bookkeeping happens under one plain lock, held for a few instructions. A
  thread belongs to exactly one of three: the idle stack, a job, or the door.
- A thread whose wait timed out leaves only if it still finds itself on the idle
  stack, under that lock. If it does not, `BlockingPool.submit` has taken it off and
  its job is on the way: it waits for it, however long that takes. No job is lost.
- A thread that ends a job takes a queued one before it becomes idle, so the queue
  is empty whenever a thread is idle.
- What one turn of an event loop submits is handed over together, at its end
  (`BlockingPool.submit_soon`). A thread that is woken in the middle of the turn takes
  the interpreter's lock whenever the loop lets go of it, and gives it back with its next
  system call: two switches of threads for each job instead of two for all of them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("_granian.pool")

Job: TypeAlias = tuple[Callable[..., object], tuple[object, ...]]


def name_thread(name: str) -> None:
    """Show *name* for the calling thread in ``ps -T`` and ``top -H`` (Linux; 15 bytes).

    CPython does so by itself from 3.14 on.
    """
    path = f"/proc/self/task/{threading.get_native_id()}/comm"
    # Elsewhere, or in a container without /proc, a name is only a convenience.
    with contextlib.suppress(OSError), open(path, "wb") as comm:
        comm.write(name.encode()[:15])


class _Worker:
    """One thread, and the slot in which it finds its next job."""

    __slots__ = ("job", "number", "permanent", "wake")

    def __init__(self, job: Job, number: int, *, permanent: bool) -> None:
        self.job: Job | None = job
        self.number = number
        self.permanent = permanent
        self.wake = threading.Lock()
        self.wake.acquire()

    def hand_over(self, job: Job | None) -> None:
        """Give the waiting thread its next job, or None to send it home."""
        self.job = job
        self.wake.release()


class Pace:
    """How the jobs of a pool go, for a thread that could leave work to its loop.

    Attributes:
        backlog: The jobs that wait for a thread; to be looked at only.
        calm_at: When no long job will have been seen for a while, in monotonic seconds.
    """

    __slots__ = ("backlog", "calm_at")

    def __init__(self, backlog: deque[Job]) -> None:
        self.backlog = backlog
        self.calm_at = 0.0


class BlockingPool:
    """Threads for blocking calls: started on demand, reused, and let go when idle.

    Thread-safe. The threads are daemonic: they never keep the process alive.

    Args:
        max_threads: Most threads at a time, at least 1; further jobs are queued.
        idle_timeout: Seconds after which an idle thread leaves. The first never does.
        name: Prefix of the threads' names.
    """

    def __init__(
        self, max_threads: int, idle_timeout: float = 30.0, name: str = "granian-pool"
    ) -> None:
        if max_threads < 1:
            raise ValueError(f"max_threads must be at least 1, not {max_threads}")
        if not 0 <= idle_timeout <= threading.TIMEOUT_MAX:
            raise ValueError(f"idle_timeout is out of range: {idle_timeout}")
        self.max_threads = max_threads
        self.idle_timeout = idle_timeout
        self._name = name
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._queue: deque[Job] = deque()
        self.pace = Pace(self._queue)  # for `granian_core.blocking`
        self._batches: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        self._workers: set[_Worker] = set()
        self._started = 0
        self._closed = False
        self._ended = threading.Event()

    @property
    def threads(self) -> int:
        """How many threads there are now."""
        return len(self._workers)

    @property
    def idle(self) -> int:
        """How many of them wait for a job."""
        return len(self._idle)

    @property
    def queued(self) -> int:
        """How many jobs wait for a thread."""
        return len(self._queue)

    def submit(self, fn: Callable[..., object], *args: object) -> None:
        """Run ``fn(*args)`` on a thread of the pool, as soon as there is one.

        Never blocks. What escapes from *fn* is logged and ends there.

        Raises:
            RuntimeError: The pool is shut down, or has no thread and can start none.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("the blocking pool is shut down")
            idle, fresh = self._place([(fn, args)])
        for worker, job in idle:
            worker.hand_over(job)
        for worker in fresh:
            self._start(worker)

    def submit_soon(
        self, loop: asyncio.AbstractEventLoop, fn: Callable[..., object], *args: object
    ) -> None:
        """Like `submit`, together with whatever else this turn of the loop submits.

        Call it on *loop*. A job that was accepted runs, even if the pool is shut down
        before the turn has ended, unless the loop is closed before that.

        Raises:
            RuntimeError: See `submit`.
        """
        if self._closed or not self._workers:
            self.submit(fn, *args)  # finds out at once whether a thread can be had
            return
        batch = self._batches.get(loop)
        if batch is None:
            self._batches[loop] = [(fn, args)]
            loop.call_soon(self._submit_batch, loop)
        else:
            batch.append((fn, args))

    def _submit_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._batches.pop(loop)
        with self._lock:
            idle, fresh = self._place(batch)
        for worker, job in idle:
            worker.hand_over(job)
        for worker in fresh:
            self._start_or_keep(worker)

    def shutdown(self, wait: bool = True, timeout: float = 0.0) -> bool:
        """Take no more jobs, let idle threads go, and finish what is queued.

        Blocks the calling thread: do not call it where the jobs still need that thread
        (on their loop, or in a job itself).

        Args:
            wait: Whether to wait for the threads to end.
            timeout: Most seconds to wait for all of them together. Threads that take
                longer are left behind; they end after their job, or with the process.

        Returns:
            Whether all threads have ended.
        """
        with self._lock:
            self._closed = True
            idle = self._idle[:]
            self._idle.clear()
            if not self._workers:
                self._ended.set()
        for worker in idle:
            worker.hand_over(None)
        return self._ended.wait(timeout if wait else 0.0)

    # -- threads ---------------------------------------------------------------

    def _place(self, jobs: list[Job]) -> tuple[list[tuple[_Worker, Job]], list[_Worker]]:
        """Assign *jobs* to idle threads, to new ones, and to the queue; under the lock.

        Returns:
            The idle threads with what each is to get, and the new ones to start.
        """
        idle: list[tuple[_Worker, Job]] = []
        fresh: list[_Worker] = []
        for job in jobs:
            if self._idle:
                idle.append((self._idle.pop(), job))
            elif len(self._workers) < self.max_threads or (self._closed and not fresh):
                # Counted before it runs, so that submits in between see the true number.
                # Once the pool is shut down, the threads there are may be at the door.
                self._started += 1
                worker = _Worker(job, self._started, permanent=not self._workers)
                self._workers.add(worker)
                fresh.append(worker)
            else:
                self._queue.append(job)
        return idle, fresh

    def _start_or_keep(self, worker: _Worker) -> None:
        """Start a thread; if there is none at all, its job waits for the thread of the next one."""
        job = worker.job
        assert job is not None  # nobody has run to take it
        try:
            self._start(worker)
        except RuntimeError as exc:  # whoever submitted it is past being told
            with self._lock:
                self._queue.appendleft(job)
            logger.error("Cannot start a blocking thread (none is running): %s", exc)

    def _start(self, worker: _Worker) -> None:
        thread = threading.Thread(
            target=self._work, args=(worker,), name=f"{self._name}-{worker.number}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as exc:
            self._start_failed(worker, exc)

    def _start_failed(self, failed: _Worker, exc: RuntimeError) -> None:
        """Leave the job to the threads there are; without any, let the caller know."""
        job = failed.job
        assert job is not None  # nobody has run to take it
        with self._lock:
            self._leave(failed)
            if not self._workers:
                raise exc
            idle = self._idle.pop() if self._idle else None
            if idle is None:
                self._queue.append(job)
            threads = len(self._workers)
        if idle is not None:
            idle.hand_over(job)
        logger.warning("Cannot start another blocking thread (%d are running): %s", threads, exc)

    def _work(self, worker: _Worker) -> None:
        name_thread(threading.current_thread().name)
        lock, idle, queue = self._lock, self._idle, self._queue
        job = worker.job
        while job is not None:
            worker.job = None
            fn, args = job
            try:
                fn(*args)
            except BaseException:  # SystemExit too: a job can not take the thread away
                logger.exception("A job of the blocking pool raised an exception")
            # An idle thread must not keep the last request's objects alive.
            job = fn = args = None  # type: ignore[assignment]
            with lock:
                if queue:
                    job = queue.popleft()
                    continue
                if self._closed:
                    self._leave(worker)
                    return
                idle.append(worker)
            job = self._wait(worker)

    def _wait(self, worker: _Worker) -> Job | None:
        """Wait on the idle stack for the next job; None means to leave."""
        timeout = -1.0 if worker.permanent else self.idle_timeout
        if not worker.wake.acquire(timeout=timeout):
            if self._retire(worker):
                return None
            worker.wake.acquire()
        job = worker.job
        if job is None:
            with self._lock:
                self._leave(worker)
        return job

    def _retire(self, worker: _Worker) -> bool:
        """Take a thread that waited in vain off the books, unless a job is on its way."""
        with self._lock:
            if worker not in self._idle:
                return False
            self._idle.remove(worker)
            self._leave(worker)
            return True

    def _leave(self, worker: _Worker) -> None:
        """Forget a thread; the caller holds the lock."""
        self._workers.discard(worker)
        if self._closed and not self._workers:
            self._ended.set()

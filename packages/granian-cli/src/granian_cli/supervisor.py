"""The supervisor: the thin shell around `granian_cli.machine`.

Runs on one thread, without an event loop. It waits for signals, for what workers say and for
their ends, turns these into events, and carries out the machine's actions. It decides
nothing about workers itself; what it measures (age, memory, heartbeats) it reports.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import random
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, TypeVar

from granian_cli import machine, states
from granian_cli.control import Assignment, FailedMessage, ReadyMessage, RetireMessage
from granian_cli.environ import EnvFiles
from granian_cli.errors import WorkerError
from granian_cli.gate import UnixGate
from granian_cli.memory import MemoryMonitor
from granian_cli.pidfile import PidFile
from granian_cli.preflight import check, read_log_config
from granian_cli.process import WorkerProcess, blocked_signals, start_method
from granian_cli.rlimits import raise_open_files
from granian_cli.signals import Interrupted, SignalPipe, interruptible
from granian_cli.threads import WorkerThread, share_application, workers_are_threads
from granian_cli.titles import process_title, set_process_title
from granian_cli.watch import Watcher
from granian_core.errors import ConfigurationError, FatalError
from granian_core.log import configure_logging
from granian_core.sockets import bind_tcp, bind_unix, local_address

if TYPE_CHECKING:
    from granian_cli.config import Configuration
    from granian_cli.control import WorkerSpec
    from granian_cli.handle import WorkerHandle
    from granian_core.stream import Address

logger = logging.getLogger("_granian.supervisor")

Hook = Callable[[], object]
H = TypeVar("H", bound=Hook)

CHECKS_PER_TIMEOUT = 4
"""Looks at the heartbeats within one watchdog timeout."""


class Supervisor:
    """Runs the server until it is stopped.

    Args:
        configuration: What to serve, and how.
        loader: Makes the application in each worker, instead of importing the target. It
            must be picklable where workers are spawned.
        log_config: For `logging.config.dictConfig`, instead of ``--log-config``.
        reload_filter: A watchfiles filter class, instead of its default.
        method: How workers start, ``fork``, ``spawn`` or ``thread``; by default threads on
            free-threaded Python, else fork where that is multiprocessing's default.
        entry: Runs a worker process, instead of `granian_cli.worker.run_worker`; picklable
            where workers are spawned.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        loader: Callable[[], object] | None = None,
        log_config: Mapping[str, Any] | None = None,
        reload_filter: type[Any] | None = None,
        method: str | None = None,
        entry: Callable[[WorkerSpec], None] | None = None,
    ) -> None:
        self.configuration = configuration
        self.hooks_startup: list[Hook] = []
        self.hooks_reload: list[Hook] = []
        self.hooks_shutdown: list[Hook] = []
        self._loader = loader
        self._entry = entry
        self._log_config = log_config
        self._reload_filter = reload_filter
        self._threads = method == "thread" or (method is None and workers_are_threads())
        processes_start = start_method() if method is None or self._threads else method
        self._context = multiprocessing.get_context(processes_start)
        self._sockets: list[socket.socket] = []
        self._unix_gate: UnixGate | None = None
        self._env_files: EnvFiles | None = None
        self._title: str | None = None
        self._workers: dict[int, WorkerHandle] = {}
        self._watcher: Watcher | None = None
        self._events: deque[states.Event] = deque()
        self._state = states.State(policy=_policy(configuration))
        self._random = random.Random()  # noqa: S311 - jitter is no secret
        self._memory: MemoryMonitor | None = None
        self._next_sample: float | None = None
        self._next_check: float | None = None
        self._dumped: set[int] = set()
        self._loop_name = configuration.runtime.loop

    # -- public -----------------------------------------------------------------------

    def on_startup(self, hook: H) -> H:
        """Call *hook* before the first worker is started; usable as a decorator."""
        self.hooks_startup.append(hook)
        return hook

    def on_reload(self, hook: H) -> H:
        """Call *hook* at the beginning of each reload; usable as a decorator."""
        self.hooks_reload.append(hook)
        return hook

    def on_shutdown(self, hook: H) -> H:
        """Call *hook* after the last worker has ended; usable as a decorator."""
        self.hooks_shutdown.append(hook)
        return hook

    def worker_pids(self) -> list[int]:
        """Return the pids of the workers that exist."""
        return [process.pid for process in self._workers.values()]

    def worker_processes(self) -> list[WorkerHandle]:
        """Return the workers that exist."""
        return list(self._workers.values())

    @property
    def addresses(self) -> list[Address]:
        """The bound addresses, ports resolved; empty before and after serving."""
        return [local_address(sock) for sock in self._sockets]

    def run(self) -> int:
        """Serve until a signal, or a failure, ends it. Call it on the main thread.

        Returns:
            The exit code: 0 after a signal, 1 when a worker was lost.

        Raises:
            FatalError: The server could not start; the error carries its exit code.
        """
        self._configure_logging()
        self._check()
        self._env_files = EnvFiles(self.configuration.application.env_files)
        with contextlib.ExitStack() as cleanup:
            logger.info("Starting granian (main PID: %d)", os.getpid())
            self._hold_pid_file(cleanup)
            signals = cleanup.enter_context(SignalPipe())
            self._start_watcher(cleanup)
            self._bind(cleanup)
            self._env_files.load()
            _run_hooks(self.hooks_startup)
            cleanup.callback(_run_hooks, self.hooks_shutdown)
            cleanup.callback(self._kill_leftovers)
            if self._threads:
                try:
                    with interruptible():
                        self._loader = share_application(self.configuration, self._loader)
                except Interrupted:
                    return 0
            self._serve(signals)
        failure = self._state.failure
        if failure is not None:
            raise WorkerError(failure.reason, failure.exit_code, failure.traceback)
        logger.info("Granian shutdown completed, see ya!")
        return self._state.exit_code

    # -- before serving -----------------------------------------------------------------

    def _configure_logging(self) -> None:
        log = self.configuration.log
        if self._log_config is None and log.log_config is not None:
            self._log_config = read_log_config(log.log_config)
        try:
            configure_logging(log.log_level, self._log_config, log.log_enabled)
        except ConfigurationError as exc:
            if exc.option == "--log-config":
                exc.value = log.log_config  # core has not seen the file
            raise

    def _check(self) -> None:
        check(self.configuration, threads=self._threads, spawns=self._entry is not None)
        processes = self.configuration.processes
        replaces = not self._threads and not self.configuration.reload.reload
        if replaces and processes.workers_max_rss is not None:
            self._memory = MemoryMonitor(processes.workers_max_rss, processes.rss_samples)
        if self._threads:
            raise_open_files()

    def _hold_pid_file(self, cleanup: contextlib.ExitStack) -> None:
        path = self.configuration.processes.pid_file
        if path is not None:
            pid_file = PidFile(path.absolute())
            pid_file.create()
            cleanup.callback(pid_file.remove)

    def _start_watcher(self, cleanup: contextlib.ExitStack) -> None:
        # Before the sockets are bound: the watcher must not hold copies of them.
        if self.configuration.reload.reload:
            self._watcher = Watcher(self.configuration.reload, self._reload_filter)
            with blocked_signals():
                self._watcher.start(self._context)
            cleanup.callback(self._watcher.stop)

    def _bind(self, cleanup: contextlib.ExitStack) -> None:
        network = self.configuration.network
        if network.uds is not None:
            self._sockets = [bind_unix(network.uds, network.uds_permissions)]
            self._unix_gate = UnixGate(network.uds)
            cleanup.callback(self._unix_gate.shut)
        else:
            self._sockets = bind_tcp(network.host, network.port)
        cleanup.callback(self._close_sockets)
        addresses = [self.configuration.url(address) for address in self.addresses]
        for address in addresses:
            logger.info("Listening at: %s", address)
        self._title = process_title(self.configuration, ",".join(addresses))
        set_process_title(self._title)

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    # -- serving ------------------------------------------------------------------------

    def _serve(self, signals: SignalPipe) -> None:
        now = time.monotonic()
        processes = self.configuration.processes
        if self._memory is not None:
            self._next_sample = now + processes.rss_sample_interval
        if processes.workers_watchdog_timeout is not None:
            self._next_check = now + processes.workers_watchdog_timeout / CHECKS_PER_TIMEOUT
        self._addresses = ", ".join(map(self.configuration.url, self.addresses))
        self._apply(states.Start())
        while self._state.phase is not states.Phase.STOPPED:
            self._wait(signals)
            # Signals first: a worker that follows a group's SIGTERM is no lost worker.
            for signum in signals.read():
                self._on_signal(signum)
            for worker_id in list(self._workers):
                self._receive(worker_id)
            for worker_id in list(self._workers):
                self._reap(worker_id)
            self._read_watcher()
            self._measure()
            self._apply(states.Tick())

    def _wait(self, signals: SignalPipe) -> None:
        sources: list[Any] = [signals]
        for process in self._workers.values():
            sources.append(process.sentinel)
            if process.connection is not None:
                sources.append(process.connection)
        if self._watcher is not None and self._watcher.connection is not None:
            sources.append(self._watcher.connection)
        wait(sources, self._patience())

    def _patience(self) -> float | None:
        """Return the seconds until something is due, or None if nothing ever is."""
        due = [machine.next_deadline(self._state), self._next_sample, self._next_check]
        first = min((time_ for time_ in due if time_ is not None), default=None)
        return None if first is None else max(0.0, first - time.monotonic())

    def _on_signal(self, signum: int) -> None:
        name = signal.Signals(signum).name
        event = _SIGNAL_EVENTS.get(name)
        if name == "SIGHUP":
            logger.info("HUP signal received, reloading workers..")
        if name == "SIGUSR1":
            for process in self._workers.values():
                process.dump()
        if event is not None:
            self._apply(event)

    def _receive(self, worker_id: int) -> None:
        for message in self._workers[worker_id].messages():
            if isinstance(message, ReadyMessage):
                self._loop_name = message.loop
                self._apply(states.Ready(worker_id, self._draw_lifetime()))
            elif isinstance(message, FailedMessage):
                failure = states.Failure(message.reason, message.exit_code, message.traceback)
                self._apply(states.Failed(worker_id, failure))
            elif isinstance(message, RetireMessage):
                self._apply(states.Retire(worker_id, states.Cause.REQUESTS))

    def _reap(self, worker_id: int) -> None:
        process = self._workers[worker_id]
        status = process.exitcode
        if status is None:
            return
        self._receive(worker_id)  # its last words
        process.close()
        del self._workers[worker_id]
        self._dumped.discard(worker_id)
        self._apply(states.Exited(worker_id, status))

    def _read_watcher(self) -> None:
        watcher = self._watcher
        if watcher is None or watcher.connection is None or not watcher.connection.poll():
            return
        changes = watcher.read()
        if changes is None:
            logger.error("The file watcher has ended; changes are not noticed any more")
            return
        logger.info("Changes detected, reloading workers..")
        for what, path in changes:
            logger.info("%s: %s", what, path)
        self._apply(states.Reload())

    # -- measuring ----------------------------------------------------------------------

    def _measure(self) -> None:
        now = time.monotonic()
        processes = self.configuration.processes
        if self._memory is not None and self._next_sample is not None and now >= self._next_sample:
            self._next_sample = now + processes.rss_sample_interval
            pids = {worker: self._workers[worker].pid for worker in self._serving()}
            for worker in self._memory.sample(pids):
                self._apply(states.Retire(worker, states.Cause.MEMORY))
        timeout = processes.workers_watchdog_timeout
        if timeout is not None and self._next_check is not None and now >= self._next_check:
            self._next_check = now + timeout / CHECKS_PER_TIMEOUT
            for worker in self._serving():
                if now - self._workers[worker].last_beat > timeout:
                    self._bite(worker)

    def _bite(self, worker: int) -> None:
        """A worker's loop is blocked: have its stacks written, and the worker replaced."""
        if worker not in self._dumped:
            self._dumped.add(worker)
            self._workers[worker].dump_stacks()
        self._apply(states.Retire(worker, states.Cause.WATCHDOG))

    def _serving(self) -> list[int]:
        ready = states.WorkerPhase.READY
        return [
            worker.id
            for worker in self._state.workers
            if worker.phase is ready and worker.id in self._workers
        ]

    def _draw_lifetime(self) -> float | None:
        processes = self.configuration.processes
        if processes.workers_lifetime is None or self.configuration.reload.reload:
            return None
        jitter = processes.workers_lifetime_jitter
        most = processes.workers_lifetime / 10 if jitter is None else jitter
        return processes.workers_lifetime + self._random.uniform(0, most)

    def _draw_max_requests(self) -> int | None:
        processes = self.configuration.processes
        if processes.workers_max_requests is None:
            return None
        jitter = processes.workers_max_requests_jitter
        most = processes.workers_max_requests // 10 if jitter is None else jitter
        return processes.workers_max_requests + self._random.randint(0, most)

    # -- acting -------------------------------------------------------------------------

    def _apply(self, event: states.Event) -> None:
        """Advance the machine, and carry out what it wants."""
        self._events.append(event)
        if len(self._events) > 1:
            return  # an action made this event: the loop below gets to it
        while self._events:
            self._state, actions = machine.step(self._state, self._events[0], time.monotonic())
            for action in actions:
                self._act(action)
            self._events.popleft()

    def _act(self, action: states.Action) -> None:
        match action:
            case states.Spawn(worker, slot, _):
                self._spawn(worker, slot)
            case states.Drain(worker, final):
                if worker in self._workers:
                    self._workers[worker].stop(final=final)
            case states.Kill(worker):
                if worker in self._workers:
                    self._workers[worker].kill()
            case states.CloseListeners():
                if self._unix_gate is not None:
                    self._unix_gate.shut()
                self._close_sockets()
            case states.Reloading():
                self._reloading()
            case states.Announce():
                self._announce()
            case states.Log(level, message, args):
                logger.log(level, message, *args)

    def _spawn(self, worker: int, slot: int) -> None:
        process = self._new_worker()
        others = tuple(
            other.connection for other in self._workers.values() if other.connection is not None
        )
        watcher = self._watcher.connection if self._watcher is not None else None
        try:
            process.start(
                Assignment(
                    configuration=self.configuration,
                    number=slot,
                    sockets=tuple(self._sockets),
                    log_config=self._log_config,
                    loader=self._loader,
                    title=None if self._title is None else f"{self._title} worker-{slot}",
                    max_requests=self._draw_max_requests(),
                ),
                others if watcher is None else (*others, watcher),
            )
        except OSError as exc:
            process.close()
            reason = f"cannot start a process for worker-{slot}: {exc.strerror or exc}"
            self._apply(states.Failed(worker, states.Failure(reason)))
            self._apply(states.Exited(worker))
            return
        self._workers[worker] = process
        logger.info("Spawning worker-%d with %s: %d", slot, process.kind, process.pid)

    def _new_worker(self) -> WorkerHandle:
        return WorkerThread() if self._threads else WorkerProcess(self._context, self._entry)

    def _reloading(self) -> None:
        assert self._env_files is not None
        if self._threads:
            logger.info("Workers are threads: they keep the application that is loaded")
        try:
            self._env_files.load()
        except ConfigurationError as exc:
            logger.error("%s; the environment stays as it is", exc)
        _run_hooks(self.hooks_reload)

    def _announce(self) -> None:
        count = len(self._workers)
        logger.info(
            "Serving %s on %s with %d worker%s on %s (%s%s: %s)",
            self.configuration.application.interface,
            self._addresses,
            count,
            "s" if count != 1 else "",
            self._loop_name,
            "TID" if self._threads else "PID",
            "s" if count != 1 else "",
            ", ".join(map(str, self.worker_pids())),
        )

    def _kill_leftovers(self) -> None:
        """Leave no process behind, also when an exception ends us."""
        for process in self._workers.values():
            process.kill()
        for process in self._workers.values():
            process.close()
        self._workers.clear()


_SIGNAL_EVENTS: dict[str, states.Event] = {
    "SIGINT": states.Interrupt(),
    "SIGTERM": states.Terminate(),
    "SIGHUP": states.Reload(),
    "SIGTTIN": states.AddWorker(),
    "SIGTTOU": states.RemoveWorker(),
}


def _policy(configuration: Configuration) -> states.Policy:
    processes, reload = configuration.processes, configuration.reload
    return states.Policy(
        workers=processes.workers,
        respawn_failed=processes.respawn_failed_workers,
        respawn_interval=0.0 if reload.reload else processes.respawn_interval,
        graceful_timeout=processes.workers_graceful_timeout,
        kill_timeout=processes.workers_kill_timeout,
        startup_timeout=processes.workers_startup_timeout,
        tolerate_failures=reload.reload and reload.reload_ignore_worker_failure,
    )


def _run_hooks(hooks: list[Hook]) -> None:
    """Run hooks in order; one that raises is logged and does not keep the others from running."""
    for hook in hooks:
        try:
            hook()
        except FatalError:
            raise
        except Exception:
            logger.exception("A hook raised an exception")

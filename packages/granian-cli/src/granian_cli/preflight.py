"""What is wrong, or unwise, with a configuration on this machine, found before anything starts."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from granian_cli.threads import VARIABLE, refuse_gil
from granian_cli.watch import require_watchfiles
from granian_core.access import DEFAULT_ACCESS_LOG_FORMAT, compile_access_log
from granian_core.errors import ConfigurationError
from granian_core.interface import load_interface
from granian_core.loops import loops
from granian_core.negotiation import warn_of_frame_size
from granian_core.tls import check_files

if TYPE_CHECKING:
    from granian_cli.config import Configuration

logger = logging.getLogger("_granian.supervisor")


def check(configuration: Configuration, *, threads: bool, spawns: bool) -> None:
    """Find what is missing or contradictory, and warn of what is unwise.

    Args:
        configuration: What is to be run.
        threads: Whether workers are threads.
        spawns: Whether a function of the caller's runs in each worker process.

    Raises:
        ConfigurationError: Something is missing, or settings contradict each other.
        FatalError: Workers are threads, and the GIL is enabled on free-threaded Python.
    """
    _check_application(configuration)
    if threads:
        _check_threads(configuration, spawns=spawns)
    elif configuration.reload.reload:
        require_watchfiles()
        processes = configuration.processes
        if processes.workers_lifetime is not None or processes.workers_max_rss is not None:
            logger.info("Workers are not replaced for their age or memory in reload mode")
    _warn_of_numbers(configuration)
    warn_of_frame_size(configuration.http2)


def read_log_config(path: os.PathLike[str]) -> Mapping[str, Any]:
    """Return the `logging.config.dictConfig` that a JSON file holds.

    Raises:
        ConfigurationError: It can not be read, or holds something else.
    """
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    except (OSError, ValueError) as exc:
        raise ConfigurationError("--log-config", path, f"can not be parsed: {exc}") from exc
    if not isinstance(config, dict):
        raise ConfigurationError("--log-config", path, "can not be parsed: it is no JSON object")
    return config


def _check_application(configuration: Configuration) -> None:
    """Check what workers would stumble over."""
    factory = load_interface(configuration.application.interface)
    blocking_threads = configuration.runtime.blocking_threads
    if not factory.blocking and blocking_threads is not None and blocking_threads > 1:
        raise ConfigurationError(
            "--blocking-threads",
            blocking_threads,
            f"the interface {factory.name} does not block: leave it out",
        )
    if configuration.runtime.loop not in loops:
        loops.get(configuration.runtime.loop)  # raises, and says why
    if configuration.log.log_access_enabled:
        compile_access_log(configuration.log.log_access_fmt or DEFAULT_ACCESS_LOG_FORMAT)
    if configuration.tls.enabled:
        check_files(configuration.tls)


def _check_threads(configuration: Configuration, *, spawns: bool) -> None:
    """Say what workers that are threads can not do."""
    if configuration.reload.reload:
        raise ConfigurationError(
            "--reload", None, f"threads share one application; set {VARIABLE}=processes"
        )
    if spawns:
        raise ConfigurationError(
            "spawn_target", None, f"there is no process to spawn; set {VARIABLE}=processes"
        )
    refuse_gil()
    logger.warning("Workers are threads of this process, which is experimental")
    if configuration.processes.workers_max_rss is not None:
        logger.info("Workers are not replaced for their memory: they share it")
    if configuration.processes.workers_kill_timeout is not None:
        logger.info("A thread can not be killed: a worker that does not end is left behind")


def _warn_of_numbers(configuration: Configuration) -> None:
    """Warn where more runs at a time than the machine has CPUs for."""
    cpus = _usable_cpus()
    workers = configuration.processes.workers
    if workers > cpus:
        logger.warning("More workers (%d) than CPUs (%d)", workers, cpus)
    io_threads = configuration.runtime.runtime_threads
    if io_threads > cpus:
        logger.warning("More runtime threads (%d) than CPUs (%d)", io_threads, cpus)
    # Only a number that was asked for: the default is a ceiling that few applications reach.
    blocking_threads = configuration.runtime.blocking_threads
    if blocking_threads is not None and blocking_threads > 2 * cpus + 1:
        logger.warning(
            "%d blocking threads on %d CPUs: more than %d help only where they mostly wait",
            blocking_threads,
            cpus,
            2 * cpus + 1,
        )


def _usable_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

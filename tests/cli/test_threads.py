"""Workers that are threads, without starting any server."""

from __future__ import annotations

import signal
import threading
from multiprocessing.connection import Connection
from typing import cast

import pytest

from granian_cli import threads
from granian_cli.config import Configuration
from granian_cli.settings import ProcessSettings, ReloadSettings
from granian_cli.signals import Interrupted, SignalPipe, interruptible
from granian_cli.supervisor import Supervisor
from granian_cli.worker import LATE_EXIT_CODE
from granian_core.errors import ConfigurationError, FatalError


def test_who_is_left_behind_can_not_end_while_it_is_said() -> None:
    """Its end of the pipe must not be closed, and be somebody else's, under our feet."""
    said: list[object] = []
    closed = threading.Event()

    class Ended:
        def close(self) -> None:
            closed.set()

        def send(self, message: object) -> None:
            ending.start()
            assert not closed.wait(0.2)
            said.append(message)

    worker = threads.WorkerThread()
    worker._thread = threading.current_thread()
    worker._ended = cast("Connection", Ended())
    ending = threading.Thread(target=worker._note_end, args=(0,))
    worker.kill()
    ending.join()
    assert closed.is_set()
    assert said == [None]
    assert worker.exitcode == LATE_EXIT_CODE
    worker.kill()  # once more, to nobody
    assert len(said) == 1


@pytest.mark.parametrize("wish", ["threads", "processes"])
def test_variable_decides(wish: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(threads.VARIABLE, wish)
    assert threads.workers_are_threads() == (wish == "threads")


@pytest.mark.parametrize("free", [True, False])
def test_without_it_the_kind_of_python_decides(free: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    monkeypatch.setattr(threads, "is_free_threaded", lambda: free)
    assert threads.workers_are_threads() == free


def test_another_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(threads.VARIABLE, "fibres")
    with pytest.raises(ConfigurationError, match="GRANIAN_WORKERS_AS=fibres: use threads or"):
        threads.workers_are_threads()


@pytest.mark.parametrize(
    ("free", "enabled", "refused"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_gil_is_refused_only_where_it_need_not_be(
    free: bool, enabled: bool, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "is_free_threaded", lambda: free)
    monkeypatch.setattr(threads, "is_gil_enabled", lambda: enabled)
    if refused:
        with pytest.raises(FatalError, match="the GIL is enabled.*set PYTHON_GIL=0"):
            threads.refuse_gil()
    else:
        threads.refuse_gil()


def test_application_that_brings_the_gil_back_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Loading is when extension modules are imported."""
    loaded: list[str] = []
    monkeypatch.setattr(threads, "is_free_threaded", lambda: True)
    monkeypatch.setattr(threads, "is_gil_enabled", lambda: bool(loaded))
    threads.refuse_gil()
    with pytest.raises(FatalError, match="the GIL is enabled"):
        threads.share_application(Configuration(target="x"), lambda: loaded.append("x"))


def test_reload_is_refused() -> None:
    configuration = Configuration(target="x", reload=ReloadSettings(reload=True))
    with pytest.raises(ConfigurationError, match="--reload: threads share one application"):
        Supervisor(configuration, method="thread")._check()


def test_limits_of_threads_are_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    processes = ProcessSettings(workers_max_rss=100, workers_kill_timeout=5)
    supervisor = Supervisor(Configuration(target="x", processes=processes), method="thread")
    with caplog.at_level("INFO"):
        supervisor._check()
    assert "experimental" in caplog.text
    assert "not replaced for their memory" in caplog.text
    assert "can not be killed" in caplog.text
    assert supervisor._memory is None


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="needs raise_signal")
def test_stop_interrupts_code_that_is_not_ours() -> None:
    with SignalPipe() as pipe:
        with pytest.raises(Interrupted), interruptible():
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # only a number again
        assert pipe.read() == [signal.SIGTERM, signal.SIGTERM]

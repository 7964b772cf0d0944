"""Pid file, environment files, memory samples and log configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from granian_cli.environ import EnvFiles
from granian_cli.errors import PidFileError
from granian_cli.memory import MEBIBYTE, MemoryMonitor, resident_bytes
from granian_cli.pidfile import PidFile
from granian_cli.preflight import read_log_config
from granian_cli.settings import ReloadSettings
from granian_cli.watch import watch_filter
from granian_core.errors import ConfigurationError


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_pid_file_holds_our_pid_without_a_newline(tmp_path: Path) -> None:
    file = PidFile(tmp_path / "pid")
    file.create()
    assert file.path.read_text() == str(os.getpid())
    file.remove()
    assert not file.path.exists()


def test_stale_pid_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(str(dead_pid()))
    PidFile(path).create()
    assert path.read_text() == str(os.getpid())


def test_live_pid_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(str(os.getppid()))
    with pytest.raises(PidFileError, match="already exists"):
        PidFile(path).create()
    PidFile(path).remove()
    assert path.read_text() == str(os.getppid())


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "1.5"])
def test_pid_file_without_a_pid_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pid"
    path.write_text(text)
    with pytest.raises(PidFileError, match="holds no pid"):
        PidFile(path).create()
    assert path.read_text() == text


def test_pid_file_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(PidFileError, match="choose a writable place") as caught:
        PidFile(tmp_path / "absent" / "pid").create()
    assert caught.value.exit_code == 1


def test_link_in_place_of_the_pid_file_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (tmp_path / "pid").symlink_to(victim)
    with pytest.raises(PidFileError):
        PidFile(tmp_path / "pid").create()
    assert not victim.exists()


def test_env_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dotenv", reason="python-dotenv is an extra")
    monkeypatch.setenv("KEPT_BY_TEST", "ours")
    for name in ("ONE_OF_TEST", "TWO_OF_TEST"):
        monkeypatch.delenv(name, raising=False)
    first, second = tmp_path / "first.env", tmp_path / "second.env"
    first.write_text("KEPT_BY_TEST=theirs\nONE_OF_TEST=1\nTWO_OF_TEST=2\n")
    second.write_text("TWO_OF_TEST=later\n")
    files = EnvFiles([first, second])
    files.load()
    seen = {name: os.environ.get(name) for name in ("KEPT_BY_TEST", "ONE_OF_TEST", "TWO_OF_TEST")}
    assert seen == {"KEPT_BY_TEST": "ours", "ONE_OF_TEST": "1", "TWO_OF_TEST": "later"}
    first.write_text("ONE_OF_TEST=edited\n")
    second.write_text("")
    files.load()
    assert os.environ["ONE_OF_TEST"] == "edited"
    assert "TWO_OF_TEST" not in os.environ
    monkeypatch.delenv("ONE_OF_TEST")


def test_env_files_without_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dotenv", None)
    with pytest.raises(ConfigurationError, match=r"granian-cli\[dotenv\]"):
        EnvFiles([tmp_path / "x.env"])
    EnvFiles([]).load()


def test_env_file_that_has_vanished(tmp_path: Path) -> None:
    pytest.importorskip("dotenv", reason="python-dotenv is an extra")
    with pytest.raises(ConfigurationError, match="can not be read"):
        EnvFiles([tmp_path / "absent.env"]).load()


def test_memory_of_this_process() -> None:
    assert MEBIBYTE < resident_bytes(os.getpid()) < 1024 * MEBIBYTE


def test_memory_of_a_dead_process() -> None:
    with pytest.raises(ProcessLookupError):
        resident_bytes(dead_pid())


def test_memory_needs_samples_in_a_row() -> None:
    sizes = {100: 0}
    monitor = MemoryMonitor(10, 2, lambda pid: sizes[pid] * MEBIBYTE)
    seen = []
    for size in (10, 9, 10, 11, 12):
        sizes[100] = size
        seen.append(monitor.sample({1: 100}))
    assert seen == [[], [], [], [1], [1]]


def test_memory_that_can_not_be_read_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    import logging

    def gone(pid: int) -> int:
        raise ProcessLookupError("gone")

    logger = logging.getLogger("_granian.supervisor")
    logger.addHandler(caplog.handler)
    try:
        assert MemoryMonitor(1, 1, gone).sample({1: 100}) == []
    finally:
        logger.removeHandler(caplog.handler)
    assert "Cannot read the memory of process 100: gone" in caplog.text


def test_reload_filter_adds_to_what_is_ignored_anyway(tmp_path: Path) -> None:
    watchfiles = pytest.importorskip("watchfiles", reason="watchfiles is an extra")
    settings = ReloadSettings(
        reload_ignore_dirs=("generated",),
        reload_ignore_patterns=(r".*\.tmp$",),
        reload_ignore_paths=(tmp_path / "big",),
    )
    watched = watch_filter(settings)
    changed = watchfiles.Change.modified
    assert watched(changed, str(tmp_path / "app.py"))
    assert watched(changed, str(tmp_path / "page.html"))
    for ignored in ("generated/x.py", "x.tmp", "big/x.py", "__pycache__/x.pyc", ".git/HEAD"):
        assert not watched(changed, str(tmp_path / ignored)), ignored


def test_reload_filter_extends_the_given_class(tmp_path: Path) -> None:
    watchfiles = pytest.importorskip("watchfiles", reason="watchfiles is an extra")
    settings = ReloadSettings(reload_ignore_patterns=(r"never\.py",))
    watched = watch_filter(settings, watchfiles.PythonFilter)
    changed = watchfiles.Change.added
    assert watched(changed, str(tmp_path / "app.py"))
    assert not watched(changed, str(tmp_path / "page.html"))
    assert not watched(changed, str(tmp_path / "never.py"))


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_log_config_that_is_no_json_object(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match="can not be parsed") as caught:
        read_log_config(path)
    assert caught.value.option == "--log-config"

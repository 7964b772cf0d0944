"""The command from start to end: exit codes, one clear line each, addresses, files, loops."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.serving import (
    ROOT,
    ServerProcess,
    launch,
    read_until,
    serving,
    without_capabilities,
)

APP = "tests.e2e.apps.lifecycle:app"
PREFIX = "tests.e2e.apps.lifecycle"

SPAWNING = """
import multiprocessing

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")

from granian_cli.main import entrypoint

if __name__ == "__main__":
    entrypoint()
"""


@pytest.fixture(params=["fork", "spawn"])
def command(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    """Return the command, with workers that fork and with workers that are spawned."""
    if request.param == "fork":
        return (sys.executable, "-m", "granian")
    script = tmp_path / "spawning.py"
    script.write_text(SPAWNING, encoding="utf-8")
    return (sys.executable, str(script))


@contextlib.contextmanager
def running(*args: object, **kwargs: object) -> Iterator[ServerProcess]:
    """Launch a command and wait for nothing; it is gone at the end."""
    server = launch(*args, **kwargs)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.kill()


def errors(server: ServerProcess) -> list[str]:
    """Return the lines of the output that are not ordinary log lines."""
    return [line for line in server.log.text.splitlines() if not line.startswith("[INFO] ")]


def get(server: ServerProcess, path: str = "/") -> str:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    return server.exchange(request.encode()).partition(b"\r\n\r\n")[2].decode()


@contextlib.contextmanager
def port_taken() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield str(taken.getsockname()[1])


# Each: what it is about, target, options, exit code, what the one line says.
FAILURES = {
    "no such module": ("absent_module:app", (), 3, "there is no module 'absent_module'"),
    "no such attribute": (f"{PREFIX}:nope", (), 3, "has no attribute 'nope'"),
    "not a factory": (f"{PREFIX}:boot_time", ("--factory",), 3, "is not callable"),
    "unknown host": (APP, ("--host", "300.0.0.1"), 4, "cannot bind 300.0.0.1:0: unknown host"),
    "address of another machine": (APP, ("--host", "192.0.2.1"), 4, "no such address"),
    "socket in no directory": (APP, ("--uds", "/absent/s"), 4, "its directory does not exist"),
    "unknown loop": (APP, ("--loop", "foo"), 2, "Invalid value for '--loop'"),
    "unknown interface": (APP, ("--interface", "foo"), 2, "Invalid value for '--interface'"),
    "unknown option": (APP, ("--foo",), 2, "No such option"),
    "threads for nothing": (APP, ("--blocking-threads", "2"), 1, "--blocking-threads=2"),
    "access log format": (
        APP,
        ("--access-log", "--access-log-fmt", "%(nonsense)s"),
        1,
        "nonsense",
    ),
}


@pytest.mark.parametrize("workers", ["1", "3"])
@pytest.mark.parametrize("case", FAILURES)
def test_failure_is_one_line_and_one_exit_code(case: str, workers: str) -> None:
    target, options, code, text = FAILURES[case]
    with running(target, *options, "--workers", workers) as server:
        assert server.wait() == code
        (line,) = [line for line in errors(server) if "More workers" not in line]
        assert line.startswith("Error: ")
        assert text in line


@pytest.mark.parametrize("workers", ["1", "3"])
def test_application_of_another_interface(workers: str) -> None:
    with running(APP, "--workers", workers, interface="wsgi") as server:
        assert server.wait() == 1
        (line,) = [line for line in errors(server) if "More workers" not in line]
        assert line.startswith("Error: ")
        assert "--interface asgi" in line


@pytest.mark.parametrize("workers", ["1", "3"])
def test_the_applications_import_error_keeps_its_traceback_once(
    workers: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "broken.py").write_text("import really_absent\n", encoding="utf-8")
    with running("broken:app", "--workers", workers, cwd=tmp_path, command=command) as server:
        assert server.wait() == 3
        text = server.log.text
    assert text.count("Traceback (most recent call last)") == 1
    assert text.count("Error: cannot import 'broken': ModuleNotFoundError") == 1
    assert 'broken.py", line 1' in text
    assert "granian_cli" not in text


@pytest.mark.parametrize("workers", ["1", "3"])
def test_busy_port(workers: str, command: tuple[str, ...]) -> None:
    with (
        port_taken() as port,
        running(APP, "--port", port, "--workers", workers, command=command) as server,
    ):
        assert server.wait() == 4
        (line,) = [line for line in errors(server) if "More workers" not in line]
        assert line.startswith(f"Error: cannot bind 127.0.0.1:{port}: the address is in use")


@pytest.mark.parametrize("workers", ["1", "3"])
def test_startup_that_fails(workers: str, command: tuple[str, ...]) -> None:
    with running(f"{PREFIX}:refuses", "--workers", workers, command=command) as server:
        assert server.wait() == 5
        text = server.log.text
    assert "no database" in text
    assert text.count("\nError: ") == 1
    assert "granian_cli" not in text  # no traceback of ours


@pytest.mark.parametrize("loop", ["rloop", "winloop"])
def test_loop_that_is_not_installed(loop: str) -> None:
    if importlib.util.find_spec(loop):
        pytest.skip(f"{loop} is installed here")
    with running(APP, "--loop", loop) as server:
        assert server.wait() == 1
        assert errors(server) == [
            f"Error: --loop={loop}: not installed; install granian-cli[{loop}]"
        ]


@pytest.mark.parametrize(
    ("module", "options", "extra"),
    [
        ("setproctitle", ("--process-name", "x"), "pname"),
        ("dotenv", ("--env-files", "{file}"), "dotenv"),
        ("watchfiles", ("--reload",), "reload"),
    ],
)
def test_extra_that_is_not_installed(
    module: str, options: tuple[str, ...], extra: str, tmp_path: Path
) -> None:
    script = tmp_path / "without.py"
    script.write_text(
        f"import sys\nsys.modules[{module!r}] = None\n"
        "from granian_cli.main import entrypoint\nentrypoint()\n",
        encoding="utf-8",
    )
    options = tuple(option.format(file=script) for option in options)
    with running(APP, *options, command=(sys.executable, str(script))) as server:
        assert server.wait() == 1
        (line,) = errors(server)
        assert f"install granian-cli[{extra}]" in line


def test_serving_and_stopping(command: tuple[str, ...]) -> None:
    with running(APP, "--workers", "2", command=command) as server:
        server.wait_ready()
        server.log.wait_for("Serving asgi on .* with 2 workers on ")
        assert get(server) == "hello"
        assert get(server, "/modules?click") in ("True", "False")
        assert server.stop() == 0
        text = server.log.text
    assert text.count("lifespan shutdown in") == 2
    for line in (
        "Starting granian (main PID: ",
        "Spawning worker-2 with PID: ",
        "Started worker-2",
    ):
        assert text.count(line) == 1
    assert text.rstrip().endswith("Granian shutdown completed, see ya!")


def test_interrupt_is_exit_code_0(command: tuple[str, ...]) -> None:
    with running(APP, command=command) as server:
        server.wait_ready()
        server.log.wait_for("Serving asgi")
        assert server.stop(signal.SIGINT) == 0


def test_stop_while_starting(command: tuple[str, ...]) -> None:
    """Nobody gets in before the application can answer: a probe does not pass too early."""
    with running(APP, command=command, env={"LIFECYCLE_BOOT_TIME": "60"}) as server:
        address = server.log.wait_for(r"Listening at: http://127\.0\.0\.1:(?P<port>\d+)")
        server.log.wait_for("Spawning worker-1")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(address["port"])), 5)
        assert server.stop() == 0


def test_spawned_worker_imports_neither_click_nor_rich(tmp_path: Path) -> None:
    script = tmp_path / "spawning.py"
    script.write_text(SPAWNING, encoding="utf-8")
    with running(APP, command=(sys.executable, str(script))) as server:
        server.wait_ready()
        for module in ("click", "rich", "rich_click"):
            assert get(server, f"/modules?{module}") == "False"
        assert get(server, "/modules?granian_core") == "True"


def test_console_script() -> None:
    script = shutil.which("granian", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("the granian script is not installed in this environment")
    with running(APP, command=(script,)) as server:
        server.wait_ready()
        assert get(server) == "hello"


# -- addresses ---------------------------------------------------------------------------------


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def port_of(server: ServerProcess) -> int:
    return int(server.log.wait_for(r"Listening at: http://\S+:(\d+)")[1])


@pytest.mark.parametrize(
    ("hosts", "urls", "clients"),
    [
        (["127.0.0.1"], ["127.0.0.1"], ["127.0.0.1"]),
        (["localhost"], ["127.0.0.1", "[::1]"], ["127.0.0.1", "::1"]),
        (["::1"], ["[::1]"], ["::1"]),
        (["[::1]"], ["[::1]"], ["::1"]),
        (["::"], ["[::]", "0.0.0.0"], ["127.0.0.1", "::1"]),
        (["127.0.0.1", "::1"], ["127.0.0.1", "[::1]"], ["127.0.0.1", "::1"]),
    ],
    ids=",".join,
)
def test_hosts_bind_what_they_mean(hosts: list[str], urls: list[str], clients: list[str]) -> None:
    if "::1" in clients and not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    options = [option for host in hosts for option in ("--host", host)]
    with running(APP, *options) as server:
        port = port_of(server)
        assert port != 0
        server.log.wait_for("Serving asgi")
        for url in urls:
            assert f"Listening at: http://{url}:{port}" in server.log.text
        for client in clients:
            with socket.create_connection((client, port), 10) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert read_until(sock, b"hello")


def test_unix_socket_with_permissions(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with serving(APP, "--uds-permissions", "0600", uds=path) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert get(server) == "hello"
        server.log.wait_for(f"Listening at: unix:{path}")
    assert not path.exists()


def test_stale_unix_socket_is_replaced_and_a_live_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with serving(APP, uds=path) as server:
        with running(APP, uds=path) as second:
            assert second.wait() == 4
            assert "another server listens there" in second.log.text
        assert get(server) == "hello"


# -- options that leave a trace ------------------------------------------------------------------


def test_pid_file(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with serving(APP, "--pid-file", str(path)) as server:
        assert path.read_text() == str(server.pid)
        with running(APP, "--pid-file", str(path)) as second:
            assert second.wait() == 1
            assert "already exists" in second.log.text
        assert path.read_text() == str(server.pid)
    assert not path.exists()


def test_nothing_is_left_behind_when_starting_fails(tmp_path: Path) -> None:
    path, pid_file = tmp_path / "s.sock", tmp_path / "pid"
    with running("absent_module", "--pid-file", str(pid_file), uds=path) as server:
        assert server.wait() == 3
        assert list(tmp_path.iterdir()) == []


def test_process_titles() -> None:
    pytest.importorskip("setproctitle")
    with serving(APP, "--process-name", "shop") as server:
        server.log.wait_for("Serving asgi")
        (worker,) = server.worker_pids()
        titles = [
            Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
            for pid in (server.pid, worker)
        ]
    assert titles == ["shop", "shop worker-1"]


def test_env_files_are_read_again_on_reload(tmp_path: Path) -> None:
    pytest.importorskip("dotenv")
    path = tmp_path / "x.env"
    path.write_text("LIFECYCLE_SHOWN=one\n", encoding="utf-8")
    with serving(APP, "--env-files", str(path)) as server:
        assert get(server, "/env?LIFECYCLE_SHOWN") == "one"
        path.write_text("LIFECYCLE_SHOWN=two\n", encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        server.log.wait_for("Stopped old worker-1")
        assert get(server, "/env?LIFECYCLE_SHOWN") == "two"


def test_log_config_and_levels(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(
        '{"formatters": {"generic": {"format": "<%(message)s>"}, '
        '"access": {"format": "<%(message)s>"}}}',
        encoding="utf-8",
    )
    with serving(APP, "--log-config", str(path), "--access-log") as server:
        get(server, "/path")
        server.log.wait_for("<Listening at: ")
        server.log.wait_for('<.*"GET /path HTTP/1.1" 200 ')


def test_log_config_that_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text("{", encoding="utf-8")
    with running(APP, "--log-config", str(path)) as server:
        assert server.wait() == 1
        (line,) = errors(server)
        assert line.startswith(f"Error: --log-config={path}: can not be parsed")


def test_log_config_that_is_not_usable(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text('{"handlers": {"console": {"class": "nowhere.Handler"}}}', encoding="utf-8")
    with running(APP, "--log-config", str(path)) as server:
        assert server.wait() == 1
        (line,) = errors(server)
        assert line.startswith(f"Error: --log-config={path}: not usable: ")
        assert "nowhere.Handler" in line


def test_no_log_is_silent(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with serving(APP, "--no-log", uds=path) as server:
        assert get(server) == "hello"
    assert [line for line in server.log.text.splitlines() if "lifespan" not in line] == []


def test_url_path_prefix_and_options_reach_the_application() -> None:
    with serving("tests.e2e.apps.lifecycle:scope_app", "--url-path-prefix", "/under") as server:
        assert get(server, "/x") == "/under"


FACADE = """
from granian import Granian

server = Granian("tests.e2e.apps.lifecycle:app", port=0, interface="asgi", workers=2)
server.on_startup(lambda: print("hook startup", flush=True))
server.on_reload(lambda: print("hook reload", flush=True))

@server.on_shutdown
def after():
    print("hook shutdown", flush=True)

if __name__ == "__main__":
    server.serve()
    print("serve returned", flush=True)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_python_api_with_hooks(method: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    start = f"    import multiprocessing\n    multiprocessing.set_start_method({method!r})\n"
    script.write_text(
        FACADE.replace("    server.serve()", f"{start}    server.serve()"), encoding="utf-8"
    )
    environ = {"PYTHONPATH": str(ROOT)}
    with running(APP, command=(sys.executable, str(script)), env=environ) as server:
        server.wait_ready()
        server.log.wait_for("(?s)hook startup.*Serving asgi")
        server.process.send_signal(signal.SIGHUP)
        server.log.wait_for("hook reload")
        assert get(server) == "hello"
        assert server.stop() == 0
        server.log.wait_for("(?s)lifespan shutdown.*hook shutdown.*serve returned")


def test_factory() -> None:
    with serving("tests.e2e.apps.lifecycle:make_app", "--factory") as server:
        assert get(server) == "hello"


def test_working_directory_comes_first(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "tests" / "only.py").write_text(
        "from lifecycle_copy import app\n", encoding="utf-8"
    )
    source = Path(__file__).with_name("apps") / "lifecycle.py"
    shutil.copy(source, tmp_path / "lifecycle_copy.py")
    with serving("tests.only:app", "--working-dir", str(tmp_path)) as server:
        assert get(server) == "hello"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "auto"])
def test_loops(loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with serving(APP, "--loop", loop) as server:
        expected = "uvloop" if loop == "uvloop" else "asyncio" if loop == "asyncio" else r"\w+"
        server.log.wait_for(f"with 1 worker on {expected} ")
        assert get(server) == "hello"


def test_reload_on_change(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    module = tmp_path / "edited.py"

    def write(text: str) -> None:
        module.write_text(
            "from tests.e2e.apps.lifecycle import answer, lifespan\n"
            "async def app(scope, receive, send):\n"
            "    if scope['type'] == 'lifespan':\n"
            "        return await lifespan(receive, send)\n"
            f"    await answer(send, {text})\n",
            encoding="utf-8",
        )

    write("'first'")
    options = ("--reload", "--reload-paths", str(tmp_path), "--working-dir", str(tmp_path))
    with serving("edited:app", *options, env={"PYTHONDONTWRITEBYTECODE": "1"}) as server:
        assert get(server) == "first"
        write("'second'")
        server.log.wait_for("Changes detected, reloading workers..")
        server.log.wait_for(f"Modified: {module}")
        server.log.wait_for("Stopped old worker-1")
        assert get(server) == "second"
        write("('third'")
        server.log.wait_for("worker-1 failed to start .the old one keeps serving.: .*SyntaxError")
        assert get(server) == "second"
        write("'fourth'")
        server.log.wait_for("(?s)SyntaxError.*Stopped old worker-1")
        assert get(server) == "fourth"


def test_reload_that_ignores_failures_starts_with_broken_code(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    module = tmp_path / "late.py"
    module.write_text("app = (", encoding="utf-8")
    options = ("--reload", "--reload-paths", str(tmp_path), "--reload-ignore-worker-failure")
    command = (sys.executable, "-m", "granian")
    with running("late:app", *options, "--working-dir", str(tmp_path), command=command) as server:
        server.log.wait_for("worker-1 failed to start: .*SyntaxError")
        module.write_text("from tests.e2e.apps.lifecycle import app\n", encoding="utf-8")
        server.wait_ready()
        assert get(server) == "hello"
        assert server.stop() == 0


def first_free_for_all() -> int:
    """Return the lowest port that needs no privilege (containers often set 0)."""
    path = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    return int(path.read_text(encoding="ascii")) if path.exists() else 1024


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
@pytest.mark.skipif(first_free_for_all() <= 1, reason="everybody may bind every port here")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_privileged_port(workers: str, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    command = (*without_capabilities("net_bind_service"), sys.executable, "-m", "granian")
    options = ("--port", "1", "--pid-file", str(path), "--workers", workers)
    with running(APP, *options, command=command) as server:
        assert server.wait() == 4
        (line,) = errors(server)
        assert "permission denied; choose a --port of 1024 or more" in line
        assert not path.exists()
        assert not server.group_exists()

"""A page as its reader would follow it: files are written, commands are run, outputs compared.

What happens to a block depends on its language:

- ``python`` with a title is a file. It has to be run by itself (``if __name__ == …``), or to be
  named by a later block. Without a title it is a program, run with warnings as errors, to its end
  or until it serves; with ``import pytest`` it is run by pytest.
- ``console`` has commands behind ``$``, and what they print; ``sh`` has commands alone. `…` stands
  for anything. ``granian`` starts a server on a port of its own, which is the one that later
  commands mean by port 8000; the next one, or the end of the page, stops it.
- ``text`` right below a block is what that prints.
- Configurations go to `tests.docs.configurations`.

Every page starts with `STAGE` in its directory.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from granian_core.testing.certs import issue_certificate
from tests.e2e.serving import IO_TIMEOUT, START_TIMEOUT, STOP_TIMEOUT, Log

if TYPE_CHECKING:
    from tests.docs.blocks import Block

ROOT = Path(__file__).resolve().parents[2]
STAGE = ("main.py", "examples", "assets", "server.pem", "server.key", "ca.pem")
"""What a page may use without writing it: the ASGI example, files to serve, a certificate."""

LISTENING = re.compile(r"Listening at: (?:https?|unix)://?(?P<address>\S+)")
PORT = re.compile(r"(?<=localhost:|127\.0\.0\.1:)(8000|8443)\b")
PACKAGES = {path.name for path in (ROOT / "packages").iterdir()}


class Story:
    """What became of one page so far.

    Args:
        directory: An empty one, in which everything happens.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.unused: dict[str, Block] = {}
        self.written: set[str] = set()
        self.server: subprocess.Popen[bytes] | None = None
        self.log: Log | None = None
        self.address = ""
        self.printed = ""
        shutil.copy(ROOT / "examples" / "asgi_app.py", directory / "main.py")
        (directory / "examples").symlink_to(ROOT / "examples")
        (directory / "assets" / "css").mkdir(parents=True)
        (directory / "assets" / "css" / "site.css").write_text("body { margin: 0 }\n", "utf-8")
        (directory / ".curlrc").write_text('silent\nshow-error\nnoproxy = "*"\n', "utf-8")
        (directory / "tls").mkdir()
        files = issue_certificate(directory / "tls")
        for source, name in zip(
            (files.certificate, files.key, files.authority), STAGE[3:], strict=True
        ):
            shutil.copy(source, directory / name)

    # -- files and programs ------------------------------------------------------------------

    def write(self, block: Block) -> None:
        """Make a file of a block, which something has to use."""
        name = Path(block.title).name
        (self.directory / name).write_text(block.code, encoding="utf-8")
        self.written.add(name)
        self.unused[name] = block

    def use(self, text: str) -> None:
        """Note the files that a command names."""
        words = set(re.findall(r"[\w.-]+", text))
        for name in list(self.unused):
            if words & {name, Path(name).stem}:
                del self.unused[name]

    def python(self, block: Block) -> None:
        """Run a program, or keep a module for later."""
        if block.title:
            self.write(block)
            if 'if __name__ == "__main__":' not in block.code:
                return
            self.use(block.title)
        name = Path(block.title).name or "block.py"
        (self.directory / name).write_text(block.code, encoding="utf-8")
        runner = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
        options = runner if "import pytest" in block.code else []
        self.stop()
        self._start([sys.executable, "-W", "error", *options, name])
        if ".serve(" in block.code and "asyncio.run(" not in block.code:
            self.wait_ready()
            assert self.get("/").status_code == 200
            self.stop()
        else:
            self._end()

    def output(self, block: Block) -> None:
        """Compare what the block before printed."""
        assert_like(self.printed, block.code.splitlines(), block.where)

    # -- commands ------------------------------------------------------------------------------

    def console(self, block: Block) -> None:
        """Run the commands of a block."""
        for command, expected in commands(block):
            self.use(command)
            self.printed = ""
            self.command(command, expected)
            assert_like(self.printed, expected, block.where)

    def command(self, command: str, expected: list[str]) -> None:
        """Run one command."""
        words = shlex.split(command, comments=True)
        variables = {}
        while words and re.match(r"[A-Z_]+=", words[0]):
            name, _, value = words.pop(0).partition("=")
            variables[name] = value
        program = words[0] if words else ""
        ends = {"|", "||", "--help", "--version"} & set(words)
        if program == "pip":
            check_pip(words)
        elif "_GRANIAN_COMPLETE=" in command:
            # What the shell named there would evaluate; that shell need not be installed.
            script = re.search(r"_GRANIAN_COMPLETE=\w+ granian", command)
            assert script, command
            self.shell(script[0])
            assert "granian" in self.printed, command
            self.printed = ""
        elif program == "granian" and not ends:
            self.granian(words[1:], variables, expected)
        else:
            self.shell(command)

    def granian(
        self, arguments: list[str], variables: dict[str, str], expected: list[str] | None = None
    ) -> None:
        """Start the command, with a port of its own; what it is to print, its log has."""
        self.stop()
        options = with_option(arguments, "--port", "0") if "--uds" not in arguments else arguments
        self._start([sys.executable, "-m", "granian", *options], variables)
        self.wait_ready()
        assert self.log is not None
        for line in expected or []:
            self.log.wait_for(pattern(line))
        self.printed = "\n".join(expected or [])

    def shell(self, command: str) -> None:
        """Run anything else in a shell that knows `granian` and `$PID`."""
        paths = [Path(sys.executable).parent, *map(Path, os.get_exec_path())]
        environ = {
            **os.environ,
            "PATH": os.pathsep.join(map(str, paths)),
            "PID": str(self.server.pid) if self.server else "",
            "CURL_HOME": str(self.directory),
        }
        port = self.address.rpartition(":")[2]
        done = subprocess.run(
            ["bash", "-euc", PORT.sub(port, command)],
            cwd=self.directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=START_TIMEOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{self.log.text if self.log else ''}"
        self.printed = done.stdout

    # -- the server ------------------------------------------------------------------------------

    def wait_ready(self) -> None:
        """Wait until the server of the story accepts."""
        assert self.log is not None
        self.log.wait_for("Serving ", START_TIMEOUT)
        self.address = self.log.wait_for(LISTENING, START_TIMEOUT)["address"].rstrip("/")

    def get(self, path: str, host: str = "localhost") -> httpx.Response:
        """Ask the server of the story for something."""
        with httpx.Client(trust_env=False, timeout=IO_TIMEOUT) as client:
            return client.get(f"http://{self.address}{path}", headers={"host": host})

    def failed(self) -> None:
        """Wait until the server of the story, which has said what is wrong, has left for it."""
        server, self.server = self.server, None
        assert server is not None
        assert self.log is not None
        try:
            assert server.wait(STOP_TIMEOUT) != 0, self.log.text
        finally:
            server.kill()
            server.wait()
            self.log.join(2.0)

    def stop(self) -> None:
        """Stop the server of the story, if there is one; it has to leave in good order."""
        server, self.server = self.server, None
        if server is None:
            return
        assert self.log is not None
        try:
            server.send_signal(signal.SIGTERM)
            assert server.wait(STOP_TIMEOUT) == 0, self.log.text
        finally:
            server.kill()
            server.wait()
            self.log.join(2.0)

    def _start(self, command: list[str], variables: dict[str, str] | None = None) -> None:
        environ = {name: text for name, text in os.environ.items() if name[:8] != "GRANIAN_"}
        self.server = subprocess.Popen(
            command,
            cwd=self.directory,
            env={**environ, "PYTHONUNBUFFERED": "1", **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.log = Log(self.server)

    def _end(self) -> None:
        process, self.server = self.server, None
        assert process is not None
        assert self.log is not None
        try:
            code = process.wait(START_TIMEOUT + STOP_TIMEOUT)
        finally:
            process.kill()
            process.wait()
            self.log.join(2.0)
        assert code == 0, f"exit code {code}\n{self.log.text}"
        self.printed = self.log.text


def commands(block: Block) -> list[tuple[str, list[str]]]:
    """Return each command of a block with the lines that it is said to print."""
    code = re.sub(r" *\\\n *", " ", block.code)
    found: list[tuple[str, list[str]]] = []
    for line in code.splitlines():
        if block.language == "sh":
            if line.strip() and not line.startswith("#"):
                found.append((line, []))
        elif line.startswith("$ "):
            found.append((line[2:], []))
        else:
            assert found, f"{block.where}: output without a command"
            found[-1][1].append(line)
    assert found, f"{block.where}: no command"
    return found


def pattern(line: str) -> str:
    """Return the regular expression of a line that is to be printed."""
    text = re.escape(line.strip()).replace("…", ".*")
    return text.replace(r":8000", r":\d+")


def assert_like(printed: str, expected: list[str], where: str) -> None:
    """Compare line by line; with nothing expected, anything may be printed."""
    lines = [line.rstrip() for line in printed.strip().splitlines()]
    wanted = [line.rstrip() for line in "\n".join(expected).strip().splitlines()]
    if wanted:
        whole = "\n".join(".*(?:\n.*)*" if line == "…" else pattern(line) for line in wanted)
        text = "\n".join(line.strip() for line in lines)
        assert re.fullmatch(whole, text), f"{where}: printed\n{printed}"


def with_option(arguments: list[str], option: str, value: str) -> list[str]:
    """Return the arguments with another value of an option."""
    rest = list(arguments)
    if option in rest:
        at = rest.index(option)
        del rest[at : at + 2]
    return [option, value, *rest]


def check_pip(words: list[str]) -> None:
    """Look at a line of pip: it is not run, for the five are on no index.

    What it names of ours exists, extras included; CI's step "Wheels in a clean environment"
    installs the same five.
    """
    assert words[:2] == ["pip", "install"], words
    for word in (word for word in words[2:] if not word.startswith("-")):
        found = re.fullmatch(r"(?:\./packages/)?(granian-\w+)(?:\[([\w,]+)\])?", word)
        assert found, f"{word} is not ours"
        assert found[1] in PACKAGES, f"there is no {word}"
        metadata = (ROOT / "packages" / found[1] / "pyproject.toml").read_text(encoding="utf-8")
        for extra in (found[2] or "").split(",") if found[2] else []:
            assert re.search(rf"^{extra} = \[", metadata, re.MULTILINE), f"no extra {extra}"

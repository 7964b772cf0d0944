"""Configurations in the documents: judged by the programs that read them, and by what they start.

Paths of the documents (`/srv/shop`, certificates under `/etc`) become those of the page's
directory, and ports become free ones; everything else is taken as it stands.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.docs.story import PACKAGES, check_pip
from tests.e2e.serving import START_TIMEOUT

try:
    import tomllib
except ImportError:  # Python 3.10; pytest brings tomli there
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.docs.blocks import Block
    from tests.docs.story import Story

HOME = "/srv/shop"
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


class ToolMissing(Exception):
    """The program that reads a configuration is not installed; the text names it."""


def tool(name: str) -> str:
    """Return the path of a program.

    Raises:
        ToolMissing: There is none.
    """
    path = shutil.which(name, path=SEARCH_PATH)
    if path is None:
        raise ToolMissing(f"{name} is not installed")
    return path


def run(command: list[str], directory: Path) -> str:
    """Return what a program prints that must succeed."""
    done = subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=START_TIMEOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}"
    return done.stdout


def at_home(story: Story, text: str) -> str:
    """Return a text with the document's paths made those of the page's directory."""
    text = text.replace(f"{HOME}/venv/bin/granian", str(Path(sys.executable).parent / "granian"))
    return text.replace(HOME, str(story.directory))


# -- proxies -------------------------------------------------------------------------------------


def nginx(story: Story, block: Block) -> None:
    """Let nginx read it: whole servers, or what belongs into one."""
    code = re.sub(r"/etc/\S+\.pem", str(story.directory / "both.pem"), block.code)
    code = re.sub(r"/etc/\S+\.key", str(story.directory / "server.key"), code)
    code = re.sub(r"listen \d+", lambda _: f"listen 127.0.0.1:{free_port()}", code)
    if not re.search(r"^server \{", code, re.MULTILINE):
        code = f"server {{ listen 127.0.0.1:{free_port()};\n{code} }}"
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    paths = "".join(
        f"{name}_temp_path {name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    both(story)
    (story.directory / "nginx.conf").write_text(
        f"{user}\npid nginx.pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{code}\n}}\n",
        encoding="utf-8",
    )
    command = [tool("nginx"), "-t", "-p", str(story.directory), "-c", "nginx.conf"]
    printed = run(command, story.directory)
    assert "[warn]" not in printed, printed


def free_port() -> int:
    """Return a port that nobody has: nginx binds even when it only tests."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def haproxy(story: Story, block: Block) -> None:
    """Let haproxy read it; it may say nothing against it."""
    code = re.sub(r"/etc/\S+\.pem", str(story.directory / "both.pem"), block.code)
    both(story)
    path = story.directory / "haproxy.cfg"
    path.write_text(code, encoding="utf-8")
    printed = run([tool("haproxy"), "-c", "-f", str(path)], story.directory)
    assert "WARNING" not in printed, printed


def both(story: Story) -> None:
    """Write a certificate and its key into one file, as haproxy likes it."""
    parts = [(story.directory / name).read_bytes() for name in ("server.pem", "server.key")]
    (story.directory / "both.pem").write_bytes(b"".join(parts))


# -- systemd -------------------------------------------------------------------------------------


def ini(story: Story, block: Block) -> None:
    """Start what a unit starts, reload it as the unit says, and let systemd judge the unit."""
    assert block.title.endswith(".service"), f"{block.where}: no unit"
    unit = at_home(story, block.code)
    values = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    program, *arguments = shlex.split(values["ExecStart"])
    assert Path(program).name == "granian"
    assert int(values["TimeoutStopSec"]) >= graceful(arguments) + 10, "TimeoutStopSec is too short"
    assert values["ExecReload"] == "/bin/kill -HUP $MAINPID"
    story.use(values["ExecStart"])
    story.granian(arguments, {})
    assert story.get("/").status_code == 200
    assert story.server is not None
    assert story.log is not None
    story.server.send_signal(signal.SIGHUP)
    story.log.wait_for("Stopped old worker", START_TIMEOUT)
    story.stop()
    path = story.directory / Path(block.title).name
    path.write_text(unit, encoding="utf-8")
    printed = run([tool("systemd-analyze"), "verify", "--man=no", str(path)], story.directory)
    assert path.name not in printed, printed


def graceful(arguments: list[str]) -> int:
    """Return the graceful timeout of a command line."""
    option = "--workers-graceful-timeout"
    return int(arguments[arguments.index(option) + 1]) if option in arguments else 25


# -- containers ----------------------------------------------------------------------------------


def dockerfile(story: Story, block: Block) -> None:
    """Do by hand what a build would do: there is no container engine in the tests.

    The base image is an official Python that we support, what pip installs exists (see
    `check_pip`), what is copied is there, and the command starts and answers on the exposed
    port's address.
    """
    lines = re.sub(r"\\\n\s*", "", block.code).splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line.strip() and line[0] != "#"]
    values = {name: [text for step, text in steps if step == name] for name, _ in steps}
    version = re.fullmatch(r"python:3\.(\d+)-slim", values["FROM"][0])
    assert version
    assert 10 <= int(version[1]) <= 14
    for line in values["RUN"]:
        for command in line.split("&&"):
            words = shlex.split(command)
            if words[0] == "pip":
                check_pip([word for word in words if word != "--no-cache-dir"])
    story.use(" ".join(values["COPY"]))
    for line in values["COPY"]:
        for source in line.split()[:-1]:
            assert (story.directory / source).exists(), f"{source} is not there"
    program, *arguments = json.loads(values["CMD"][0])
    assert program == "granian"
    assert arguments[arguments.index("--port") + 1] == values["EXPOSE"][0], "EXPOSE another port"
    assert arguments[arguments.index("--host") + 1] == "0.0.0.0"
    assert values["STOPSIGNAL"] == ["SIGTERM"]
    story.granian(arguments, {})
    story.address = story.address.replace("0.0.0.0", "127.0.0.1")
    assert story.get("/").status_code == 200
    story.stop()


def kubernetes(story: Story, block: Block) -> None:
    """Hold a manifest against the application, the image, and itself.

    There is no cluster in the tests: the command is started with the container's arguments, and
    every probe is asked as the kubelet would.
    """
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    documents: list[dict[str, Any]] = list(yaml.safe_load_all(block.code))
    kinds = {document["kind"]: document for document in documents}
    assert [kinds[kind]["apiVersion"] for kind in ("Deployment", "Service")] == ["apps/v1", "v1"]
    deployment, service = kinds["Deployment"]["spec"], kinds["Service"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"].items() <= labels.items()
    assert service["selector"].items() <= labels.items()
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert service["ports"][0]["targetPort"] in ports
    arguments = container["args"]
    assert int(arguments[arguments.index("--port") + 1]) in ports.values()
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = pod["terminationGracePeriodSeconds"]
    assert grace >= pause + graceful(arguments) + 10, "the grace period is too short"
    story.granian(arguments, {})
    story.address = story.address.replace("0.0.0.0", "127.0.0.1")
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container[name]["httpGet"]
        assert probe["port"] in ports
        assert story.get(probe["path"], host="10.0.0.7").status_code == 200, name
    story.stop()


# -- Python packages and logging -----------------------------------------------------------------


def toml(story: Story, block: Block) -> None:
    """Install the metadata of a project: its entry points count for what the page runs later."""
    project = tomllib.loads(block.code)["project"]
    assert all(re.match(r"[\w-]+", line)[0] in PACKAGES for line in project["dependencies"])  # type: ignore[index]
    home = story.directory / f"{project['name'].replace('-', '_')}-0.1.dist-info"
    home.mkdir()
    (home / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1\n"
    )
    text = ""
    for group, entries in project["entry-points"].items():
        text += f"[{group}]\n" + "".join(f"{key} = {to}\n" for key, to in entries.items())
    (home / "entry_points.txt").write_text(text, encoding="utf-8")
    story.use(text)


def as_json(story: Story, block: Block) -> None:
    """Write a file that a later command reads."""
    json.loads(block.code)
    story.write(block)


CHECKS: dict[str, Callable[[Story, Block], None]] = {
    "dockerfile": dockerfile,
    "haproxy": haproxy,
    "ini": ini,
    "json": as_json,
    "nginx": nginx,
    "toml": toml,
    "yaml": kubernetes,
}

"""docs/migrating.md: what it says of the peers' options and of ours exists."""

from __future__ import annotations

import re
import shlex

import pytest

from granian_cli.command import build_command
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]")

PEERS = {  # from --help of the versions that the page names
    "uvicorn": """
--access-log --app-dir --backlog --date-header --env-file --factory --fd --forwarded-allow-ips
--h11-max-incomplete-event-size --header --host --http --http2 --interface --lifespan
--limit-concurrency --limit-max-requests --limit-max-requests-jitter --log-config --log-level
--loop --no-access-log --no-date-header --no-proxy-headers --no-server-header --no-use-colors
--port --proxy-headers --reload --reload-delay --reload-dir --reload-exclude --reload-include
--reset-contextvars --root-path --server-header --ssl-ca-certs --ssl-cert-reqs --ssl-certfile
--ssl-ciphers --ssl-keyfile --ssl-keyfile-password --ssl-version --timeout-graceful-shutdown
--timeout-keep-alive --timeout-worker-healthcheck --uds --use-colors --workers --ws
--ws-max-queue --ws-max-size --ws-per-message-deflate --ws-ping-interval --ws-ping-timeout
""",
    "gunicorn": """
--access-logfile --access-logformat --asgi-disconnect-grace-period --asgi-lifespan --asgi-loop
--backlog --bind --ca-certs --capture-output --casefold-http-method --cert-reqs --certfile
--chdir --check-config --ciphers --config --control-socket --control-socket-mode --daemon
--dirty-app --dirty-graceful-timeout --dirty-threads --dirty-timeout --dirty-workers
--disable-redirect-access-to-syslog --do-handshake-on-connect --dogstatsd-tags
--enable-backlog-metric --enable-stdio-inheritance --env --error-logfile --forwarded-allow-ips
--forwarder-headers --graceful-timeout --group --header-map --http-parser --http-protocols
--http2-cleartext --http2-initial-window-size --http2-max-concurrent-streams
--http2-max-frame-size --http2-max-header-list-size --initgroups --keep-alive --keyfile
--limit-request-field --limit-request-fields --limit-request-line --log-config --log-config-json
--log-file --log-level --log-syslog --log-syslog-facility --log-syslog-prefix --log-syslog-to
--logger-class --max-requests --max-requests-jitter --name --no-control-socket --no-sendfile
--paste --paste-global --paster --permit-obsolete-folding --permit-unconventional-http-method
--permit-unconventional-http-version --pid --preload --print-config --protocol
--proxy-allow-from --proxy-protocol --pythonpath --reload --reload-engine --reload-extra-file
--reuse-port --root-path --spew --ssl-version --statsd-host --statsd-prefix
--strip-header-spaces --suppress-ragged-eofs --threads --timeout --umask --user
--uwsgi-allow-from --websocket-max-message-size --worker-class --worker-connections
--worker-tmp-dir --workers
""",
    "hypercorn": """
--access-log --access-logfile --access-logformat --backlog --bind --ca-certs --cert-reqs
--certfile --ciphers --config --daemon --debug --error-log --error-logfile --graceful-timeout
--group --insecure-bind --keep-alive --keyfile --keyfile-password --log-config --log-file
--log-level --max-requests --max-requests-jitter --pid --quic-bind --read-timeout --reload
--root-path --server-name --statsd-host --statsd-prefix --umask --user --verify-mode
--websocket-ping-interval --worker-class --workers
""",
}


def section(peer: str) -> str:
    """Return what the page says of one peer."""
    found = re.search(rf"^## From {peer}$(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def rows(peer: str) -> list[tuple[str, str]]:
    """Return theirs and ours of each line of the table."""
    lines = re.findall(r"^\| (.+?) \| (.+?) \| .*\|$", section(peer), re.MULTILINE)
    return [line for line in lines if line[1] != "here"]


def known_options() -> set[str]:
    parameters = build_command().params
    return {name for one in parameters for name in [*one.opts, *one.secondary_opts]}


@pytest.mark.parametrize("peer", PEERS)
def test_options_of_the_peer_exist(peer: str) -> None:
    theirs = {option for row in rows(peer) for option in OPTION.findall(row[0])}
    command = re.search(rf"`{peer} (.+?)`", section(peer))
    assert command is not None
    assert len(theirs) > 20
    assert theirs | set(OPTION.findall(command[1])) <= set(PEERS[peer].split())


@pytest.mark.parametrize("peer", PEERS)
def test_our_options_exist(peer: str) -> None:
    """Those that the table names, and those that it calls the same."""
    ours = set()
    for theirs, here in rows(peer):
        ours |= set(OPTION.findall(theirs if here.startswith("the same") else here))
    assert ours - known_options() == set()


@pytest.mark.parametrize("peer", PEERS)
def test_most_options_of_the_peer_are_in_the_table(peer: str) -> None:
    theirs = {option for row in rows(peer) for option in OPTION.findall(row[0])}
    assert len(theirs) >= 0.4 * len(PEERS[peer].split())


def test_the_versions_are_named() -> None:
    for peer in PEERS:
        assert re.search(rf"{peer} \d+\.\d+\.\d+", PAGE)


def test_commands_of_the_page_are_ours() -> None:
    commands = re.findall(r"^\$ granian (.+)$", PAGE, re.MULTILINE)
    assert len(commands) == len(PEERS) + 1
    for command in commands:
        assert {word for word in shlex.split(command) if word[:2] == "--"} <= known_options()

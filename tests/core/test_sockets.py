"""Binding: what a host stands for, and one clear line when it fails."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from granian_core import sockets
from granian_core.errors import BindError, ConfigurationError
from granian_core.sockets import (
    bind_tcp,
    bind_unix,
    format_address,
    listen,
    local_address,
    to_address,
    unlink_unix,
)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no unix sockets here")


@pytest.fixture
def opened() -> Iterator[list[socket.socket]]:
    """Close at the end whatever a test puts here."""
    found: list[socket.socket] = []
    yield found
    for sock in found:
        sock.close()


def bound_hosts(found: list[socket.socket]) -> list[str]:
    return [local_address(sock)[0] for sock in found]


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        pytest.param(["127.0.0.1"], ["127.0.0.1"], id="v4"),
        pytest.param(["0.0.0.0"], ["0.0.0.0"], id="v4-any"),
        pytest.param(["127.0.0.1", "127.0.0.1"], ["127.0.0.1"], id="repeated"),
        pytest.param(["localhost"], ["127.0.0.1", "::1"], id="localhost", marks=needs_ipv6),
        pytest.param(["LOCALHOST."], ["127.0.0.1", "::1"], id="any-case", marks=needs_ipv6),
        pytest.param(["::1"], ["::1"], id="v6", marks=needs_ipv6),
        pytest.param(["[::1]"], ["::1"], id="v6-brackets", marks=needs_ipv6),
        pytest.param(["::"], ["::", "0.0.0.0"], id="v6-any-is-every-address", marks=needs_ipv6),
        pytest.param(["0.0.0.0", "::"], ["0.0.0.0", "::"], id="both-any", marks=needs_ipv6),
        pytest.param(["::1", "localhost"], ["::1", "127.0.0.1"], id="overlap", marks=needs_ipv6),
    ],
)
def test_hosts_bind_what_a_user_means(
    hosts: list[str], expected: list[str], opened: list[socket.socket]
) -> None:
    """Each host binds its addresses once, all on the one port that the kernel chose."""
    opened += bind_tcp(hosts, 0)

    assert bound_hosts(opened) == expected
    ports = {local_address(sock)[1] for sock in opened}
    assert len(ports) == 1
    assert ports != {0}


def test_sockets_are_private_and_do_not_listen(opened: list[socket.socket]) -> None:
    """A bound socket is not inherited, not listening, and does not share its port."""
    opened += bind_tcp(["127.0.0.1"], 0)
    sock = opened[0]

    assert not sock.get_inheritable()
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    with socket.socket() as client:
        assert client.connect_ex(sock.getsockname()) == errno.ECONNREFUSED


@needs_ipv6
def test_ipv6_sockets_take_no_ipv4_clients(opened: list[socket.socket]) -> None:
    """An IPv6 socket is v6only, so the same port is free on IPv4."""
    opened += bind_tcp(["::1"], 0)
    assert opened[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)

    opened += bind_tcp(["127.0.0.1"], local_address(opened[0])[1] or 0)
    assert bound_hosts(opened) == ["::1", "127.0.0.1"]


def test_localhost_without_ipv6_is_ipv4_alone(
    monkeypatch: pytest.MonkeyPatch, opened: list[socket.socket]
) -> None:
    """Addresses that a machine lacks are left out as long as one is there."""
    real = sockets._bind_one

    def without_ipv6(candidate: sockets._Candidate, port: int) -> socket.socket:
        if candidate.family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported")
        return real(candidate, port)

    monkeypatch.setattr(sockets, "_bind_one", without_ipv6)
    opened += bind_tcp(["localhost", "::"], 0)
    assert bound_hosts(opened) == ["127.0.0.1", "0.0.0.0"]
    with pytest.raises(BindError, match=r"cannot bind \[::1\]:0: .* not support this kind"):
        bind_tcp(["::1"], 0)


def test_port_zero_is_tried_again_when_taken_elsewhere(
    monkeypatch: pytest.MonkeyPatch, opened: list[socket.socket]
) -> None:
    """When the chosen port is taken on the second address, another one is chosen."""
    real = sockets._bind_one
    attempts: list[tuple[str, int]] = []

    def busy_once(candidate: sockets._Candidate, port: int) -> socket.socket:
        attempts.append((candidate.host, port))
        if len(attempts) == 2:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return real(candidate, port)

    monkeypatch.setattr(sockets, "_bind_one", busy_once)
    opened += bind_tcp(["127.0.0.1", "127.0.0.2"], 0)

    port = local_address(opened[0])[1]
    assert attempts[2:] == [("127.0.0.1", 0), ("127.0.0.2", port)]
    assert len(opened) == 2


def test_busy_port_names_the_address_and_leaves_nothing_open(
    opened: list[socket.socket],
) -> None:
    """A port in use is an error; sockets bound before it are closed again."""
    opened += bind_tcp(["127.0.0.2"], 0)
    opened[0].listen()
    port = local_address(opened[0])[1] or 0

    with pytest.raises(BindError, match=rf"^cannot bind 127.0.0.2:{port}: the address is in use"):
        bind_tcp(["127.0.0.1", "127.0.0.2"], port)
    opened += bind_tcp(["127.0.0.1"], port)
    assert bound_hosts(opened) == ["127.0.0.2", "127.0.0.1"]


def test_a_server_that_listens_first_wins(opened: list[socket.socket]) -> None:
    """Of two sockets bound to one port, the second to listen learns that it lost."""
    opened += bind_tcp(["127.0.0.1"], 0)
    port = local_address(opened[0])[1] or 0
    opened += bind_tcp(["127.0.0.1"], port)  # Linux allows it until one of them listens

    listen(opened[0], 16)
    with pytest.raises(BindError, match=rf"^cannot listen on 127.0.0.1:{port}: the address is in"):
        listen(opened[1], 16)


def test_privileged_port_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """EACCES is about the port; the message names both ways out."""

    def refuse(candidate: sockets._Candidate, port: int) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(sockets, "_bind_one", refuse)
    with pytest.raises(BindError, match=r"127.0.0.1:80: permission denied; .*--port.*CAP_NET"):
        bind_tcp(["127.0.0.1"], 80)


@pytest.mark.parametrize(
    ("host", "message"),
    [
        pytest.param("192.0.2.1", r"192\.0\.2\.1:0: this machine has no such", id="not-ours"),
        pytest.param("a" * 80, "unknown host", id="not-a-label"),
        pytest.param("127.0.0.1\0evil", "not a host", id="nul"),
        pytest.param("", "''", id="empty"),
        pytest.param("[]", "not a host", id="empty-brackets"),
    ],
)
def test_bad_host_is_named(host: str, message: str) -> None:
    """What can not be bound is an error that names the host."""
    with pytest.raises(BindError, match=message) as caught:
        bind_tcp([host], 0)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_unknown_host_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the resolver says is in the message."""

    def refuse(*args: object, **kwargs: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(BindError, match=r"app\.internal:80: unknown host \(Name or service not"):
        bind_tcp(["app.internal"], 80)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_port_out_of_range_is_a_configuration_error(port: int) -> None:
    """The option is named before any socket is made."""
    with pytest.raises(ConfigurationError, match=f"--port={port}: use 0 to 65535"):
        bind_tcp(["127.0.0.1"], port)


def test_no_host_is_a_configuration_error() -> None:
    """At least one host is needed."""
    with pytest.raises(ConfigurationError, match="--host: name at least one"):
        bind_tcp([], 0)


# -- unix sockets ----------------------------------------------------------------


@needs_unix
def test_unix_socket_has_the_asked_permissions(tmp_path: Path, opened: list[socket.socket]) -> None:
    """The mode is set after the bind; without one the umask decides."""
    opened.append(bind_unix(tmp_path / "a", 0o620))
    before = os.umask(0o027)
    try:
        opened.append(bind_unix(tmp_path / "b"))
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o620
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o750
    assert local_address(opened[0]) == (str(tmp_path / "a"), None)
    assert not opened[0].get_inheritable()


@needs_unix
def test_relative_path_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[socket.socket]
) -> None:
    """A worker that changes directory still names the same file."""
    monkeypatch.chdir(tmp_path)
    opened.append(bind_unix("sock"))
    assert local_address(opened[0]) == (str(tmp_path / "sock"), None)


@needs_unix
def test_stale_socket_is_replaced(tmp_path: Path, opened: list[socket.socket]) -> None:
    """A file that a crashed server left behind does not stop the next one."""
    path = tmp_path / "sock"
    bind_unix(path).close()
    assert path.is_socket()

    opened.append(bind_unix(path))
    opened[0].listen()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


@needs_unix
@pytest.mark.parametrize("backlog_full", [False, True])
def test_live_socket_is_left_alone(
    tmp_path: Path, opened: list[socket.socket], *, backlog_full: bool
) -> None:
    """A server that answers, or is only too busy to, keeps its socket."""
    path = tmp_path / "sock"
    opened.append(bind_unix(path))
    opened[0].listen(0)
    if backlog_full:
        for _ in range(8):
            client = socket.socket(socket.AF_UNIX)
            opened.append(client)
            client.setblocking(False)
            if client.connect_ex(str(path)):
                break
        else:
            pytest.fail("the backlog never filled")
    inode = path.stat().st_ino

    with pytest.raises(BindError, match=f"^cannot bind unix:{path}: another server listens"):
        bind_unix(path)
    assert path.stat().st_ino == inode


@needs_unix
def test_other_files_are_left_alone(tmp_path: Path, opened: list[socket.socket]) -> None:
    """A regular file, a directory, a link to a socket: nothing of that is removed."""
    file = tmp_path / "file"
    file.write_text("precious")
    link = tmp_path / "link"
    opened.append(bind_unix(tmp_path / "sock"))
    link.symlink_to(tmp_path / "sock")

    for path in (file, tmp_path, link):
        with pytest.raises(BindError, match=f"unix:{path}: a file that is not a socket"):
            bind_unix(path)
    assert file.read_text() == "precious"
    assert link.is_symlink()


@needs_unix
def test_datagram_socket_is_left_alone(tmp_path: Path, opened: list[socket.socket]) -> None:
    """A socket of another type can not be tested, so it stays."""
    path = tmp_path / "sock"
    opened.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    opened[0].bind(str(path))
    with pytest.raises(BindError, match=r"a socket is in the way \(.*wrong type"):
        bind_unix(path)
    assert path.is_socket()


@needs_unix
@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("missing/sock", "its directory does not exist", id="no-directory"),
        pytest.param("file/sock", "its directory is not a directory", id="under-a-file"),
        pytest.param("x" * 200, "too long; choose a shorter --uds", id="too-long"),
        pytest.param("a\0b", "null", id="nul"),
    ],
)
def test_bad_path_is_named(tmp_path: Path, name: str, message: str) -> None:
    """A path that can not be bound gives one line with the reason."""
    (tmp_path / "file").touch()
    with pytest.raises(BindError, match=f"cannot bind unix:.*{message}"):
        bind_unix(f"{tmp_path}/{name}")


@needs_unix
def test_permissions_out_of_range_are_a_configuration_error(tmp_path: Path) -> None:
    """Only mode bits are permissions."""
    with pytest.raises(ConfigurationError, match="--uds-permissions=0o1000: use 0 to 0o777"):
        bind_unix(tmp_path / "sock", 0o1000)
    assert not (tmp_path / "sock").exists()


@needs_unix
def test_unlink_removes_our_file_but_not_a_successor(
    tmp_path: Path, opened: list[socket.socket]
) -> None:
    """At the end the file goes, unless another server has taken over the path."""
    path = tmp_path / "sock"
    bind_unix(path).close()
    assert unlink_unix(path)
    assert not path.exists()
    assert unlink_unix(path)

    opened.append(bind_unix(path))
    opened[0].listen()
    assert not unlink_unix(path)
    assert path.is_socket()


# -- addresses -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "address", "text"),
    [
        pytest.param(("127.0.0.1", 80), ("127.0.0.1", 80), "127.0.0.1:80", id="v4"),
        pytest.param(("::1", 80, 0, 0), ("::1", 80), "[::1]:80", id="v6"),
        pytest.param("/run/a", ("/run/a", None), "unix:/run/a", id="unix"),
        pytest.param(b"\0a", ("\0a", None), "unix:\0a", id="abstract"),
    ],
)
def test_addresses_are_written_as_people_write_them(
    name: object, address: tuple[str, int | None], text: str
) -> None:
    """A socket's name becomes a pair, and the pair a text."""
    assert to_address(name) == address
    assert format_address(address) == text


def test_copies_of_a_listening_socket_never_block() -> None:
    """`dup` restores what the object has, for all copies: also for one that is accepting."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        listen(sock, 128)
        with sock.dup():
            assert sock.getblocking() is False
            assert os.get_blocking(sock.fileno()) is False

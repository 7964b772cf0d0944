"""Who the client really is, behind proxies that are trusted to say so.

A proxy names the client it serves in ``X-Forwarded-For`` and ``X-Forwarded-Proto``, or in
``Forwarded`` (RFC 7239). Anybody can send these fields, so the rules are:

- Only the fields of a trusted peer count; those of any other are removed.
- One family counts, the one that was chosen: a proxy that sets one of them passes on what
  its client sent of the other, which is removed too.
- Each hop appends to the right. The client is the rightmost hop that is not trusted
  itself; what stands left of it was written by somebody whom nobody vouches for.
- A ``Forwarded`` that breaks the grammar names nobody: the client is ``unknown``, for to
  take the proxy for the client could mean to trust it.

Plain functions over field lists, without I/O: the adapters apply what they find.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from granian_core.errors import ConfigurationError

Family: TypeAlias = Literal["x-forwarded", "forwarded"]
"""The fields that proxies use: ``X-Forwarded-*``, or ``Forwarded``."""

_Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
_Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"
_Element: TypeAlias = "dict[str, str]"

EVERYBODY = "*"
UNIX = "unix"
"""What trusts peers without an address: those of a unix socket."""
UNKNOWN = "unknown"
"""RFC 7239 section 6.2: the identity of the client is not known."""

_MAX_VERDICTS = 1024
"""Most hosts whose verdict is remembered; then it starts afresh."""
_SCHEMES = frozenset({"http", "https", "ws", "wss"})
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+/?")
# Nothing in it can match the same text in two ways, so that its time is linear.
_PAIR = re.compile(
    r"[ \t]*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)="
    r'([!#$%&\'*+.^_`|~0-9A-Za-z:\[\]-]+|"(?:[^"\\]|\\.)*")[ \t]*)?([;,]|\Z)'
)
"""One pair of ``Forwarded``, perhaps none, and what ends it. Unquoted ports are let pass."""
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)|(_[A-Za-z0-9._-]+|unknown))(?::(.*))?")


class TrustedHosts:
    """The peers that are believed.

    Args:
        hosts: Addresses, networks (``10.0.0.0/8``), ``unix`` for the peers of unix sockets,
            or ``*`` for everybody; separated by commas, or as a list. Anything else is
            compared as it is with hops that are no addresses.

    Raises:
        ConfigurationError: It is neither text nor a list of text.
    """

    __slots__ = ("_addresses", "_literals", "_networks", "_verdicts", "everybody")

    def __init__(self, hosts: str | Sequence[str] = "127.0.0.1") -> None:
        items = hosts.split(",") if isinstance(hosts, str) else list(hosts)
        if not all(isinstance(item, str) for item in items):
            raise ConfigurationError("trusted_hosts", repr(hosts), "use addresses as text")
        names = [item.strip() for item in items]
        self.everybody = names == [EVERYBODY]
        """Whether every peer is believed."""
        self._addresses: set[_Address] = set()
        self._networks: list[_Network] = []
        self._literals: set[str] = set()
        self._verdicts: dict[str, bool] = {}
        for name in filter(None, names):
            self._add(name)

    def _add(self, name: str) -> None:
        try:
            if "/" in name:
                self._networks.append(ipaddress.ip_network(name, strict=False))
            else:
                self._addresses.add(_address(name))
        except ValueError:
            self._literals.add(name)

    def __contains__(self, host: str | None) -> bool:
        """Whether *host* is believed; None and the empty text are the peer of a unix socket."""
        if self.everybody:
            return True
        if not host:
            return UNIX in self._literals
        verdict = self._verdicts.get(host)
        if verdict is None:
            if len(self._verdicts) >= _MAX_VERDICTS:
                self._verdicts.clear()
            self._verdicts[host] = verdict = self._judge(host)
        return verdict

    def _judge(self, host: str) -> bool:
        try:
            address = _address(host)
        except ValueError:
            return host in self._literals and host != UNIX
        return address in self._addresses or any(address in net for net in self._networks)


def _address(text: str) -> _Address:
    """Return an address; that of IPv4 in its own form, however a socket for both shows it."""
    address = ipaddress.ip_address(text)
    if address.version == 6 and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What is known of a request beyond its connection. None is: as the connection says."""

    trusted: bool
    """Whether the peer is believed."""
    client: str | None = None
    """The client's address, or whatever its proxy calls it."""
    port: int = 0
    """The client's port, 0 if nobody told."""
    scheme: str | None = None
    """``http``, ``https``, ``ws`` or ``wss``."""
    host: str | None = None
    """What ``Host`` was, with its port if that is not the scheme's own."""
    server: tuple[str, int] | None = None
    """Name and port that the client has asked for."""
    prefix: str | None = None
    """Path that the proxy removed, without a slash at its end."""


_NOTHING = Forwarded(trusted=True)
_UNTRUSTED = Forwarded(trusted=False)


class ProxyHeaders:
    """Reads forwarding fields, as far as they are to be believed.

    Args:
        trusted_hosts: As for `TrustedHosts`.
        family: The fields that the proxies in front set.
        host: Whether ``X-Forwarded-Host``, or ``host`` of ``Forwarded``, replaces Host.
        port: Whether ``X-Forwarded-Port`` replaces the port.
        prefix: Whether ``X-Forwarded-Prefix`` is the path that a proxy removed.

    Raises:
        ConfigurationError: The family is unknown, or has no such field.
    """

    __slots__ = ("_family", "_host", "_port", "_prefix", "hosts")

    def __init__(
        self,
        trusted_hosts: str | Sequence[str] = "127.0.0.1",
        *,
        family: Family = "x-forwarded",
        host: bool = False,
        port: bool = False,
        prefix: bool = False,
    ) -> None:
        if family not in ("x-forwarded", "forwarded"):
            raise ConfigurationError("family", family, "use x-forwarded or forwarded")
        if family == "forwarded" and (port or prefix):
            raise ConfigurationError("family", family, "it tells neither port nor prefix")
        self.hosts = TrustedHosts(trusted_hosts)
        self._family = family
        self._host = host
        self._port = port
        self._prefix = prefix

    def read(
        self, peer: str | None, scheme: str, fields: Iterable[tuple[bytes, bytes]]
    ) -> Forwarded:
        """Return what *fields* tell of a request.

        Args:
            peer: The connection's address; None or empty on a unix socket.
            scheme: The connection's, for default ports.
            fields: The request's fields, names in lower case.
        """
        if peer not in self.hosts:
            return _UNTRUSTED
        found: dict[str, list[str]] = {}
        for name, value in fields:
            if name.startswith(b"x-forwarded-") or name == b"forwarded" or name == b"host":
                found.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        if self._family == "forwarded":
            return self._read_forwarded(found, scheme)
        return self._read_x_forwarded(found, scheme)

    def drops(self, name: bytes, *, trusted: bool) -> bool:
        """Whether a field must not reach the application.

        Args:
            name: In lower case.
            trusted: Of the `Forwarded` of this request.
        """
        if b"_" in name:  # what WSGI's names, and some frameworks', do not tell apart
            name = name.replace(b"_", b"-")
        if name == b"forwarded":
            return not trusted or self._family != "forwarded"
        if name.startswith(b"x-forwarded-"):
            return not trusted or self._family != "x-forwarded"
        return name == b"x-real-ip" and not trusted

    # -- X-Forwarded-* ------------------------------------------------------------------

    def _read_x_forwarded(self, found: dict[str, list[str]], scheme: str) -> Forwarded:
        hops = [hop.strip() for hop in ",".join(_lines(found, "for")).split(",")]
        client = self._first_untrusted(hops)
        if not client:
            return _NOTHING
        proto = next(iter(_lines(found, "proto")), None)
        forwarded_scheme = proto if proto in _SCHEMES else None
        host = _last(found, "host") if self._host else None
        port = _last(found, "port") if self._port else None
        name, server = _authority(host, port, _host(found), forwarded_scheme or scheme)
        prefix = _last(found, "prefix") if self._prefix else None
        if prefix is not None:
            prefix = prefix.rstrip("/") if _PREFIX.fullmatch(prefix) else None
        return Forwarded(True, client, 0, forwarded_scheme, name, server, prefix)

    def _first_untrusted(self, hops: list[str]) -> str:
        if not self.hosts.everybody:
            for hop in reversed(hops):
                if not hop or hop not in self.hosts:
                    return hop
        return hops[0]

    # -- Forwarded (RFC 7239) -----------------------------------------------------------

    def _read_forwarded(self, found: dict[str, list[str]], scheme: str) -> Forwarded:
        lines = found.get("forwarded")
        if lines is None:
            return _NOTHING
        elements: list[_Element] = []
        for line in lines:
            parsed = parse_forwarded(line)
            if parsed is None:
                return Forwarded(True, UNKNOWN)
            elements += parsed
        if not elements:
            return _NOTHING
        return self._describe(self._last_hop(elements), found, scheme)

    def _last_hop(self, elements: list[_Element]) -> _Element:
        """Return what the outermost trusted proxy has written."""
        if not self.hosts.everybody:
            for element in reversed(elements):
                node = _node(element.get("for", ""))
                if node is None or node[0] not in self.hosts:
                    return element
        return elements[0]

    def _describe(self, element: _Element, found: dict[str, list[str]], scheme: str) -> Forwarded:
        text = element.get("for")
        client, port = (None, 0) if text is None else _node(text) or (UNKNOWN, 0)
        proto = element.get("proto", "").lower()
        forwarded_scheme = proto if proto in _SCHEMES else None
        host = element.get("host") if self._host else None
        name, server = _authority(host, None, _host(found), forwarded_scheme or scheme)
        return Forwarded(True, client, port, forwarded_scheme, name, server)


def parse_forwarded(line: str) -> list[_Element] | None:
    """Return the elements of one ``Forwarded`` line, or None if it breaks the grammar.

    Each element maps names in lower case to values without quotes.

    Spec: RFC 7239 section 4; spaces around ``;`` are let pass.
    """
    elements: list[_Element] = [{}]
    position = 0
    while position < len(line):
        match = _PAIR.match(line, position)
        if match is None:
            return None
        name, value, end = match.groups()
        if name is not None and not _put(elements[-1], name.lower(), value):
            return None
        if end == ",":
            elements.append({})
        position = match.end()
    return [element for element in elements if element]


def _put(element: _Element, name: str, value: str) -> bool:
    """Add a pair; False if it is there already."""
    if name in element:
        return False
    element[name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value
    return True


def _node(text: str) -> tuple[str, int] | None:
    """Return host and port of a node (RFC 7239 section 6), or None if it is none."""
    match = _NODE.fullmatch(text)
    if match is None:
        return None
    v6, v4, name, port = match.groups()
    if name is None:
        try:
            host = str(ipaddress.ip_address(v6 if v6 is not None else v4))
        except ValueError:
            return None
    else:
        host = name
    return host, _port(port) or 0


def _port(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= 5):
        return None
    return int(text) if 0 < int(text) <= 65_535 else None


def _lines(found: dict[str, list[str]], name: str) -> list[str]:
    """Return the lines of a field of the family that are not empty."""
    return [line for text in found.get(f"x-forwarded-{name}", ()) if (line := text.strip(" \t"))]


def _last(found: dict[str, list[str]], name: str) -> str | None:
    """Return what the nearest proxy has written: the last item of the last line."""
    lines = found.get(f"x-forwarded-{name}")
    return lines[-1].rpartition(",")[2].strip(" \t") if lines else None


def _host(found: dict[str, list[str]]) -> str | None:
    lines = found.get("host")
    return lines[-1] if lines else None


def _authority(
    host: str | None, port: str | None, current: str | None, scheme: str
) -> tuple[str | None, tuple[str, int] | None]:
    """Return the Host to show, and the name and port of the server; None for no change."""
    number = _port(port)
    match = _HOST.fullmatch(host) if host is not None else None
    if match is None:
        if number is None or current is None:
            return None, None
        match = _HOST.fullmatch(current)
        if match is None:
            return None, None
    name = match[1]
    default = _DEFAULT_PORTS.get(scheme, 80)
    if number is None:
        number = _port(match[2]) or default
    shown = name if number == default else f"{name}:{number}"
    return shown, (name.strip("[]"), number)

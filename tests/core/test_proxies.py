"""Forwarding fields: who is believed, and what is made of what proxies and attackers write."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granian_core import ConfigurationError, Forwarded, ProxyHeaders, TrustedHosts
from granian_core.proxies import parse_forwarded

PEER = "127.0.0.1"


def fields(**lines: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), text.encode()) for name, text in lines.items()]


def read(trusted: str | list[str] = PEER, /, peer: str | None = PEER, **lines: str) -> Forwarded:
    return ProxyHeaders(trusted).read(peer, "http", fields(**lines))


def rfc(line: str, trusted: str = PEER, **options: bool) -> Forwarded:
    reader = ProxyHeaders(trusted, family="forwarded", **options)  # type: ignore[arg-type]
    return reader.read(PEER, "http", fields(forwarded=line, x_forwarded_for="6.6.6.6"))


@pytest.mark.parametrize(
    ("hosts", "host", "believed"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1, 10.0.0.0/8", "10.1.2.3", True),
        (["127.0.0.1", "10.0.0.0/8"], "11.1.2.3", False),
        ("10.0.0.1/8", "10.9.9.9", True),
        ("::1", "::1", True),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("2001:db8::/32", "2001:db8::7", True),
        ("2001:db8::/32", "10.0.0.1", False),
        ("*", "anything", True),
        ("*", None, True),
        (["*"], "", True),
        ("*, 10.0.0.1", "anything", False),
        ("proxy.local", "proxy.local", True),
        ("127.0.0.1", None, False),
        ("127.0.0.1", "", False),
        ("unix", None, True),
        ("unix", "", True),
        ("unix", "unix", False),
        ("", "", False),
        ([], "127.0.0.1", False),
    ],
)
def test_trusted_hosts(hosts: str | list[str], host: str | None, believed: bool) -> None:
    trusted = TrustedHosts(hosts)
    assert (host in trusted) is believed
    assert (host in trusted) is believed  # the remembered verdict


def test_trusted_hosts_are_text() -> None:
    with pytest.raises(ConfigurationError, match="use addresses as text"):
        TrustedHosts([ipaddress.ip_address("127.0.0.1")])  # type: ignore[list-item]


def test_many_hosts_do_not_fill_the_memory() -> None:
    trusted = TrustedHosts("10.0.0.0/8")
    for number in range(5000):
        assert f"10.0.{number >> 8}.{number & 255}" in trusted
    assert len(trusted._verdicts) <= 1024


@pytest.mark.parametrize(
    ("trusted", "line", "client"),
    [
        (PEER, "1.2.3.4", "1.2.3.4"),
        (PEER, "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (PEER, "1.2.3.4, 127.0.0.1", "1.2.3.4"),
        ("127.0.0.1,10.0.0.0/8", "6.6.6.6, 1.2.3.4, 10.0.0.9", "1.2.3.4"),
        (PEER, "127.0.0.1, 127.0.0.1", "127.0.0.1"),
        ("*", "6.6.6.6, 1.2.3.4", "6.6.6.6"),
        (PEER, " 1.2.3.4 ", "1.2.3.4"),
        (PEER, "::5", "::5"),
        (PEER, "1.2.3.4:5678", "1.2.3.4:5678"),
        (PEER, "unknown", "unknown"),
        (PEER, "", None),
        (PEER, "1.2.3.4,", None),
        (PEER, ",", None),
    ],
)
def test_x_forwarded_for(trusted: str, line: str, client: str | None) -> None:
    assert read(trusted, x_forwarded_for=line).client == client


def test_x_forwarded_for_in_several_lines() -> None:
    lines = [(b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b""), (b"host", b"x")]
    lines += [(b"x-forwarded-for", b"1.2.3.4")]
    assert ProxyHeaders().read(PEER, "http", lines).client == "1.2.3.4"


@pytest.mark.parametrize(
    ("line", "scheme"),
    [
        ("https", "https"),
        ("http", "http"),
        ("wss", "wss"),
        (" https ", "https"),
        ("HTTPS", None),
        ("https, http", None),
        ("gopher", None),
        ("", None),
    ],
)
def test_x_forwarded_proto(line: str, scheme: str | None) -> None:
    assert read(x_forwarded_for="1.2.3.4", x_forwarded_proto=line).scheme == scheme


def test_x_forwarded_proto_alone_counts_for_nothing() -> None:
    assert read(x_forwarded_proto="https").scheme is None


def test_spoofed_fields_count_for_nothing() -> None:
    spoofed = read(peer="6.6.6.6", x_forwarded_for="127.0.0.1", x_forwarded_proto="https")
    assert spoofed == Forwarded(trusted=False)


@pytest.mark.parametrize(
    ("name", "untrusted", "x_forwarded", "forwarded"),
    [
        (b"x-forwarded-for", True, False, True),
        (b"x-forwarded-host", True, False, True),
        (b"x_forwarded_for", True, False, True),
        (b"forwarded", True, True, False),
        (b"x-real-ip", True, False, False),
        (b"host", False, False, False),
        (b"x-forwarded", False, False, False),
    ],
)
def test_dropped_fields(name: bytes, untrusted: bool, x_forwarded: bool, forwarded: bool) -> None:
    """From a peer that is not trusted; from a trusted one, by family."""
    reader, rfc_reader = ProxyHeaders(), ProxyHeaders(family="forwarded")
    assert reader.drops(name, trusted=False) is untrusted
    assert rfc_reader.drops(name, trusted=False) is untrusted
    assert reader.drops(name, trusted=True) is x_forwarded
    assert rfc_reader.drops(name, trusted=True) is forwarded


def test_the_rest_is_asked_for() -> None:
    lines = {
        "x_forwarded_for": "1.2.3.4",
        "x_forwarded_proto": "https",
        "x_forwarded_host": "evil.example, example.org",
        "x_forwarded_port": "8443",
        "x_forwarded_prefix": "/api/",
        "host": "internal:8000",
    }
    silent = read(PEER, **lines)
    assert (silent.host, silent.server, silent.prefix) == (None, None, None)
    told = ProxyHeaders(host=True, port=True, prefix=True).read(PEER, "http", fields(**lines))
    assert told.host == "example.org:8443"
    assert told.server == ("example.org", 8443)
    assert told.prefix == "/api"


@pytest.mark.parametrize(
    ("lines", "host", "server"),
    [
        ({"x_forwarded_host": "a.example"}, "a.example", ("a.example", 80)),
        ({"x_forwarded_host": "a.example:80"}, "a.example", ("a.example", 80)),
        ({"x_forwarded_host": "a.example:81"}, "a.example:81", ("a.example", 81)),
        ({"x_forwarded_host": "[::1]:81"}, "[::1]:81", ("::1", 81)),
        ({"x_forwarded_host": "a b"}, None, None),
        ({"x_forwarded_host": "a/b"}, None, None),
        ({"x_forwarded_host": ""}, None, None),
        ({"x_forwarded_port": "81", "host": "in:9"}, "in:81", ("in", 81)),
        ({"x_forwarded_port": "80", "host": "in:9"}, "in", ("in", 80)),
        ({"x_forwarded_port": "0", "host": "in:9"}, None, None),
        ({"x_forwarded_port": "99999", "host": "in:9"}, None, None),
        ({"x_forwarded_port": "8l", "host": "in:9"}, None, None),
        ({"x_forwarded_port": "81"}, None, None),
        ({"x_forwarded_port": "81", "host": "a b"}, None, None),
    ],
)
def test_host_and_port(
    lines: dict[str, str], host: str | None, server: tuple[str, int] | None
) -> None:
    reader = ProxyHeaders(host=True, port=True)
    found = reader.read(PEER, "http", fields(x_forwarded_for="1.2.3.4", **lines))
    assert (found.host, found.server) == (host, server)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("/api", "/api"),
        ("/a/b/", "/a/b"),
        ("api", None),
        ("//evil", None),
        ("/", None),
        ("/ ", None),
    ],
)
def test_prefix(text: str, prefix: str | None) -> None:
    reader = ProxyHeaders(prefix=True)
    lines = fields(x_forwarded_for="1.2.3.4", x_forwarded_prefix=text)
    assert reader.read(PEER, "http", lines).prefix == prefix


@pytest.mark.parametrize(
    ("line", "client", "port", "scheme"),
    [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60", 0, "http"),
        ('For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17", 4711, None),
        ('for="192.0.2.1:80"; proto=HTTPS', "192.0.2.1", 80, "https"),
        ("for=192.0.2.1:80", "192.0.2.1", 80, None),
        ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17", 0, None),
        ("for=6.6.6.6;proto=https, for=192.0.2.1;proto=http", "192.0.2.1", 0, "http"),
        ("for=192.0.2.1;proto=https, for=127.0.0.1;proto=http", "192.0.2.1", 0, "https"),
        ("for=127.0.0.1, for=127.0.0.1", "127.0.0.1", 0, None),
        ("for=_hidden, for=_SEVKISEK", "_SEVKISEK", 0, None),
        ("for=6.6.6.6, for=unknown", "unknown", 0, None),
        ("for=6.6.6.6, proto=https", None, 0, "https"),
        ("for=6.6.6.6, for=1.2.3", "unknown", 0, None),
        ('for="\\1.2.3.4"', "1.2.3.4", 0, None),
        ('for="6.6.6.6, for=1.2.3.4', "unknown", 0, None),
        ("for=1.2.3.4;for=6.6.6.6", "unknown", 0, None),
        ("for=1.2.3.4 for=6.6.6.6", "unknown", 0, None),
        ("nonsense", "unknown", 0, None),
        (",, for=1.2.3.4 , ;", "1.2.3.4", 0, None),
        ("", None, 0, None),
    ],
)
def test_forwarded(line: str, client: str | None, port: int, scheme: str | None) -> None:
    found = rfc(line)
    assert (found.client, found.port, found.scheme) == (client, port, scheme)


def test_forwarded_host_is_asked_for() -> None:
    line = 'for=1.2.3.4;host="a.example:81";proto=https'
    assert rfc(line).host is None
    assert rfc(line, host=True).server == ("a.example", 81)
    assert rfc(line, "*").client == "1.2.3.4"


def test_nothing_forwarded_changes_nothing() -> None:
    reader = ProxyHeaders(family="forwarded")
    assert reader.read(PEER, "http", fields(x_forwarded_for="6.6.6.6")).client is None
    assert read(forwarded="for=6.6.6.6").client is None


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"family": "x-real-ip"}, "use x-forwarded or forwarded"),
        ({"family": "forwarded", "prefix": True}, "neither port nor prefix"),
        ({"family": "forwarded", "port": True}, "neither port nor prefix"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        ProxyHeaders(**options)  # type: ignore[arg-type]


SPICE = st.text(alphabet='for=proto;,"\\[]:_ \t127.0.0.16unkwstp/\x80ÿ-', max_size=60)


@given(st.lists(SPICE, max_size=4), st.booleans(), st.booleans())
def test_no_text_breaks_the_reading(lines: list[str], rfc_family: bool, everybody: bool) -> None:
    """What comes out is text without a line end, or nothing; a trusted hop is never skipped to."""
    reader = ProxyHeaders(
        "*" if everybody else PEER,
        family="forwarded" if rfc_family else "x-forwarded",
        host=True,
    )
    names = ("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "host")
    given_fields = [(name.encode(), line.encode("latin-1")) for line in lines for name in names]
    found = reader.read(PEER, "http", given_fields)
    assert found.trusted
    assert found.client != ""
    assert found.scheme in (None, "http", "https", "ws", "wss")
    assert 0 <= found.port <= 65_535
    assert found.host is None or not set(found.host) & set(' ,;"/\\')


@given(SPICE)
def test_what_stands_left_of_the_proxy_does_not_matter(spice: str) -> None:
    """Whatever a client sends, the hop that its proxy appends is found."""
    assert read(x_forwarded_for=f"{spice},1.2.3.4").client == "1.2.3.4"
    line = f"{spice}, for=1.2.3.4;proto=https"
    found = rfc(line)
    if parse_forwarded(line) is None:
        assert found.client == "unknown"
    else:
        assert (found.client, found.scheme) == ("1.2.3.4", "https")


NAMES = st.text(alphabet="abcxyz-", min_size=1, max_size=6)
VALUES = st.text(alphabet='abc1.:[]_ ,;="\\', max_size=12)


@given(st.lists(st.dictionaries(NAMES, VALUES, min_size=1, max_size=3), min_size=1, max_size=4))
def test_what_is_written_by_the_grammar_is_read(elements: list[dict[str, str]]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    line = ", ".join(
        ";".join(f"{name}={quoted(value)}" for name, value in element.items())
        for element in elements
    )
    assert parse_forwarded(line) == elements


@pytest.mark.parametrize(
    "piece", [" ", "\t", ",", ";", '"', "\\", "for=", 'a="\\', "a=b,", "[", "1.2.3.4,"]
)
def test_long_lines_are_read_to_their_end(piece: str) -> None:
    """64 KiB, the most that a head may have: quadratic time would be minutes."""
    line = (piece * 65_536)[:65_536] + "\x80"
    assert rfc(line).client == "unknown"
    assert read(x_forwarded_for=line).client not in (None, PEER)

"""The scope: every attribute, and that it is read-only."""

from __future__ import annotations

from typing import cast

import pytest

from granian_core import Address, HTTPStream
from granian_rsgi import HTTPScope, Scope


def make_scope(
    *,
    http_version: str = "1.1",
    authority: bytes | None = None,
    client: Address | None = ("192.0.2.1", 5000),
    server: Address | None = ("127.0.0.1", 8000),
) -> HTTPScope:
    stream = HTTPStream(
        carrier=cast("object", None),  # type: ignore[arg-type]
        http_version=http_version,
        method="pOsT",
        scheme="https",
        path="/\N{REPLACEMENT CHARACTER}/a/b",
        raw_path=b"/%ff/a%2Fb",
        query_string=b"a=%20&b",
        authority=authority,
        headers=[(b"host", b"example.org")],
        client=client,
        server=server,
        tls=None,
        has_body=False,
        expects_continue=False,
    )
    return HTTPScope(stream)


def test_attributes_say_what_the_request_is() -> None:
    scope = make_scope()

    assert isinstance(scope, Scope)
    assert scope.proto == "http"
    assert scope.rsgi_version == "1.6"
    assert scope.method == "pOsT"
    assert scope.scheme == "https"
    assert scope.path == "/\N{REPLACEMENT CHARACTER}/a/b"
    assert scope.query_string == "a=%20&b"
    assert scope.headers.get("host") == "example.org"
    assert scope.headers is scope.headers


@pytest.mark.parametrize(("core", "rsgi"), [("1.0", "1"), ("1.1", "1.1"), ("2", "2")])
def test_http_version_is_spelled_as_rsgi_does(core: str, rsgi: str) -> None:
    assert make_scope(http_version=core).http_version == rsgi


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("192.0.2.1", 80), "192.0.2.1:80"),
        (("2001:db8::1", 443), "[2001:db8::1]:443"),
        (("/run/app.sock", None), "/run/app.sock"),
        (None, ""),
    ],
)
def test_addresses_are_host_and_port_in_one_text(address: Address | None, text: str) -> None:
    assert make_scope(client=address).client == text
    assert make_scope(server=address).server == text


def test_authority_is_text_or_none() -> None:
    assert make_scope().authority is None
    assert make_scope(authority=b"example.org:8000").authority == "example.org:8000"


@pytest.mark.parametrize(
    "name",
    [
        "proto",
        "rsgi_version",
        "http_version",
        "scheme",
        "method",
        "path",
        "query_string",
        "server",
        "client",
        "authority",
        "headers",
        "anything",
    ],
)
def test_setting_an_attribute_raises(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        setattr(make_scope(), name, "x")

"""The HTTP/2 battery: every case in memory however it arrives, over TCP and over TLS."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from granian_core import TLSSettings
from granian_core.settings import HTTPMode
from tests.conformance.http2 import runner
from tests.conformance.http2.cases import ALL, TABLES
from tests.conformance.http2.model import Case
from tests.conformance.http2.runner import at_random, bytewise, in_memory, over_socket, whole

cases = pytest.mark.parametrize("case", ALL.values(), ids=ALL)


@pytest.fixture(autouse=True)
def nothing_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A peer's fault is no news above debug."""
    caplog.set_level(logging.INFO, "_granian")
    yield
    assert [r.getMessage() for r in caplog.records if r.name.startswith("_granian")] == []


@pytest.fixture(params=["fast", "reference"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with each engine."""
    monkeypatch.setattr(runner, "ENGINE", request.param)


both = pytest.mark.usefixtures("engine")


def test_battery_is_large_and_its_names_are_unique() -> None:
    assert sum(len(rows) for rows in TABLES.values()) == len(ALL) >= 140
    assert all(case.spec for case in ALL.values())


@both
@cases
@pytest.mark.parametrize("mode", ["auto", "2"])
def test_case_whole(case: Case, mode: HTTPMode) -> None:
    asyncio.run(in_memory(case, whole, mode))


@both
@cases
def test_case_at_random_cuts(case: Case) -> None:
    asyncio.run(in_memory(case, at_random, "auto"))


@both
@cases
def test_case_byte_by_byte(case: Case) -> None:
    asyncio.run(in_memory(case, bytewise, "auto"))


@both
@cases
def test_case_over_tcp(case: Case) -> None:
    asyncio.run(over_socket(case, "auto"))


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[TLSSettings, ssl.SSLContext]:
    """Settings of a TLS server, and a client that trusts it and offers h2."""
    trustme = pytest.importorskip("trustme")
    directory: Path = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    certificate, key = directory / "server.pem", directory / "server.key"
    certificate.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(["h2"])
    return TLSSettings(certificate=(certificate,), keyfile=(key,)), context


@both
@cases
def test_case_over_tls(case: Case, tls: tuple[TLSSettings, ssl.SSLContext]) -> None:
    asyncio.run(over_socket(case, "auto", *tls))

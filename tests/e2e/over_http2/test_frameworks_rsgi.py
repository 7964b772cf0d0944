"""RSGI applications over HTTP/2: the tests of HTTP/1.1 that do not look at its bytes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from granian_core.testing.certs import CertificateFiles
from tests.e2e.serving import ServerProcess, serving
from tests.e2e.test_frameworks_rsgi import (  # noqa: F401 - collected here again
    EMMETT,
    RAW,
    either,
    test_a_body_is_echoed,
    test_a_redirect_keeps_the_body,
    test_an_application_without_an_answer_is_a_500,
    test_an_exception_is_a_500_and_the_server_goes_on,
    test_an_unknown_page_is_a_404,
    test_emmett_parses_json_and_forms,
    test_emmett_redirects_and_aborts,
    test_emmett_routes_parameters_and_queries,
    test_emmett_sends_files_and_ranges,
    test_emmett_streams_events,
    test_files_are_sent_whole_and_in_ranges,
    test_repeated_cookies_arrive_one_by_one,
)


@pytest.fixture(scope="module")
def tls(certificate: CertificateFiles) -> CertificateFiles:
    """ALPN settles on HTTP/2."""
    return certificate


@pytest.fixture(scope="module")
def raw(tls: CertificateFiles) -> Iterator[ServerProcess]:
    with serving(RAW, interface="rsgi", tls=tls) as server:
        server.http2 = True
        yield server


@pytest.fixture(scope="module")
def emmett(tls: CertificateFiles) -> Iterator[ServerProcess]:
    pytest.importorskip("emmett55")
    with serving(EMMETT, interface="rsgi", tls=tls) as server:
        server.http2 = True
        yield server

"""Real ASGI frameworks over HTTP/2: the tests of HTTP/1.1 that do not look at its bytes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from granian_core.testing.certs import CertificateFiles
from tests.e2e.serving import ServerProcess, serving
from tests.e2e.test_frameworks_asgi import (  # noqa: F401 - collected here again
    test_a_download_of_50_mib_needs_no_memory,
    test_a_request_body_comes_back,
    test_an_error_is_a_500_that_tells_nothing,
    test_both_ends_are_known_to_the_application,
    test_cookies_go_both_ways,
    test_get,
    test_redirects_are_followed,
    test_what_is_missing_is_a_404,
)


@pytest.fixture(scope="module", params=["starlette", "django"])
def server(
    request: pytest.FixtureRequest, certificate: CertificateFiles
) -> Iterator[ServerProcess]:
    """One server per framework, for all the tests; ALPN settles on HTTP/2."""
    framework: str = request.param
    pytest.importorskip(framework)
    with serving(f"tests.e2e.apps.asgi_{framework}:app", tls=certificate) as running:
        running.http2 = True
        yield running

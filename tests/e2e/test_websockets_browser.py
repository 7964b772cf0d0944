"""WebSockets as headless Chromium opens them: a page asserts, and says what it saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from granian_core.testing.certs import CertificateFiles
from tests.e2e.browser import needs_chromium, page
from tests.e2e.serving import serving

FRAMEWORKS = "tests.e2e.apps.websocket_frameworks"

SCENARIO = """
new Promise((resolve, reject) => {
  const socket = new WebSocket(location.href.replace(/^http/, 'ws') + 'ws');
  const texts = ['hello', '€'.repeat(1000), 'x'.repeat(200000), ''];
  const seen = [];
  socket.onopen = () => socket.send(texts[0]);
  socket.onmessage = event => {
    seen.push(event.data === texts[seen.length]);
    if (seen.length < texts.length) socket.send(texts[seen.length]);
    else socket.close(4001, 'bye');
  };
  socket.onclose = event => resolve({
    seen: seen, code: event.code, clean: event.wasClean, extensions: socket.extensions,
    protocol: performance.getEntriesByType('navigation')[0].nextHopProtocol,
  });
})
"""


@pytest.mark.parametrize("wire", ["http/1.1", "http/2"])
@pytest.mark.parametrize("framework", ["starlette", "channels"])
@needs_chromium
def test_page_and_its_websocket(
    framework: str, wire: str, tmp_path: Path, certificate: CertificateFiles
) -> None:
    """Over TLS and HTTP/2 a browser opens the WebSocket on the page's own connection."""
    pytest.importorskip(framework)
    tls = certificate if wire == "http/2" else None
    with (
        serving(f"{FRAMEWORKS}:{framework}", "--factory", "--access-log", tls=tls) as server,
        page(tmp_path / "profile", "--ignore-certificate-errors") as tab,
    ):
        tab.open(f"{server.url}/")
        outcome = tab.evaluate(SCENARIO)
        if wire == "http/2":
            server.log.wait_for(r'"CONNECT /ws HTTP/2(\.0)?" 200')
        else:
            server.log.wait_for(r'"GET /ws HTTP/1\.1" 101')

    assert outcome["seen"] == [True] * 4
    assert (outcome["code"], outcome["clean"]) == (4001, True)
    assert outcome["extensions"].startswith("permessage-deflate")
    assert outcome["protocol"] == {"http/1.1": "http/1.1", "http/2": "h2"}[wire]

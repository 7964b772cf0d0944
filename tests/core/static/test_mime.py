"""Media types by extension."""

from __future__ import annotations

import pytest

from granian_core.static.mime import CONTENT_TYPES, content_type


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.js", b"text/javascript; charset=utf-8"),
        ("a.mjs", b"application/javascript"),
        ("a.json", b"application/json"),
        ("a.css", b"text/css; charset=utf-8"),
        ("a.html", b"text/html; charset=utf-8"),
        ("a.svg", b"image/svg+xml"),
        ("a.wasm", b"application/wasm"),
        ("a.ico", b"image/x-icon"),
        ("a.xml", b"text/xml"),
        ("a.md", b"text/markdown; charset=utf-8"),
        ("a.woff2", b"font/woff2"),
        ("a.js.map", b"text/plain; charset=utf-8"),
        ("a.py", b"text/plain; charset=utf-8"),
        ("a.txt", b"text/plain; charset=utf-8"),
        ("a.yaml", b"text/x-yaml; charset=utf-8"),
        ("a.ts", b"video/mp2t"),
        ("a.pem", b"application/x-x509-ca-cert"),
        ("A.PNG", b"image/png"),
        ("a.mp4", b"video/mp4"),
        ("a.tar.gz", b"application/gzip"),
        ("a.unknown", None),
        ("README", None),
        (".css", None),
        ("a.", None),
        ("", None),
    ],
)
def test_types(name: str, expected: bytes | None) -> None:
    assert content_type(name) == expected


def test_the_table_is_well_formed() -> None:
    for extension, value in CONTENT_TYPES.items():
        assert extension == extension.lower()
        assert value.count(b"/") == 1
        assert value.endswith(b"; charset=utf-8") == (
            value.startswith(b"text/") and value != b"text/xml"
        )

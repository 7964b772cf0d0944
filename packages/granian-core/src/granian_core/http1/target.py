"""Request targets (RFC 9112 3.2) taken apart."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes


def split_target(target: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Split a target that the guard accepted.

    Returns:
        ``(raw_path, query_string, authority)``; the authority is None unless the
        target is in absolute-form.
    """
    authority: bytes | None = None
    if target[0] != 0x2F and target != b"*":
        # absolute-form: http(s)://authority[/path][?query]
        rest = target.partition(b"://")[2]
        cut = len(rest)
        for mark in (b"/", b"?"):
            at = rest.find(mark)
            if 0 <= at < cut:
                cut = at
        authority, target = rest[:cut], rest[cut:]
    raw_path, _, query = target.partition(b"?")
    return raw_path or b"/", query, authority


def decode_path(raw_path: bytes) -> str:
    """Percent-decode a path that the guard accepted; invalid UTF-8 becomes U+FFFD."""
    # A number: `bytes` tries whether it was given one, by way of an exception, before it searches.
    if 0x25 in raw_path:
        return unquote_to_bytes(raw_path).decode("utf-8", "replace")
    return raw_path.decode("ascii")

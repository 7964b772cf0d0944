"""Settings of the HTTP versions."""

from __future__ import annotations

from granian_core.settings import HTTP1Settings, HTTP2Settings

__all__ = ["HTTP1Settings", "HTTP2Settings"]

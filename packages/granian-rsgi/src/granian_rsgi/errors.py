"""The two errors that RSGI shows to applications."""

from __future__ import annotations

from granian_core import ClientDisconnected


class ProtocolError(RuntimeError):
    """The application used a protocol object in a way that RSGI does not allow."""

    def __init__(self, message: str = "RSGI protocol error") -> None:
        super().__init__(message)


class ProtocolClosed(ClientDisconnected, RuntimeError):
    """The client is gone: its body will not be complete, or nothing can be sent any more.

    It is a `granian_core.ClientDisconnected` too, so that the server can tell the
    peer's leaving from the application's own errors.
    """

    def __init__(self, message: str = "RSGI transport is closed") -> None:
        super().__init__(message)

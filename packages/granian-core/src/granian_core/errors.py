"""The error tree: every exception that this server raises on purpose.

``FatalError`` and its children end the process with their ``exit_code``; the
command prints them without a traceback. ``ProtocolError`` and its children stay
within one connection or stream: *remote* means that the peer broke the protocol,
*local* that the application (or an adapter) did.
"""

from __future__ import annotations


class GranianError(Exception):
    """Base of every error of this project."""


class FatalError(GranianError):
    """The server can not start, or can not go on."""

    exit_code: int = 1


class ConfigurationError(FatalError):
    """A setting is wrong, or two settings contradict each other.

    Args:
        option: The option as the user writes it (``--port``), or the keyword argument.
        value: The offending value, already as text; ``None`` when there is none to show.
        remedy: One sentence that says what would be right.
    """

    def __init__(self, option: str, value: object = None, remedy: str = "") -> None:
        self.option = option
        self.value = value
        self.remedy = remedy
        super().__init__(option, value, remedy)

    def __str__(self) -> str:
        subject = self.option if self.value is None else f"{self.option}={self.value}"
        return f"{subject}: {self.remedy}" if self.remedy else subject


class AppLoadError(FatalError):
    """The target can not be imported, or is not what the interface needs."""

    exit_code = 3


class BindError(FatalError):
    """A listening socket can not be made."""

    exit_code = 4


class StartupError(FatalError):
    """The application refused to start (a lifespan ``startup.failed``, for example)."""

    exit_code = 5


class ProtocolError(GranianError):
    """Somebody broke the protocol; see the two children for who."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol.

    Args:
        message: What was wrong, for our own debug log; never sent to the peer.
        status_hint: The HTTP status that answers it, where one applies.
    """

    def __init__(self, message: str, status_hint: int = 400) -> None:
        super().__init__(message)
        self.status_hint = status_hint


class ClientDisconnected(RemoteProtocolError):
    """The peer left, or stopped sending, before the request was complete."""

    def __init__(self, message: str = "client disconnected", status_hint: int = 400) -> None:
        super().__init__(message, status_hint)


class BodyTooLarge(RemoteProtocolError):
    """A request body exceeds a limit that the caller or the configuration set."""

    def __init__(self, message: str = "request body too large", status_hint: int = 413) -> None:
        super().__init__(message, status_hint)


class WebSocketClosed(ClientDisconnected):
    """A WebSocket has ended.

    Args:
        code: The close code; 1006 if the connection ended without a close frame
            (RFC 6455 7.1.5).
        reason: The peer's reason, perhaps empty.
        clean: Whether a close frame of the peer arrived.
    """

    def __init__(self, code: int = 1006, reason: str = "", *, clean: bool = False) -> None:
        super().__init__(f"WebSocket closed with code {code}")
        self.code = code
        self.reason = reason
        self.clean = clean


class LocalProtocolError(ProtocolError, RuntimeError):
    """The application did something that HTTP, or the stream's state, does not allow."""

"""Socket names as streams carry them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from granian_core.stream import Address


def transport_address(name: object, *, listener: bool) -> Address | None:
    """Turn a socket name into ``(host, port)``, ``(path, None)``, or None.

    Args:
        name: As a transport's ``get_extra_info`` gives it.
        listener: Whether it is our end; a client on a unix socket has no name.
    """
    if isinstance(name, tuple) and len(name) >= 2:
        return (str(name[0]), int(name[1]))
    if not listener:
        return None
    if isinstance(name, bytes):
        name = name.decode("utf-8", "surrogateescape")
    return (str(name or ""), None)

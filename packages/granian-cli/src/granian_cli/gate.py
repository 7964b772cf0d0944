"""The end of a listening socket: nobody gets in whom nobody will answer.

Between the last `accept` and the close of the last copy of a socket, the kernel may complete
the handshake of one more client; the close then resets that connection, though it was
established. So the gate is shut first, then the queue is emptied, then the socket is closed.

TCP: a filter drops what opens a connection. The client tries again a second later, and is
refused. Unix: the file is removed.
"""

from __future__ import annotations

import array
import logging
import os
import socket
import struct
import sys
from pathlib import Path

logger = logging.getLogger("_granian.gate")

_SO_ATTACH_FILTER = 26  # <asm-generic/socket.h>; Python has no name for it
_INSTRUCTIONS = (  # classic BPF; the packet begins with its TCP header
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x45, 0, 1, 0x02),  # SYN?
    (0x06, 0, 0, 0),  # then drop it
    (0x06, 0, 0, 0xFFFFFFFF),  # else keep all of it
)


def shut_tcp(sock: socket.socket) -> bool:
    """Let the kernel begin no more connections to a listening TCP socket, for all its copies.

    Returns:
        Whether that was possible: on Linux, for TCP.
    """
    if sys.platform != "linux" or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    program = array.array("B", b"".join(struct.pack("HBBI", *one) for one in _INSTRUCTIONS))
    address, _ = program.buffer_info()
    try:
        sock.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_INSTRUCTIONS), address)
        )
    except OSError as exc:  # a kernel without it; a client may be reset, as everywhere else
        logger.debug("cannot filter connections: %s", exc)
        return False
    return True


class UnixGate:
    """The file of a unix socket that this process has just bound.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._identity = self._look()

    def shut(self) -> None:
        """Remove the file, unless it is another server's by now."""
        identity, self._identity = self._identity, None
        if identity is not None and identity == self._look():
            try:
                self.path.unlink()
            except OSError as exc:
                logger.warning("Cannot remove %s: %s", self.path, exc.strerror)

    def _look(self) -> tuple[int, int] | None:
        try:
            found = os.lstat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

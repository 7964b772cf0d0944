"""A look inside a running worker: stacks of all threads, tasks, connections."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
import time
import traceback
from math import isinf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from granian_core.server import Server


def stacks() -> str:
    """Return the stack of every thread. Safe from any thread."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    out = io.StringIO()
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - documented for this
        out.write(f"Thread {names.get(ident, '?')} ({ident}):\n")
        out.writelines(traceback.format_stack(frame))
    return out.getvalue()


def tasks(loop: asyncio.AbstractEventLoop) -> str:
    """Return every task of *loop* and where it waits. Call it on the loop's thread."""
    out = io.StringIO()
    for task in asyncio.all_tasks(loop):
        out.write(f"Task {task.get_name()}: {task.get_coro()!r}\n")
        for frame in task.get_stack(limit=5):
            code = frame.f_code
            out.write(f"  {code.co_filename}:{frame.f_lineno} in {code.co_name}\n")
    return out.getvalue()


def connections(server: Server) -> str:
    """Return the connection table of *server*, of all its I/O threads.

    What peers sent is shown with its control characters escaped.
    """
    now = time.monotonic()
    # Copies: the originals change on their own threads.
    table = [one for context in server.contexts for one in list(context.connections)]
    requests = len(server.contexts[0].streams) if server.contexts else 0  # permits are shared
    out = io.StringIO()
    out.write(f"{len(table)} connections, {requests} requests\n")
    for connection in table:
        client = getattr(connection, "client", None)
        stream = getattr(connection, "stream", None)
        streams = getattr(connection, "streams", None)
        if streams:
            doing = f"{len(streams)} streams"
        elif stream is not None:
            doing = f"{stream.method!r} {stream.path!r}, status {stream.status or '-'}"
        elif isinf(connection.idle_since):
            doing = "reading"
        else:
            doing = f"idle for {now - connection.idle_since:.1f} s"
        out.write(f"  {client!r}: {doing}\n")
    return out.getvalue()

"""What the one task of an exchange runs, and what comes of it.

Stays in Python where the rest of the core is compiled: a coroutine of the interpreter's own is
what tasks, tracebacks and debuggers know best, and costs the least.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from granian_core.errors import ClientDisconnected
from granian_core.stream import COMPLETE

if TYPE_CHECKING:
    from granian_core.stream import HTTPStream

logger = logging.getLogger("_granian.serve")


async def run_application(stream: HTTPStream, awaitable: object) -> None:
    """Await what an interface returned for *stream*, and settle the outcome.

    The one task of an exchange runs this. What escapes is the application's error;
    cancellation (only at a shutdown deadline) aborts the exchange.
    """
    try:
        await awaitable  # type: ignore[misc]
    except asyncio.CancelledError as exc:
        if not stream.cancelled:
            stream.application_failed(exc)
            return
        stream.abort()
        stream.carrier.application_done(stream)
        raise
    except ClientDisconnected as exc:
        if stream.disconnected:
            logger.debug("%s: client disconnected", stream.client)
            stream.application_abandoned()
        else:
            stream.application_failed(exc)
    except (KeyboardInterrupt, GeneratorExit) as exc:
        stream.application_failed(exc)
        raise
    except BaseException as exc:  # SystemExit too: an application can not stop the server
        stream.application_failed(exc)
    else:
        if stream.phase == COMPLETE and stream.sending is None:
            stream.carrier.application_done(stream)
        else:
            stream.application_returned()

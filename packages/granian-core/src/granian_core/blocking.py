"""An exchange as a pool thread sees it: the same operations, blocking.

`BlockingStream` is correct over every carrier: each operation runs on the loop while
the thread waits. A carrier that can do better for its own transport subclasses it
(`granian_core.http1.direct` sends from the thread).
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from io import BufferedRandom, BufferedReader, FileIO
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from granian_core.errors import ClientDisconnected
from granian_core.files import kernel_sender
from granian_core.stream import STARTED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from granian_core.pool import BlockingPool
    from granian_core.stream import Data, Headers, HTTPStream

logger = logging.getLogger("_granian.serve")

T = TypeVar("T")

LOOP_CHECK = 5.0
"""Seconds after which a thread that waits for the loop makes sure that there still is one."""
LOOP_GONE = "the server has stopped"

_BUFFERED = (BufferedReader, BufferedRandom)

FILE_BLOCK = 131_072
"""Bytes of a file that are read at once."""


class BlockingStream:
    """The operations of `HTTPStream` for one thread that is not the loop's.

    Attributes:
        stream: The exchange; its request attributes may be read from the thread.
        gone: The thread has seen that the client left; the loop may not know yet.
    """

    __slots__ = ("_loop", "_rest", "gone", "stream")

    def __init__(self, stream: HTTPStream) -> None:
        self.stream = stream
        self._loop = stream.carrier.loop
        self._rest = b""
        self.gone = False

    # -- body in ---------------------------------------------------------------

    def read(self, size: int = -1) -> bytes:
        """Return a piece of the request body, waiting for it if there is none yet.

        Args:
            size: Most bytes to return; negative for whatever is there.

        Returns:
            At least one byte, or ``b""`` at the end of the body (or if *size* is 0).

        Raises:
            ClientDisconnected: The body will not be complete any more.
        """
        if size == 0:
            return b""
        data = self._rest
        if data:
            self._rest = b""
        elif self.stream.body_complete and not self.stream.body_held:
            # Nothing is fed any more and no peer is kept waiting: the loop has no part in it.
            data = self.stream.read_nowait() or b""
        else:
            data = self._read_on_loop()
        if 0 < size < len(data):
            self._rest = data[size:]
            data = data[:size]
        return data

    def _read_on_loop(self) -> bytes:
        while True:
            waiter = _Waiter()
            data = self._on_loop(partial(self._read_or_register, waiter))
            if data is not None:
                return data
            waiter.wait(self._loop)

    def _read_or_register(self, waiter: _Waiter) -> bytes | None:
        data = self.stream.read_nowait()
        if data is None:
            self.stream.wait_readable().add_done_callback(waiter.wake)
        return data

    # -- response out ----------------------------------------------------------

    def respond(
        self, status: int, headers: Headers = (), body: Data = b"", *, reason: bytes | None = None
    ) -> None:
        """Send the whole response; see `HTTPStream.respond`."""
        self._on_loop(lambda: self.stream.respond(status, headers, body, reason=reason))

    def start(self, status: int, headers: Headers = (), *, reason: bytes | None = None) -> None:
        """Send the response head; see `HTTPStream.start`."""
        self._on_loop(lambda: self.stream.start(status, headers, reason=reason))

    def write(self, data: Data) -> None:
        """Send a piece of the body; waits while the peer takes too little.

        Raises:
            ClientDisconnected: The peer is gone.
            LocalProtocolError: See `HTTPStream.write`.
        """
        if type(data) is not bytes:
            data = bytes(memoryview(data))  # an int would become that many zeros
        blocked = self._on_loop(lambda: self._write_on_loop(data))
        if blocked:
            self._wait_writable()

    def _write_on_loop(self, data: bytes) -> bool:
        self._check_connected()
        self.stream.write(data)
        return self.stream.write_blocked

    def _wait_writable(self) -> None:
        while True:
            waiter = _Waiter()
            if self._on_loop(partial(self._writable_or_register, waiter)):
                return
            waiter.wait(self._loop)

    def _writable_or_register(self, waiter: _Waiter) -> bool:
        self._check_connected()
        if not self.stream.write_blocked:
            return True
        self.stream.carrier.wait_writable(self.stream).add_done_callback(waiter.wake)
        return False

    def finish(self, trailers: Headers | None = None) -> None:
        """End the response; see `HTTPStream.finish`."""
        self._on_loop(lambda: self.stream.finish(trailers))

    def inform(self, status: int, headers: Headers = ()) -> None:
        """Send an informational response; see `HTTPStream.inform`."""
        self._on_loop(lambda: self.stream.inform(status, headers))

    def send_file(self, file: BinaryIO, count: int | None = None) -> None:
        """Send a part of the body from an open file, from its position.

        Args:
            file: Open for reading in binary mode.
            count: Bytes to send; None for all up to the end.

        Raises:
            ClientDisconnected: The peer is gone.
        """
        remaining = count
        if count is not None and count > FILE_BLOCK:
            remaining = count - self._send_by_kernel(file, count)
        while remaining is None or remaining > 0:
            block = file.read(FILE_BLOCK if remaining is None else min(FILE_BLOCK, remaining))
            if not block:
                break
            self.write(block)
            if remaining is not None:
                remaining -= len(block)

    def _send_by_kernel(self, file: BinaryIO, count: int) -> int:
        """Let the loop have the kernel send from *file*; return how many bytes it has sent.

        Only for the standard library's own files: what another object reads may differ
        from what its descriptor holds.
        """
        by_kernel = kernel_sender(self.stream)
        raw = getattr(file, "raw", None) if type(file) in _BUFFERED else file
        if by_kernel is None or type(raw) is not FileIO:
            return 0
        file.flush()
        offset, waiter = file.tell(), _Waiter()

        def start() -> Future[int] | None:
            stream = self.stream
            if not stream.may_send(count) or stream.no_content or stream.phase != STARTED:
                return None
            sending = by_kernel(stream, raw.fileno(), offset, count)
            if sending is None:
                return None
            outcome: Future[int] = Future()
            sending.add_done_callback(partial(_copy_outcome, outcome, waiter))
            return outcome

        outcome = self._on_loop(start)
        if outcome is None:
            return 0
        waiter.wait(self._loop)
        sent = outcome.result()
        file.seek(offset + sent)
        self._check_connected()
        return sent

    def _check_connected(self) -> None:
        if self.stream.disconnected or self.stream.aborted:
            raise ClientDisconnected

    # -- the outcome --------------------------------------------------------------

    def settle(self) -> None:
        """The application has returned."""
        if self.gone and not self.stream.response_complete:
            self._post(self.stream.application_abandoned)
        elif self.stream.response_complete:
            self.stream.carrier.application_done(self.stream)
        else:
            self._post(self.stream.application_returned)

    def fail(self, exc: BaseException) -> None:
        """Settle what escaped from the application."""
        if isinstance(exc, ClientDisconnected):
            logger.debug("%s: client disconnected", self.stream.client)
            self._post(self.stream.application_abandoned)
        else:
            self._post(lambda: self.stream.application_failed(exc))

    # -- crossing over --------------------------------------------------------------

    def _post(self, call: Callable[[], object]) -> None:
        """Run *call* on the loop, without waiting."""
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed: the server gave up on this thread
            logger.debug("the loop is gone; outcome of a request dropped")

    def _on_loop(self, call: Callable[[], T]) -> T:
        """Run *call* on the loop and return its result, or raise what it raised."""
        outcome: Future[T] = Future()
        try:
            self._loop.call_soon_threadsafe(_cross, call, outcome)
        except RuntimeError as exc:
            raise ClientDisconnected(LOOP_GONE) from exc
        while True:
            try:
                return outcome.result(LOOP_CHECK)
            except FutureTimeoutError:
                # Raised by the call itself, or by the waiting for a loop that may be gone.
                if outcome.done():
                    raise
                if self._loop.is_closed():
                    raise ClientDisconnected(LOOP_GONE) from None


class _Waiter:
    """A one-shot event that a future's callback sets."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def wake(self, _: object) -> None:
        self._event.set()

    def wait(self, loop: asyncio.AbstractEventLoop) -> None:
        # The sweep's deadlines end every wait for a peer, as long as there is a loop.
        while not self._event.wait(LOOP_CHECK):
            if loop.is_closed():
                raise ClientDisconnected(LOOP_GONE)


def _copy_outcome(outcome: Future[int], waiter: _Waiter, sending: asyncio.Future[int]) -> None:
    """Give a thread what a future of the loop's has come to."""
    if sending.cancelled():
        outcome.set_result(0)
    elif (exc := sending.exception()) is not None:
        outcome.set_exception(exc)
    else:
        outcome.set_result(sending.result())
    waiter.wake(sending)


def _cross(call: Callable[[], T], outcome: Future[T]) -> None:
    """Run *call* on the loop's thread; its outcome goes back to the waiting one."""
    try:
        outcome.set_result(call())
    except BaseException as exc:  # whatever it is: a thread waits for it
        outcome.set_exception(exc)
        if not isinstance(exc, Exception):
            raise


def run_blocking(
    pool: BlockingPool, stream: HTTPStream, call: Callable[[BlockingStream], None]
) -> None:
    """Run *call* for *stream* on a pool thread, and settle what comes of it.

    Call it on the loop, from `Interface.handle_http`, and return None there. What
    escapes from *call* is the application's error, as for a coroutine.
    """
    stream.detached = True
    pool.submit(_run, stream.blocking(), call)


def _run(blocking: BlockingStream, call: Callable[[BlockingStream], None]) -> None:
    try:
        call(blocking)
    except BaseException as exc:
        blocking.fail(exc)
    else:
        blocking.settle()

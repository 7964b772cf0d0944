"""An exchange as a pool thread sees it: the same operations, blocking.

`BlockingStream` is correct over every carrier. It finds the application's mistakes itself,
in the application's frame, and hands what is left to the loop (`granian_core.handover`)
without waiting: the loop is woken once for as much as has gathered. The thread only waits
where there is something to wait for: a body that has not come, or a peer that takes less
than the application writes. A carrier that can do better for its own transport subclasses
it (`granian_core.http1.direct` sends from the thread).
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from io import BufferedRandom, BufferedReader, FileIO
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from granian_core import handover
from granian_core.errors import ClientDisconnected, LocalProtocolError
from granian_core.files import kernel_sender
from granian_core.stream import ABORTED, BODY_LOW_WATER, COMPLETE, PENDING, STARTED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from granian_core.channel import Channel
    from granian_core.pool import BlockingPool, Pace
    from granian_core.stream import Data, Headers, HTTPStream

logger = logging.getLogger("_granian.serve")

T = TypeVar("T")

LOOP_CHECK = 5.0
"""Seconds after which a thread that waits for the loop makes sure that there still is one."""
LOOP_GONE: Final = "the server has stopped"

_BUFFERED = (BufferedReader, BufferedRandom)

SEND_WINDOW: Final = 131_072
"""Cost of what a thread has handed over and the transport has not taken, above which it waits."""
PIECE_COST: Final = 512
"""What each piece costs besides its bytes: small ones are bounded by their number."""

FILE_BLOCK: Final = 131_072
"""Bytes of a file that are read at once."""


class BlockingStream:
    """The operations of `HTTPStream` for one thread that is not the loop's.

    Args:
        stream: The exchange.
        channel: To the loop of its connection.
        window: What may be on its way to the loop, in bytes of content.

    Attributes:
        stream: The exchange; its request attributes may be read from the thread.
        gone: The thread has seen that the client left; the loop may not know yet.
        began: When the thread took it up, in monotonic seconds.
        pace: How it goes with the requests beside it, if somebody knows.
    """

    __slots__ = (
        "_channel",
        "_half",
        "_mark",
        "_phase",
        "_remaining",
        "_rest",
        "_unmarked",
        "_untold",
        "began",
        "gone",
        "pace",
        "stream",
    )

    def __init__(self, stream: HTTPStream, channel: Channel, window: int = SEND_WINDOW) -> None:
        self.stream = stream
        self.gone = False
        self.began = 0.0
        self.pace: Pace | None = None
        self._channel = channel
        self._rest = b""
        self._untold = 0
        self._phase = PENDING
        self._remaining = -1
        self._unmarked = 0
        self._half = window // 2
        self._mark: _Waiter | None = None

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
        else:
            data = self._take()
        if 0 < size < len(data):
            self._rest = data[size:]
            data = data[:size]
        return data

    def _take(self) -> bytes:
        """Take what is there already, without the loop; else wait for it."""
        stream = self.stream
        complete = stream.body_complete  # first: then what is not there will not come
        data = stream.take_piece()
        if data is None:
            return b"" if complete else self._read_on_loop()
        if not complete or stream.body_held:
            self._untold += len(data)
            if self._untold >= BODY_LOW_WATER // 2:
                untold, self._untold = self._untold, 0
                self._channel.post(stream.note_taken, untold)
        return data

    def _read_on_loop(self) -> bytes:
        while True:
            waiter = _Waiter()
            data = self._on_loop(partial(self._read_or_register, waiter))
            if data is not None:
                return data
            waiter.wait(self.stream.carrier.loop)

    def _read_or_register(self, waiter: _Waiter) -> bytes | None:
        data = self.stream.read_nowait()
        if data is None:
            self.stream.wait_readable().add_done_callback(waiter.wake)
        elif data:
            self._untold = 0  # this was all that there is
        return data

    # -- response out ----------------------------------------------------------

    def respond(
        self, status: int, headers: Headers = (), body: Data = b"", *, reason: bytes | None = None
    ) -> None:
        """Send the whole response; see `HTTPStream.respond`. Does not wait."""
        if not self._may_begin():
            return
        if type(body) is not bytes:
            body = bytes(memoryview(body))  # an int would become that many zeros
        stream = self.stream
        fields, declared = handover.check_final_head(stream.http_version, status, headers, reason)
        self._phase = COMPLETE
        self._channel.post(handover.respond, stream, status, fields, body, reason)
        if 0 <= declared < len(body) and not handover.has_no_content(stream.method, status):
            raise LocalProtocolError(handover.TOO_LONG)  # the loop cuts it

    def start(self, status: int, headers: Headers = (), *, reason: bytes | None = None) -> None:
        """Send the response head; see `HTTPStream.start`. Does not wait."""
        if not self._may_begin():
            return
        stream = self.stream
        fields, declared = handover.check_final_head(stream.http_version, status, headers, reason)
        self._phase = STARTED
        self._remaining = -1 if handover.has_no_content(stream.method, status) else declared
        self._channel.post(handover.start, stream, status, fields, reason)

    def write(self, data: Data) -> None:
        """Send a piece of the body; waits while the peer takes too little.

        Raises:
            ClientDisconnected: The peer is gone.
            LocalProtocolError: See `HTTPStream.write`.
        """
        if type(data) is not bytes:
            data = bytes(memoryview(data))  # an int would become that many zeros
        self._check_connected()
        self._check_begun()
        size = len(data)
        if not size:
            return
        remaining = self._remaining
        if remaining >= 0:
            if size > remaining:
                self._channel.post(handover.write, self.stream, data[:remaining])
                self._cut()
                raise LocalProtocolError(handover.TOO_LONG)
            self._remaining = remaining - size
        self._channel.post(handover.write, self.stream, data)
        self._unmarked += size + PIECE_COST
        if self._unmarked >= self._half:
            self._wait_for_room()

    def finish(self, trailers: Headers | None = None) -> None:
        """End the response; see `HTTPStream.finish`. Does not wait."""
        if self._progress() == ABORTED:
            return
        self._check_begun()
        stream = self.stream
        if self._remaining > 0:
            self._cut()
            raise LocalProtocolError(handover.TOO_SHORT)
        fields = handover.check_trailers(stream.http_version, trailers) if trailers else None
        self._phase = COMPLETE
        self._channel.post(handover.finish, stream, fields)

    def inform(self, status: int, headers: Headers = ()) -> None:
        """Send an informational response; see `HTTPStream.inform`. Does not wait."""
        if not self._may_begin():
            return
        if not 102 <= status <= 199:
            raise LocalProtocolError(f"{status} is not an informational status")
        stream = self.stream
        fields, _ = handover.check_head(stream.http_version, status, headers, None)
        self._channel.post(handover.inform, stream, status, fields)

    def _cut(self) -> None:
        """End the response so that it can not pass for complete."""
        self._phase = ABORTED
        self._end(self.stream.abort)

    def _progress(self) -> int:
        """Return the phase that the response has reached, as seen from this thread.

        The loop's phase is behind where it has not taken what was handed over. It is ahead
        where the client has left, and where something else has begun the response.
        """
        stream = self.stream
        phase = stream.phase
        if phase > self._phase:
            self._phase = phase
            if phase == STARTED:
                self._remaining = stream.remaining
        return self._phase

    def _may_begin(self) -> bool:
        """Whether to send what comes before a response; not where the client has left."""
        phase = self._progress()
        if phase in (STARTED, COMPLETE):
            raise LocalProtocolError("the response has already started")
        return phase == PENDING

    def _check_begun(self) -> None:
        phase = self._progress()
        if phase == PENDING:
            raise LocalProtocolError("the response has not started")
        if phase == COMPLETE:
            raise LocalProtocolError("the response has ended")

    def _check_connected(self) -> None:
        if self.stream.disconnected or self._progress() == ABORTED:
            raise ClientDisconnected

    def _wait_for_room(self) -> None:
        """Mark how far the writes have come, and wait for the mark before this one.

        So the loop sends one half of the window while the thread makes the other.
        """
        self._unmarked = 0
        before, self._mark = self._mark, _Waiter()
        self._channel.post(self._pass_mark, self._mark)
        if before is not None:
            before.wait(self.stream.carrier.loop)
            self._check_connected()

    def _wait_writable(self) -> None:
        """Wait until the transport has taken enough of all that was handed over."""
        mark = _Waiter()
        self._channel.post(self._pass_mark, mark)
        mark.wait(self.stream.carrier.loop)
        self._check_connected()

    def _pass_mark(self, mark: _Waiter, _: object = None) -> None:
        """Let a mark be passed once there is room behind it. Called on the loop."""
        stream = self.stream
        if not stream.write_blocked:
            mark.wake()
        else:
            writable = stream.carrier.wait_writable(stream)
            writable.add_done_callback(partial(self._pass_mark, mark))

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
        waiter.wait(self.stream.carrier.loop)
        sent = outcome.result()
        if self._phase == STARTED and self._remaining >= 0:
            self._remaining -= sent
        file.seek(offset + sent)
        self._check_connected()
        return sent

    # -- the outcome --------------------------------------------------------------

    def settle(self) -> None:
        """The application has returned."""
        stream = self.stream
        if stream.phase >= COMPLETE:
            stream.carrier.application_done(stream)
        elif self.gone:
            self._end(stream.application_abandoned)
        elif self._phase == COMPLETE:
            self._channel.post(stream.application_returned)  # behind what was handed over
        else:
            self._end(stream.application_returned)

    def fail(self, exc: BaseException) -> None:
        """Settle what escaped from the application."""
        if isinstance(exc, ClientDisconnected):
            logger.debug("%s: client disconnected", self.stream.client)
            self._end(self.stream.application_abandoned)
        else:
            self._end(self.stream.application_failed, exc)

    def _end(self, call: Callable[..., None], *args: object) -> None:
        """Run *call*, which may cut the response, once what was written has had its turn."""
        self._channel.post(self.stream.carrier.loop.call_soon, call, *args)

    # -- crossing over --------------------------------------------------------------

    def _on_loop(self, call: Callable[[], T]) -> T:
        """Run *call* on the loop and return its result, or raise what it raised."""
        loop = self.stream.carrier.loop
        if loop.is_closed():
            raise ClientDisconnected(LOOP_GONE)
        outcome: Future[T] = Future()
        self._channel.post(_cross, call, outcome)
        while True:
            try:
                return outcome.result(LOOP_CHECK)
            except FutureTimeoutError:
                # Raised by the call itself, or by the waiting for a loop that may be gone.
                if outcome.done():
                    raise
                if loop.is_closed():
                    raise ClientDisconnected(LOOP_GONE) from None


class _Waiter:
    """A one-shot event that a future's callback sets."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def wake(self, _: object = None) -> None:
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
    escapes from *call* is the application's error, as for a coroutine. The thread gets it
    at the end of the loop's turn, with the turn's other calls.
    """
    stream.detached = True
    carrier = stream.carrier
    blocking = carrier.make_blocking(stream)
    blocking.pace = pool.pace
    pool.submit_soon(carrier.loop, _run, blocking, call)


def _run(blocking: BlockingStream, call: Callable[[BlockingStream], None]) -> None:
    blocking.began = monotonic()
    try:
        call(blocking)
    except BaseException as exc:
        blocking.fail(exc)
    else:
        blocking.settle()

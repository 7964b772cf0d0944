"""Awaitables whose work is done before they are returned.

RSGI's ``send_bytes`` does its work when it is called, awaited or not. What it returns
is nevertheless a `collections.abc.Coroutine`, so that it can be awaited, wrapped in a
task and passed to ``asyncio.wait_for`` like any coroutine, but dropped in silence.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, NoReturn, cast

from granian_rsgi.errors import ProtocolClosed

_NOTHING = cast("Generator[Any, None, None]", iter(()))
"""An exhausted iterator: awaiting it ends at once, at the speed of C, any number of times."""


class _Settled(Coroutine[Any, Any, None]):
    """Base: an outcome that is known already. Holds no state, so one object serves all."""

    __slots__ = ()

    def throw(self, typ: Any, val: Any = None, tb: Any = None) -> NoReturn:
        """Raise what a caller throws in; there is no frame that could handle it."""
        if val is None:
            val = typ if isinstance(typ, BaseException) else typ()
        raise val.with_traceback(tb)

    def close(self) -> None:
        """Do nothing: there is nothing to clean up."""


class _Done(_Settled):
    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return _NOTHING

    def send(self, value: Any) -> NoReturn:
        """End at once."""
        raise StopIteration


class _Closed(_Settled):
    __slots__ = ()

    def __await__(self) -> NoReturn:
        raise ProtocolClosed

    def send(self, value: Any) -> NoReturn:
        """Fail at once."""
        raise ProtocolClosed


DONE = _Done()
"""Awaits to None."""
CLOSED = _Closed()
"""Raises `ProtocolClosed` when it is awaited."""

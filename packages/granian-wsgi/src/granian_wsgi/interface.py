"""The interface ``wsgi``: one application, called on the threads of the blocking pool."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from granian_core import BaseInterface, ConfigurationError, run_blocking
from granian_wsgi.call import ApplicationCall
from granian_wsgi.environ import Environ, constant_environ

if TYPE_CHECKING:
    from granian_core import BlockingPool, HTTPStream, InterfaceOptions

WSGIApplication: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
"""PEP 3333: called with the environ and ``start_response``, returns blocks of the body."""


class WSGIInterface(BaseInterface):
    """Turn each request into a call of *application* on a thread of *pool*.

    Args:
        application: The WSGI application.
        pool: Threads for its calls.
        options: For the constant part of the environ.
    """

    def __init__(
        self, application: WSGIApplication, pool: BlockingPool, options: InterfaceOptions
    ) -> None:
        self._pool = pool
        constants = constant_environ(options, multithread=pool.max_threads > 1)
        self._call = ApplicationCall(application, constants, access_log=options.access_log)

    def handle_http(self, stream: HTTPStream) -> None:
        """Hand the exchange to a thread; it is settled there."""
        run_blocking(self._pool, stream, self._call)


class WSGIFactory:
    """The factory behind the entry point ``wsgi``."""

    name = "wsgi"
    interface_api = 1
    blocking = True
    websockets = False
    default_blocking_threads = 0

    def __call__(self, target: object, options: InterfaceOptions) -> WSGIInterface:
        """Make the interface for a WSGI application.

        Raises:
            ConfigurationError: The target is not one (the message says what it looks
                like), or there is no pool of threads.
        """
        check_application(target)
        if options.blocking_pool is None:
            raise ConfigurationError(
                "blocking_pool", None, "the WSGI interface needs a BlockingPool"
            )
        return WSGIInterface(cast(WSGIApplication, target), options.blocking_pool, options)


def check_application(target: object) -> None:
    """Check that *target* can be called as ``application(environ, start_response)``.

    Raises:
        ConfigurationError: It can not, or it is asynchronous.
    """
    kind = _looks_like(target)
    if kind in ("asgi", "rsgi"):
        remedy = f"looks like an {kind.upper()} application; use --interface {kind}"
    elif kind == "nothing":
        remedy = "can not be called; a WSGI application must be callable"
    elif kind == "unknown":
        remedy = "does not fit; a WSGI application takes two arguments, environ and start_response"
    else:
        return
    name = getattr(target, "__qualname__", None) or type(target).__qualname__
    raise ConfigurationError("--interface", "wsgi", f"{name} {remedy}")


def _looks_like(target: object) -> str:
    """Say what *target* is: wsgi, asgi, rsgi, unknown, or nothing that can be called."""
    is_rsgi = hasattr(target, "__rsgi__")
    if not callable(target):
        return "rsgi" if is_rsgi else "nothing"
    call = getattr(target, "__call__", None)  # noqa: B004 - that method itself is looked at
    is_async = any(
        inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        for function in (target, call)
    )
    two = _accepts(target, 2)
    if two and not is_async:
        return "wsgi"
    if is_rsgi or (two and not _accepts(target, 3)):
        return "rsgi"
    return "asgi" if is_async or _accepts(target, 3) else "unknown"


def _accepts(target: Callable[..., object], count: int) -> bool:
    """Whether *count* positional arguments fit; what can not be inspected accepts all."""
    try:
        signature = inspect.signature(target, follow_wrapped=False)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


wsgi = WSGIFactory()
"""The interface factory that granian-core finds through its entry point."""

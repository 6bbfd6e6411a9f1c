"""Flushes when a block or a function is left, for processes that are frozen between two calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast

from experiment_framework._delivery import start_thread

if TYPE_CHECKING:
    from experiment_framework._delivery.breaker import Breaker
    from experiment_framework.results import FlushResult

__all__ = ["Flushed"]

P = ParamSpec("P")
T = TypeVar("T")


class Flushed:
    """A context manager and a decorator; may be used again and again.

    It decorates functions, coroutine functions and generator functions of both kinds: a generator
    flushes when it is through, or is closed.

    Args:
        flush: Waits for some seconds until everything has its fate.
        breaker: Gives what says whether to wait is worth it; each process has its own.
        timeout: Longest wait in seconds.
    """

    def __init__(
        self, flush: Callable[[float], FlushResult], breaker: Callable[[], Breaker], timeout: float
    ) -> None:
        self._flush = flush
        self._breaker = breaker
        self._timeout = timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        breaker = self._breaker()
        was_open = breaker.is_open
        result = self._flush(0.0 if was_open else self._timeout)
        is_done = not (result.pending or result.spooled)
        if is_done or not was_open:
            breaker.record(success=is_done)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._breaker().is_open:
            self.__exit__()
            return
        import asyncio

        loop = asyncio.get_running_loop()
        is_flushed: asyncio.Future[None] = loop.create_future()

        def done(error: BaseException | None) -> None:
            if not is_flushed.done():  # else it was cancelled
                is_flushed.set_exception(error) if error else is_flushed.set_result(None)

        def flush() -> None:
            failure: BaseException | None = None
            try:
                self.__exit__()
            except BaseException as error:  # noqa: BLE001  # raised where it is waited for
                failure = error
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(done, failure)

        # The loop runs on meanwhile: what it has to send may be what is waited for. A thread of
        # our own, because those of its executor are the application's, and may all be busy.
        if start_thread(flush, "experiment-flush") is None:
            self.__exit__()
        else:
            await is_flushed

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Make a function that flushes before it returns."""
        import inspect

        around: Callable[[Any], Callable[P, Any]] = self._around_function
        if inspect.iscoroutinefunction(function):
            around = self._around_coroutine
        elif inspect.isgeneratorfunction(function):
            around = self._around_generator
        elif inspect.isasyncgenfunction(function):
            around = self._around_async_generator
        return cast("Callable[P, T]", wraps(function)(around(function)))

    def _around_function(self, function: Callable[P, T]) -> Callable[P, T]:
        def flushing(*args: P.args, **kwargs: P.kwargs) -> T:
            with self:
                return function(*args, **kwargs)

        return flushing

    def _around_coroutine(
        self, function: Callable[P, Coroutine[Any, Any, T]]
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        async def flushing(*args: P.args, **kwargs: P.kwargs) -> T:
            async with self:
                return await function(*args, **kwargs)

        return flushing

    def _around_generator(
        self, function: Callable[P, Generator[Any, Any, T]]
    ) -> Callable[P, Generator[Any, Any, T]]:
        def flushing(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, T]:
            with self:
                return (yield from function(*args, **kwargs))

        return flushing

    def _around_async_generator(
        self, function: Callable[P, AsyncGenerator[Any, Any]]
    ) -> Callable[P, AsyncGenerator[Any, Any]]:
        async def flushing(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any, Any]:
            async with self:
                inner = function(*args, **kwargs)
                try:
                    item = await anext(inner)
                    while True:  # as `yield from` does, which asynchronous generators do not have
                        try:
                            sent = yield item
                        except GeneratorExit:
                            await inner.aclose()
                            raise
                        except BaseException as error:  # noqa: BLE001  # it is the inner one's
                            item = await inner.athrow(error)
                        else:
                            item = await inner.asend(sent)
                except StopAsyncIteration:
                    return

        return flushing

"""Flushes when a block or a function is left, for processes that are frozen between two calls."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast

if TYPE_CHECKING:
    from experiment_framework._delivery.breaker import Breaker
    from experiment_framework.results import FlushResult

__all__ = ["Flushed"]

P = ParamSpec("P")
T = TypeVar("T")


class Flushed:
    """A context manager and a decorator, also of coroutine functions; may be used again and again.

    Args:
        flush: Waits for some seconds until everything has its fate.
        breaker: Says whether to wait is worth it.
        timeout: Longest wait in seconds.
    """

    def __init__(
        self, flush: Callable[[float], FlushResult], breaker: Breaker, timeout: float
    ) -> None:
        self._flush = flush
        self._breaker = breaker
        self._timeout = timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        was_open = self._breaker.is_open
        result = self._flush(0.0 if was_open else self._timeout)
        is_done = not (result.pending or result.spooled)
        if is_done or not was_open:
            self._breaker.record(success=is_done)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        import asyncio

        # The loop runs on meanwhile: what it has to send may be what is waited for.
        await asyncio.to_thread(self.__exit__)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Make a function that flushes before it returns."""
        from inspect import iscoroutinefunction

        if iscoroutinefunction(function):
            return cast("Callable[P, T]", self._around_coroutine(function))

        @wraps(function)
        def flushing(*args: P.args, **kwargs: P.kwargs) -> T:
            with self:
                return function(*args, **kwargs)

        return flushing

    def _around_coroutine(
        self, function: Callable[P, Coroutine[Any, Any, object]]
    ) -> Callable[P, Coroutine[Any, Any, object]]:
        @wraps(function)
        async def flushing(*args: P.args, **kwargs: P.kwargs) -> object:
            async with self:
                return await function(*args, **kwargs)

        return flushing

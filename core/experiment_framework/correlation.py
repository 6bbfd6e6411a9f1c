"""What ties the events of one request together."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

from experiment_framework.envelope import check_id

__all__ = ["correlation", "current_correlation_id"]

_correlation_id: ContextVar[str | None] = ContextVar("experiment_correlation_id", default=None)


@contextmanager
def correlation(correlation_id: str | UUID) -> Iterator[None]:
    """Give every event that is published inside the block this correlation id.

    It follows the context (`contextvars`): tasks that are started inside have it, threads have it
    where they run in a copy of the context, as those of `asyncio.to_thread` do. Blocks nest.

    Raises:
        EventError: The id is neither a string nor a UUID, or it is empty.
    """
    token = _correlation_id.set(check_id("", "correlation_id", correlation_id))
    try:
        yield
    finally:
        _correlation_id.reset(token)


def current_correlation_id() -> str | None:
    """Give the id of the enclosing `correlation`, else the current OpenTelemetry trace id.

    OpenTelemetry is never imported for it: where it is not loaded there is no trace.
    """
    return _correlation_id.get() or _current_trace_id()


def _current_trace_id() -> str | None:
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    # Another thread may be in the middle of importing it.
    get_current_span = getattr(trace, "get_current_span", None)
    if get_current_span is None:
        return None
    context = get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None

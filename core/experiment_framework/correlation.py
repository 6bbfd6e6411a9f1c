"""What ties the events of one request together."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["correlation", "current_correlation_id"]

_correlation_id: ContextVar[str | None] = ContextVar("experiment_correlation_id", default=None)


@contextmanager
def correlation(correlation_id: str) -> Iterator[None]:
    """Give every event that is published inside the block this correlation id.

    It follows the context (`contextvars`): threads and tasks started inside see what theirs copy.
    """
    token = _correlation_id.set(correlation_id)
    try:
        yield
    finally:
        _correlation_id.reset(token)


def current_correlation_id() -> str | None:
    """Give the id of the enclosing `correlation`, else the current OpenTelemetry trace id."""
    return _correlation_id.get() or _current_trace_id()


def _current_trace_id() -> str | None:
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None

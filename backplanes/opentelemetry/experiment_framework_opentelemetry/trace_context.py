"""The span that is active where an event is published, kept with the event.

What takes the event to OpenTelemetry runs on another thread, perhaps after the event had waited on
disk: by then nothing else knows the span.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from experiment_framework.plugin import Envelope, Phase, SampledOut, Step
from opentelemetry import trace
from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # what instrumentations look at has no public name
    attach,
    detach,
    set_value,
)

__all__ = ["TRACEPARENT", "Parent", "TraceContext", "handing_over", "parse_traceparent"]

TRACEPARENT: Final = "traceparent"
"""The metadata key, and the form of its value, of W3C Trace Context."""

_FORM: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

_here: Final = threading.local()


class Parent(msgspec.Struct, frozen=True):
    """A span by its ids.

    Attributes:
        trace_id: Of 128 bits, not 0.
        span_id: Of 64 bits, not 0.
        flags: Bit 1 says that it is sampled.
    """

    trace_id: int
    span_id: int
    flags: int


def parse_traceparent(written: object) -> Parent | None:
    """Read a ``traceparent``; None where there is none, or it is no such thing."""
    found = _FORM.fullmatch(written) if isinstance(written, str) else None
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.group(1, 2, 3))
    return Parent(trace_id, span_id, flags) if trace_id and span_id else None


@contextmanager
def handing_over() -> Iterator[None]:
    """Let nothing inside the block make telemetry about telemetry.

    Instrumented HTTP and gRPC clients make no spans of the requests, and an event that some span
    processor or log handler publishes in answer to ours is left out: it would go round for ever.
    """
    token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    _here.is_handing_over = True
    try:
        yield
    finally:
        _here.is_handing_over = False
        detach(token)


class TraceContext(Step[Any]):
    """Notes the active span in the metadata of an event, where there is none noted already."""

    phase = Phase.ENRICH

    def apply(self, envelope: Envelope) -> Envelope | SampledOut:
        """Give the event with its ``traceparent``; leave out what answers to our own telemetry."""
        if getattr(_here, "is_handing_over", False):
            return SampledOut("published while events were handed to OpenTelemetry")
        context = trace.get_current_span().get_span_context()
        if (
            not (self.options.trace_context and context.is_valid)
            or TRACEPARENT in envelope.metadata
        ):
            return envelope
        written = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        return msgspec.structs.replace(
            envelope, metadata={**envelope.metadata, TRACEPARENT: written}
        )

"""Events as the protobuf messages of OTLP.

They are made here and not by the SDK: its exporters say neither why a receiver refused a request
nor that it took a part of one only, and they try again by themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from experiment_framework_opentelemetry.application import SCOPE, scope_version
from experiment_framework_opentelemetry.description import AttributeValue, Description, Naming
from experiment_framework_opentelemetry.options import OpenTelemetryOptions, OtlpOptions, Signal

__all__ = ["Messages", "Rejection", "rejection_in"]

_SAMPLED: Final = 1
_SEVERITIES: Final = {
    "Info": SeverityNumber.SEVERITY_NUMBER_INFO,
    "Warning": SeverityNumber.SEVERITY_NUMBER_WARN,
    "Error": SeverityNumber.SEVERITY_NUMBER_ERROR,
}

Rejection = tuple[int, str]
"""How many spans or log records a receiver did not take, and what it said about it."""


class Messages:
    """Makes requests of events.

    Args:
        options: What an event becomes.
        otlp: What the resource is called.
    """

    def __init__(self, options: OpenTelemetryOptions, otlp: OtlpOptions) -> None:
        self._naming = Naming(options.provider_name, options.flag_set_id)
        resource = {"service.name": otlp.service_name} | otlp.resource
        self._resource = Resource(attributes=_attributes(resource))
        self._scope = InstrumentationScope(name=SCOPE, version=scope_version())
        self._makers: dict[Signal, Callable[[Sequence[Description]], bytes]] = {
            "spans": self._traces,
            "logs": self._logs,
        }

    def request(self, signal: Signal, events: Sequence[Description]) -> bytes:
        """Make a request of one kind; without events it is one that any receiver accepts."""
        return self._makers[signal](events)

    def _traces(self, events: Sequence[Description]) -> bytes:
        spans = ScopeSpans(scope=self._scope, spans=[_span(event) for event in events])
        request = ExportTraceServiceRequest(
            resource_spans=[ResourceSpans(resource=self._resource, scope_spans=[spans])]
            if events
            else []
        )
        return bytes(request.SerializeToString())

    def _logs(self, events: Sequence[Description]) -> bytes:
        records = [_log_record(event, self._naming) for event in events]
        logs = ScopeLogs(scope=self._scope, log_records=records)
        request = ExportLogsServiceRequest(
            resource_logs=[ResourceLogs(resource=self._resource, scope_logs=[logs])]
            if events
            else []
        )
        return bytes(request.SerializeToString())


def rejection_in(signal: Signal, answer: bytes) -> Rejection:
    """Read how much of a request was not accepted.

    Raises:
        google.protobuf.message.DecodeError: It is no answer of OTLP.
    """
    if signal == "spans":
        traces = ExportTraceServiceResponse.FromString(answer).partial_success
        return traces.rejected_spans, traces.error_message
    logs = ExportLogsServiceResponse.FromString(answer).partial_success
    return logs.rejected_log_records, logs.error_message


def _span(event: Description) -> Span:
    parent = event.parent
    trace_id, span_id = _ids(event.event_id)
    return Span(
        trace_id=trace_id if parent is None else parent.trace_id.to_bytes(16, "big"),
        span_id=span_id,
        parent_span_id=b"" if parent is None else parent.span_id.to_bytes(8, "big"),
        flags=_SAMPLED,
        name=event.event_type,
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=event.happened,
        end_time_unix_nano=event.happened,
        attributes=_attributes(event.attributes),
        status=None
        if event.failure is None
        else Status(code=Status.STATUS_CODE_ERROR, message=event.failure),
    )


def _log_record(event: Description, naming: Naming) -> LogRecord:
    parent = event.parent
    return LogRecord(
        time_unix_nano=event.happened,
        observed_time_unix_nano=event.published,
        severity_number=_SEVERITIES.get(event.severity, SeverityNumber.SEVERITY_NUMBER_INFO),
        event_name=event.log_name,
        attributes=_attributes(event.log_attributes(naming)),
        trace_id=b"" if parent is None else parent.trace_id.to_bytes(16, "big"),
        span_id=b"" if parent is None else parent.span_id.to_bytes(8, "big"),
        flags=0 if parent is None else parent.flags,
    )


def _ids(event_id: str) -> tuple[bytes, bytes]:
    """Give the ids of a trace and of a span that a repetition of the event has, too."""
    digest = hashlib.sha256(event_id.encode()).digest()
    try:
        trace_id = UUID(event_id).int
    except ValueError:
        trace_id = 0
    return trace_id.to_bytes(16, "big") if trace_id else digest[8:24], digest[:8]


def _attributes(values: Mapping[str, AttributeValue]) -> Iterable[KeyValue]:
    return [KeyValue(key=name, value=_any_value(value)) for name, value in values.items()]


def _any_value(value: AttributeValue) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=value)

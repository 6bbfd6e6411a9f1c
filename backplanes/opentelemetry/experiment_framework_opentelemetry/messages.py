"""Events as the protobuf messages of OTLP.

They are made here and not by the SDK: its exporters say neither why a receiver refused a request
nor that it took a part of one only, and they try again by themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
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
        self._resource = Resource()
        resource = {"service.name": otlp.service_name} | otlp.resource
        _fill_attributes(self._resource.attributes, resource)
        self._scope = InstrumentationScope(name=SCOPE, version=scope_version())
        self._makers: dict[Signal, Callable[[Sequence[Description]], bytes]] = {
            "spans": self._traces,
            "logs": self._logs,
        }

    def request(self, signal: Signal, events: Sequence[Description]) -> bytes:
        """Make a request of one kind; without events it is one that any receiver accepts."""
        return self._makers[signal](events)

    def _traces(self, events: Sequence[Description]) -> bytes:
        request = ExportTraceServiceRequest()
        if events:
            spans = ResourceSpans(
                resource=self._resource, scope_spans=[ScopeSpans(scope=self._scope)]
            )
            for event in events:
                _fill_span(spans.scope_spans[0].spans.add(), event)
            request.resource_spans.append(spans)
        return bytes(request.SerializeToString())

    def _logs(self, events: Sequence[Description]) -> bytes:
        request = ExportLogsServiceRequest()
        if events:
            logs = ResourceLogs(resource=self._resource, scope_logs=[ScopeLogs(scope=self._scope)])
            for event in events:
                _fill_log_record(logs.scope_logs[0].log_records.add(), event, self._naming)
            request.resource_logs.append(logs)
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


# Messages are filled in place: to make them of arguments takes three times as long.


def _fill_span(span: Span, event: Description) -> None:
    parent = event.parent
    span.trace_id, span.span_id = _ids(event.event_id)
    if parent is not None:
        span.trace_id = parent.trace_id.to_bytes(16, "big")
        span.parent_span_id = parent.span_id.to_bytes(8, "big")
    span.flags = _SAMPLED
    span.name = event.event_type
    span.kind = Span.SPAN_KIND_INTERNAL
    span.start_time_unix_nano = span.end_time_unix_nano = event.happened
    _fill_attributes(span.attributes, event.attributes)
    if event.failure is not None:
        span.status.code = Status.STATUS_CODE_ERROR
        span.status.message = event.failure


def _fill_log_record(log: LogRecord, event: Description, naming: Naming) -> None:
    parent = event.parent
    log.time_unix_nano = event.happened
    log.observed_time_unix_nano = event.published
    log.severity_number = _SEVERITIES.get(event.severity, SeverityNumber.SEVERITY_NUMBER_INFO)
    log.event_name = event.log_name
    _fill_attributes(log.attributes, event.log_attributes(naming))
    if parent is not None:
        log.trace_id = parent.trace_id.to_bytes(16, "big")
        log.span_id = parent.span_id.to_bytes(8, "big")
        log.flags = parent.flags


def _ids(event_id: str) -> tuple[bytes, bytes]:
    """Give the ids of a trace and of a span that a repetition of the event has, too."""
    digest = hashlib.sha256(event_id.encode()).digest()
    try:
        trace_id = UUID(event_id).int
    except ValueError:
        trace_id = 0
    return trace_id.to_bytes(16, "big") if trace_id else digest[8:24], digest[:8]


def _fill_attributes(attributes: Any, values: Mapping[str, AttributeValue]) -> None:
    add = attributes.add
    for name, value in values.items():
        attribute = add()
        attribute.key = name
        if isinstance(value, str):
            attribute.value.string_value = value
        elif isinstance(value, bool):
            attribute.value.bool_value = value
        elif isinstance(value, int):
            attribute.value.int_value = value
        else:
            attribute.value.double_value = value

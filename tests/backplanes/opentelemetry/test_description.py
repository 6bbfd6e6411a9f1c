from __future__ import annotations

from typing import Any

from event_strategies import events
from experiment_framework.envelope import Envelope, encode
from experiment_framework_opentelemetry import OpenTelemetryOptions, OtlpOptions
from experiment_framework_opentelemetry.description import describe
from experiment_framework_opentelemetry.messages import Messages
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_receiver import values

MESSAGES = Messages(
    OpenTelemetryOptions(signals=["spans", "logs"]), OtlpOptions(endpoint="http://localhost:4318")
)


@settings(max_examples=60, deadline=None)
@given(events, st.text(min_size=1, max_size=40) | st.none())
def test_any_event_has_a_span_and_a_log_record(event: Any, event_id: str | None) -> None:
    record = encode(Envelope.around(event, event_id=event_id))
    described = describe(record)

    traces = ExportTraceServiceRequest.FromString(MESSAGES.request("spans", [described]))
    logs = ExportLogsServiceRequest.FromString(MESSAGES.request("logs", [described]))

    (span,) = traces.resource_spans[0].scope_spans[0].spans
    (log,) = logs.resource_logs[0].scope_logs[0].log_records
    assert values(span.attributes)["dataplane.event.id"] == record.event_id
    assert values(log.attributes).items() >= values(span.attributes).items()
    assert len(span.trace_id) == 16
    assert any(span.trace_id)
    assert any(span.span_id)

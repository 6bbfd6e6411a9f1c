from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from experiment_framework import Assignment, DataPlane, ErrorEvent, Exposure, Outcome
from experiment_framework.envelope import Record
from experiment_framework.plugin import Retryable
from experiment_framework_opentelemetry import OpenTelemetryBackplane, OpenTelemetryOptions
from opentelemetry import trace
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode


def backplane(*signals: str, **options: Any) -> OpenTelemetryBackplane:
    return OpenTelemetryBackplane(
        OpenTelemetryOptions(signals=list(signals) or ["spans"], **options)  # type: ignore[arg-type]  # checked when it is made
    )


@contextmanager
def plane_of(made: OpenTelemetryBackplane) -> Iterator[DataPlane]:
    with DataPlane(made) as plane:
        yield plane
        plane.flush(10)


def test_a_span_says_what_the_event_says(
    spans: InMemorySpanExporter, record: Callable[..., Record]
) -> None:
    happened = datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)
    written = record(
        Exposure(
            experiment_name="checkout",
            variant_key="green",
            subject_id="user-1",
            tenant_id="acme",
            timestamp=happened,
            attributes={"cart": {"items": 3}},
        ),
        correlation_id="req-1",
        metadata={"region": "eu"},
    )
    backplane().write_batch([written])

    (span,) = spans.get_finished_spans()
    assert span.name == "Exposure"
    assert span.start_time == span.end_time == 1772600767_123456_000
    assert span.parent is None
    assert dict(span.attributes or {}) == {
        "dataplane.event.id": written.event_id,
        "dataplane.event.type": "Exposure",
        "dataplane.schema.version": "1.0.0",
        "dataplane.correlation.id": "req-1",
        "dataplane.metadata.region": "eu",
        "experiment.name": "checkout",
        "experiment.variant": "green",
        "experiment.subject.id": "user-1",
        "experiment.tenant.id": "acme",
        "experiment.selection_reason": "unspecified",
        "experiment.assignment_policy": "BestEffort",
        "experiment.is_repeat_exposure": False,
        "experiment.attributes": '{"cart":{"items":3}}',
    }


def test_every_type_has_its_own_fields(
    spans: InMemorySpanExporter, record: Callable[..., Record]
) -> None:
    known: dict[str, Any] = {"experiment_name": "checkout", "subject_id": "user-1"}
    backplane().write_batch(
        [
            record(Outcome(metric_name="basket", outcome_type="Continuous", value=9.5, **known)),
            record(Assignment(new_variant_key="b", change_reason="rollout", **known)),
            record(ErrorEvent(error_type="KeyError", message="no variant")),
        ]
    )
    outcome, assignment, error = spans.get_finished_spans()
    assert (outcome.attributes or {})["experiment.metric_name"] == "basket"
    assert (outcome.attributes or {})["experiment.value"] == 9.5
    assert (assignment.attributes or {})["experiment.variant"] == "b"
    assert (error.attributes or {})["experiment.error_type"] == "KeyError"
    assert error.status.status_code is StatusCode.ERROR
    assert error.status.description == "no variant"


def test_the_span_that_is_active_at_publish_is_the_parent(
    spans: InMemorySpanExporter, exposure: Callable[..., Exposure]
) -> None:
    tracer = trace.get_tracer("application")
    with plane_of(backplane()) as plane:
        with tracer.start_as_current_span("request") as request:
            plane.publish(exposure())
        plane.publish(exposure("user-2"))
    found = {span.name: span for span in spans.get_finished_spans()[:2]}
    inside = found["Exposure"]
    assert inside.parent is not None
    assert inside.parent.span_id == request.get_span_context().span_id
    assert inside.context.trace_id == request.get_span_context().trace_id
    assert spans.get_finished_spans()[-1].parent is None


def test_the_parent_can_be_left_out(
    spans: InMemorySpanExporter, exposure: Callable[..., Exposure]
) -> None:
    with (
        plane_of(backplane(trace_context=False)) as plane,
        trace.get_tracer("application").start_as_current_span("request"),
    ):
        plane.publish(exposure())
        plane.flush(10)
    assert spans.get_finished_spans()[0].parent is None


def test_a_traceparent_that_the_application_gives_counts(
    spans: InMemorySpanExporter, exposure: Callable[..., Exposure]
) -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with (
        plane_of(backplane()) as plane,
        trace.get_tracer("application").start_as_current_span("request"),
    ):
        plane.publish(exposure(), metadata={"traceparent": given})
        plane.flush(10)
    parent = spans.get_finished_spans()[0].parent
    assert parent is not None
    assert f"{parent.span_id:016x}" == "b7ad6b7169203331"


@pytest.mark.parametrize(
    "written", ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01", 7, None]
)
def test_a_traceparent_that_is_none_is_no_parent(
    written: object, spans: InMemorySpanExporter, record: Callable[..., Record]
) -> None:
    backplane().write_batch([record(metadata={"traceparent": written})])
    assert spans.get_finished_spans()[0].parent is None


def test_log_records_follow_the_convention_for_feature_flags(
    logs: InMemoryLogRecordExporter, record: Callable[..., Record]
) -> None:
    written = record(
        Exposure(
            experiment_name="checkout",
            variant_key="green",
            subject_id="user-1",
            selection_reason="targeting_match",
        ),
        metadata={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    )
    backplane("logs", provider_name="flags", flag_set_id="web").write_batch([written])

    (line,) = (each.log_record for each in logs.get_finished_logs())
    assert line.event_name == "feature_flag.evaluation"
    assert {key: value for key, value in (line.attributes or {}).items() if "flag" in key} == {
        "feature_flag.key": "checkout",
        "feature_flag.result.variant": "green",
        "feature_flag.result.reason": "targeting_match",
        "feature_flag.context.id": "user-1",
        "feature_flag.provider.name": "flags",
        "feature_flag.set.id": "web",
    }
    assert line.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert line.span_id == 0xB7AD6B7169203331


@pytest.mark.parametrize("signal", ["spans", "logs"])
def test_without_an_sdk_nothing_vanishes(
    signal: str, no_sdk: None, record: Callable[..., Record]
) -> None:
    made = backplane(signal)
    with pytest.raises(Retryable, match=r"no OpenTelemetry SDK is configured.*provider"):
        made.write_batch([record()])
    health = made.health()
    assert health.status == "UNHEALTHY"
    assert "no OpenTelemetry SDK" in health.reasons[0]


def test_an_sdk_that_is_disabled_is_none(
    no_sdk: None, record: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
    with pytest.raises(Retryable, match="OTEL_SDK_DISABLED"):
        backplane().write_batch([record()])


def test_an_sdk_that_is_configured_later_is_found(
    no_sdk: None, record: Callable[..., Record]
) -> None:
    made = backplane()
    assert made.health().status == "UNHEALTHY"
    trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
    assert made.health().is_healthy
    made.write_batch([record()])
    assert made.health().details["handedOver"] == 1


def test_what_the_sampler_leaves_out_is_counted(
    no_sdk: None, record: Callable[..., Record]
) -> None:
    trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    made = backplane()
    made.write_batch([record(), record()])
    assert made.health().details["notSampled"] == 2


class Raising(SpanProcessor):
    """A span processor that cannot bear one subject."""

    def on_end(self, span: ReadableSpan) -> None:
        if (span.attributes or {}).get("experiment.subject.id") == "bad":
            raise RuntimeError("cannot bear it")


def test_a_processor_that_raises_is_named_and_what_went_before_counts(
    no_sdk: None, record: Callable[..., Record], exposure: Callable[..., Exposure]
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Raising())
    trace.set_tracer_provider(provider)
    batch = [record(), record(exposure("bad")), record()]
    with pytest.raises(Retryable, match="RuntimeError: cannot bear it") as caught:
        backplane().write_batch(batch)
    assert caught.value.records == tuple(batch[1:])


class Echoing(SpanProcessor):
    """Publishes an event for each span, as a log handler may for each line that a span logs."""

    def __init__(self) -> None:
        self.plane: DataPlane | None = None
        self.answers: list[str] = []

    def on_end(self, span: ReadableSpan) -> None:
        if self.plane is not None:
            logging.getLogger("instrumentation").error("a span ended")
            error = ErrorEvent(error_type="Span", message=span.name)
            self.answers.append(self.plane.publish(error).status)


def test_telemetry_about_our_telemetry_does_not_go_round(
    no_sdk: None, exposure: Callable[..., Exposure]
) -> None:
    echo = Echoing()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(echo)
    trace.set_tracer_provider(provider)
    with DataPlane(backplane()) as plane:
        echo.plane = plane
        plane.publish(exposure())
        plane.flush(10)
        with trace.get_tracer("application").start_as_current_span("request"):
            pass  # a span of the application's own: what answers to it is published
        plane.flush(10)
        echo.plane = None
        assert echo.answers == ["sampled_out", "accepted", "sampled_out"]
        assert plane.stats().sampled_out == 2

"""The OpenTelemetry backplane keeps what every backplane promises, to a receiver and to an SDK."""

from __future__ import annotations

from typing import Any

import pytest
from experiment_framework.testing import BackplaneConformance, BackplaneUnderTest
from experiment_framework_opentelemetry import OpenTelemetryBackplane
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from otlp_receiver import OtlpReceiver, values


class TestReceiver(BackplaneConformance):
    @pytest.fixture
    def under_test(self, receiver: OtlpReceiver) -> BackplaneUnderTest:
        def take_away() -> None:
            receiver.answer = lambda items: (503, b"away")

        def bring_back() -> None:
            receiver.answer = lambda items: None

        return BackplaneUnderTest(
            plugin=OpenTelemetryBackplane,
            options={"otlp": {"endpoint": receiver.endpoint}},
            arrived=lambda: [
                values(span.attributes)["dataplane.event.id"] for span in list(receiver.spans)
            ],
            take_away=take_away,
            bring_back=bring_back,
        )


class TestApplicationSdk(BackplaneConformance):
    @pytest.fixture
    def under_test(
        self, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
    ) -> BackplaneUnderTest:
        provider: Any = trace.get_tracer_provider()
        return BackplaneUnderTest(
            plugin=OpenTelemetryBackplane,
            arrived=lambda: [
                str((span.attributes or {})["dataplane.event.id"])
                for span in spans.get_finished_spans()
            ],
            take_away=lambda: monkeypatch.setattr(trace, "_TRACER_PROVIDER", None),
            bring_back=lambda: monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider),
            outlives_process=False,
        )

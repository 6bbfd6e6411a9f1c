"""An OTLP receiver, the SDK of an application, and records to take there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from experiment_framework.envelope import Envelope, Record, encode
from experiment_framework.events import Event, Exposure
from experiment_framework_opentelemetry import (
    OpenTelemetryBackplane,
    OpenTelemetryOptions,
    OtlpOptions,
)
from opentelemetry import _logs, trace
from opentelemetry._logs import _internal as logs_api
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from otlp_receiver import OtlpReceiver


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver().listening() as listening:
        yield listening


@pytest.fixture
def no_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API as it is before an application has configured anything, until the test ends."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", trace.Once())
    monkeypatch.setattr(logs_api, "_LOGGER_PROVIDER", None)
    monkeypatch.setattr(logs_api, "_LOGGER_PROVIDER_SET_ONCE", logs_api.Once())


@pytest.fixture
def spans(no_sdk: None) -> Iterator[InMemorySpanExporter]:
    """What the application's SDK exports as spans."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield exporter
    provider.shutdown()


@pytest.fixture
def logs(no_sdk: None) -> Iterator[InMemoryLogRecordExporter]:
    """What the application's SDK exports as log records."""
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    _logs.set_logger_provider(provider)
    yield exporter
    provider.shutdown()


@pytest.fixture
def exposure() -> Callable[..., Exposure]:
    def make(subject_id: str = "user-1", **fields: Any) -> Exposure:
        known = {"experiment_name": "checkout", "variant_key": "green", "subject_id": subject_id}
        return Exposure(**(known | fields))

    return make


@pytest.fixture
def record(exposure: Callable[..., Exposure]) -> Callable[..., Record]:
    def make(event: Event | None = None, **fields: Any) -> Record:
        return encode(Envelope.around(event or exposure(), **fields))

    return make


@pytest.fixture
def sending_to(receiver: OtlpReceiver) -> Iterator[Callable[..., OpenTelemetryBackplane]]:
    """Make backplanes that send to the receiver; they are closed when the test ends."""
    made: list[OpenTelemetryBackplane] = []

    def make(*signals: str, **otlp: Any) -> OpenTelemetryBackplane:
        written = {"endpoint": receiver.endpoint, "timeout_ms": 5000} | otlp
        options = OpenTelemetryOptions(
            signals=list(signals) or ["spans"],  # type: ignore[arg-type]  # checked when it is made
            otlp=OtlpOptions(**written),
        )
        made.append(OpenTelemetryBackplane(options))
        return made[-1]

    yield make
    for backplane in made:
        backplane.close(1)

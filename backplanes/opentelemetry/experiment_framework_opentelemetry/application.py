"""Hands events to the SDK that the application has configured."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Final

from experiment_framework.plugin import Health, Record, Retryable
from opentelemetry import _logs, trace
from opentelemetry._logs import NoOpLogger, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags

from experiment_framework_opentelemetry.description import Description, Naming, describe
from experiment_framework_opentelemetry.options import OpenTelemetryOptions
from experiment_framework_opentelemetry.trace_context import Parent, handing_over

__all__ = ["SCOPE", "ApplicationSdk", "scope_version"]

SCOPE: Final = "experiment_framework"
"""The name of the instrumentation scope."""

_SEVERITIES: Final = {
    "Info": SeverityNumber.INFO,
    "Warning": SeverityNumber.WARN,
    "Error": SeverityNumber.ERROR,
}


_DISABLED: Final = "the SDK is disabled, perhaps by OTEL_SDK_DISABLED: events would vanish"


def scope_version() -> str:
    """Give the version of the instrumentation scope."""
    return metadata.version("experiment-framework-opentelemetry")


class ApplicationSdk:
    """The tracer and the logger of the application's own SDK.

    What is handed over is the SDK's: its sampler, its queue and its exporter decide what becomes of
    it, and none of them says so.
    """

    def __init__(self, options: OpenTelemetryOptions) -> None:
        self._signals = frozenset(options.signals)
        self._naming = Naming(options.provider_name, options.flag_set_id)
        self._version = scope_version()
        self._handed_over = 0
        self._not_sampled = 0

    def write(self, records: Sequence[Record]) -> None:
        """Hand records over.

        Raises:
            Retryable: No SDK is configured, or it raised; records before that one are handed over.
        """
        if obstacle := self._obstacle():
            raise Retryable(obstacle)
        self._tracer = trace.get_tracer(SCOPE, self._version)
        self._logger = _logs.get_logger(SCOPE, self._version)
        with handing_over():
            for index, record in enumerate(records):
                try:
                    self._hand_over(describe(record))
                except Exception as error:
                    reason = f"the application's SDK raised {type(error).__name__}: {error}"
                    raise Retryable(reason, records[index:]) from error
                self._handed_over += 1

    def health(self) -> Health:
        """Say whether there is an SDK; what it does with events it does not tell."""
        obstacle = self._obstacle()
        return Health.judge(
            unhealthy=(obstacle,) if obstacle else (),
            details={
                "exporter": "the application's SDK",
                "handedOver": self._handed_over,
                "notSampled": self._not_sampled,
            },
        )

    def close(self, timeout: float) -> None:
        """Leave the SDK alone: it is the application's."""

    def after_fork(self) -> None:
        """Leave the SDK alone: it looks after forks by itself."""
        self._handed_over = self._not_sampled = 0

    def _obstacle(self) -> str | None:
        """Say why events would vanish, if they would: an API without an SDK takes and forgets."""
        if "spans" in self._signals:
            tracers = trace.get_tracer_provider()
            if _is_of_the_api(tracers):
                return _not_configured("tracer", "opentelemetry.trace.set_tracer_provider")
            if isinstance(tracers.get_tracer(SCOPE), trace.NoOpTracer):
                return _DISABLED
        if "logs" in self._signals:
            loggers = _logs.get_logger_provider()
            if _is_of_the_api(loggers):
                return _not_configured("logger", "opentelemetry._logs.set_logger_provider")
            if isinstance(loggers.get_logger(SCOPE), NoOpLogger):
                return _DISABLED
        return None

    def _hand_over(self, event: Description) -> None:
        context = _context_of(event.parent)
        if "spans" in self._signals:
            self._make_span(event, context)
        if "logs" in self._signals:
            self._logger.emit(
                timestamp=event.happened,
                observed_timestamp=event.published,
                context=context,
                severity_number=_SEVERITIES.get(event.severity, SeverityNumber.INFO),
                attributes=event.log_attributes(self._naming),
                event_name=event.log_name,
            )

    def _make_span(self, event: Description, context: Context) -> None:
        span = self._tracer.start_span(
            event.event_type,
            context=context,
            attributes=event.attributes,
            start_time=event.happened,
        )
        if not span.is_recording():
            self._not_sampled += 1
        if event.failure is not None:
            span.set_status(Status(StatusCode.ERROR, event.failure))
        span.end(end_time=event.happened)


def _is_of_the_api(provider: object) -> bool:
    """Whether a provider is one of those that stand in until an SDK is configured."""
    return type(provider).__module__.startswith(("opentelemetry.trace", "opentelemetry._logs"))


def _not_configured(kind: str, function: str) -> str:
    return (
        f"no OpenTelemetry SDK is configured, so events would vanish: give {function}() a {kind} "
        "provider of opentelemetry-sdk, or send to a receiver directly with an `otlp` block"
    )


def _context_of(parent: Parent | None) -> Context:
    """Give a context with that parent, or with none: what is current here is nobody's parent."""
    if parent is None:
        return Context()
    known = SpanContext(
        parent.trace_id, parent.span_id, is_remote=False, trace_flags=TraceFlags(parent.flags)
    )
    return trace.set_span_in_context(NonRecordingSpan(known), Context())

"""The OpenTelemetry backplane, as the data plane sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from experiment_framework.plugin import Backplane, Health, Problem, Record, Step

from experiment_framework_opentelemetry.application import ApplicationSdk
from experiment_framework_opentelemetry.checks import check_options
from experiment_framework_opentelemetry.options import OpenTelemetryOptions
from experiment_framework_opentelemetry.receiver import Receiver
from experiment_framework_opentelemetry.trace_context import TraceContext

__all__ = ["OpenTelemetryBackplane"]


class OpenTelemetryBackplane(Backplane[OpenTelemetryOptions]):
    """Turns events into spans, log records, or both.

    By default they are handed to the SDK that the application has configured, and count as
    delivered then: what its sampler, queue and exporter do with them it does not tell. With an
    ``otlp`` block they are sent to a receiver, and count as delivered when that has accepted them.
    """

    def __init__(self, options: OpenTelemetryOptions | None = None) -> None:
        options = options or OpenTelemetryOptions()
        super().__init__(options)
        self._way: ApplicationSdk | Receiver = (
            ApplicationSdk(options) if options.otlp is None else Receiver(options, options.otlp)
        )

    def check(self, options: OpenTelemetryOptions) -> Iterator[Problem]:
        """Find unreadable files, headers that cannot be sent, a library that is missing."""
        return check_options(options)

    def steps(self) -> Sequence[Step[Any]]:
        """Note the active span with each event, before it is encoded."""
        return (TraceContext(self.options),)

    def write_batch(self, records: Sequence[Record]) -> None:
        """Hand records over, or send them.

        Raises:
            BatchFailure: The SDK or the receiver did not take them.
        """
        self._way.write(records)

    def health(self) -> Health:
        """Say whether there is an SDK, or how the receiver answered last."""
        return self._way.health()

    def close(self, timeout: float) -> None:
        """Let go of the receiver; the application's SDK is left alone."""
        self._way.close(timeout)

    def after_fork(self) -> None:
        """Connect anew in the child."""
        self._way.after_fork()

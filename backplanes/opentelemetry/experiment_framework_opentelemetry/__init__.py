"""Events as OpenTelemetry spans and log records."""

from experiment_framework_opentelemetry.options import OpenTelemetryOptions, OtlpOptions
from experiment_framework_opentelemetry.plugin import OpenTelemetryBackplane

__all__ = ["OpenTelemetryBackplane", "OpenTelemetryOptions", "OtlpOptions"]

"""Typed experiment events in, one backplane declared in YAML out.

The names below are the whole public API for applications; plugin authors import from
`experiment_framework.plugin`, tests from `experiment_framework.testing`.
"""

from typing import TYPE_CHECKING

from experiment_framework.correlation import correlation
from experiment_framework.dataplane import DataPlane
from experiment_framework.envelope import Envelope, decode
from experiment_framework.errors import (
    ConfigError,
    DecodeError,
    DeliveryError,
    EventError,
    ExperimentError,
    PluginError,
    SpoolError,
)
from experiment_framework.events import (
    AnalysisSignal,
    Assignment,
    AssignmentPolicy,
    ErrorEvent,
    Event,
    Exposure,
    Outcome,
    OutcomeType,
    Severity,
    SignalType,
)
from experiment_framework.health import Health, HealthStatus
from experiment_framework.results import (
    Breakdown,
    DeliveryReport,
    FlushResult,
    Receipt,
    ReceiptStatus,
    Stats,
)

if TYPE_CHECKING:
    from experiment_framework.dataplane_options import DataPlaneOptions

__all__ = [
    "AnalysisSignal",
    "Assignment",
    "AssignmentPolicy",
    "Breakdown",
    "ConfigError",
    "DataPlane",
    "DataPlaneOptions",
    "DecodeError",
    "DeliveryError",
    "DeliveryReport",
    "Envelope",
    "ErrorEvent",
    "Event",
    "EventError",
    "ExperimentError",
    "Exposure",
    "FlushResult",
    "Health",
    "HealthStatus",
    "Outcome",
    "OutcomeType",
    "PluginError",
    "Receipt",
    "ReceiptStatus",
    "Severity",
    "SignalType",
    "SpoolError",
    "Stats",
    "correlation",
    "decode",
]


def __getattr__(name: str) -> object:
    """Load what needs attrs only when it is asked for: the import of this package stays light."""
    if name == "DataPlaneOptions":
        from experiment_framework.dataplane_options import DataPlaneOptions

        return DataPlaneOptions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

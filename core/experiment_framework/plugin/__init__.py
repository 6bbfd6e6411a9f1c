"""What a plugin author imports, and all of it.

A backplane takes records somewhere durable; a step works on events before they are encoded.
"""

from experiment_framework._problems import Location, Problem
from experiment_framework.envelope import Envelope, Record, decode
from experiment_framework.errors import (
    DeliveryError,
    EncodingError,
    ExperimentError,
    QueueFullError,
    RecordTooLargeError,
    UnsupportedError,
)
from experiment_framework.health import Health, HealthStatus
from experiment_framework.plugin.backplane import Backplane, Context, Provisioned, Query, Stored
from experiment_framework.plugin.encoder import Encoded, Encoder
from experiment_framework.plugin.failures import (
    BatchFailure,
    BatchTooLarge,
    Permanent,
    Retryable,
)
from experiment_framework.plugin.hookspecs import at_hand, hookimpl
from experiment_framework.plugin.options import OptionMetadata, option, options
from experiment_framework.plugin.registration import register
from experiment_framework.plugin.step import Phase, SampledOut, Step
from experiment_framework.plugin.version import API_VERSION

__all__ = [
    "API_VERSION",
    "Backplane",
    "BatchFailure",
    "BatchTooLarge",
    "Context",
    "DeliveryError",
    "Encoded",
    "Encoder",
    "EncodingError",
    "Envelope",
    "ExperimentError",
    "Health",
    "HealthStatus",
    "Location",
    "OptionMetadata",
    "Permanent",
    "Phase",
    "Problem",
    "Provisioned",
    "Query",
    "QueueFullError",
    "Record",
    "RecordTooLargeError",
    "Retryable",
    "SampledOut",
    "Step",
    "Stored",
    "UnsupportedError",
    "at_hand",
    "decode",
    "hookimpl",
    "option",
    "options",
    "register",
]

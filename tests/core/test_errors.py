"""Every public error reaches another process, or a copy, as it was."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from experiment_framework import Envelope, Exposure, errors
from experiment_framework.envelope import encode
from experiment_framework.errors import (
    BrokenPluginError,
    ConfigError,
    DecodeError,
    DeliveryError,
    DuplicatePluginError,
    EncodingError,
    EventError,
    ExperimentError,
    HookError,
    PluginError,
    QueueFullError,
    RecordTooLargeError,
    SpoolError,
    SpoolFullError,
    UnknownPluginError,
    UnsupportedError,
)
from experiment_framework.plugin import (
    BatchFailure,
    BatchTooLarge,
    Location,
    Permanent,
    Problem,
    Retryable,
    failures,
)

PROBLEM = Problem(
    message="unknown key",
    path=("backplane", "brokers", 0),
    location=Location("experiments.yaml", 3, 5),
    suggestion="Did you mean brokers?",
)
RECORD = encode(
    Envelope.around(
        Exposure(experiment_name="checkout", variant_key="treatment", subject_id="user-1")
    )
)
EXAMPLES: list[ExperimentError] = [
    ExperimentError("something failed"),
    ConfigError([PROBLEM]),
    ConfigError([PROBLEM], "experiments.yaml:3:5 unknown key"),
    EventError("Exposure", "attributes.cart", "has no JSON form"),
    EventError("", "correlation_id", "expected a string"),
    DecodeError("not an envelope"),
    EncodingError("there is no schema of the event type Novelty"),
    PluginError("kafka", "cannot be used", distribution="other-kafka"),
    UnknownPluginError("kafak", "nothing has that name"),
    DuplicatePluginError("kafka", "two distributions claim it"),
    BrokenPluginError("kafka", "raised while it was loaded"),
    HookError("kafka", "a misspelt hook"),
    DeliveryError("no way out"),
    QueueFullError("no room"),
    RecordTooLargeError(2_000_000, 1_000_000),
    SpoolError(Path("spool"), "the disk is full", "free some space"),
    SpoolFullError(1000, 900),
    UnsupportedError("cannot read"),
    BatchFailure("no route"),
    Retryable("503", [RECORD]),
    Permanent("no such column", [RECORD]),
    BatchTooLarge("413"),
]


def pickled(error: ExperimentError) -> ExperimentError:
    copied: ExperimentError = pickle.loads(pickle.dumps(error))  # noqa: S301  # made here
    return copied


def test_the_examples_are_of_every_public_error() -> None:
    assert {type(error).__name__ for error in EXAMPLES} == {*errors.__all__, *failures.__all__}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("duplicate", [pickled, copy.copy, copy.deepcopy])
def test_an_error_survives_pickling_and_copying(
    error: ExperimentError, duplicate: Callable[[Any], Any]
) -> None:
    same = duplicate(error)

    assert type(same) is type(error)
    assert str(same) == str(error)
    assert same.args == error.args
    assert vars(same) == vars(error)


def test_notes_travel_with_an_error() -> None:
    error = DeliveryError("no way out")
    error.add_note("the broker is being upgraded")

    assert pickled(error).__notes__ == ["the broker is being upgraded"]


def test_every_error_has_an_exit_code_of_the_command_line() -> None:
    assert {error.exit_code for error in EXAMPLES} == {1, 2}
    assert EventError("Exposure", "f", "m").exit_code == ConfigError([]).exit_code == 2
    assert DeliveryError("m").exit_code == 1


def test_errors_about_input_are_value_errors_too() -> None:
    assert issubclass(EventError, ValueError)
    assert issubclass(DecodeError, ValueError)


def test_an_event_error_says_type_and_field_where_it_knows_them() -> None:
    assert str(EventError("Exposure", "tenant_id", "wrong")) == "Exposure.tenant_id: wrong"
    assert str(EventError("", "correlation_id", "wrong")) == "correlation_id: wrong"
    assert str(EventError("int", "", "is no event")) == "int: is no event"

"""Fields are checked where an event is built, and an event is a value."""

from __future__ import annotations

import collections
import copy
import datetime as dt
import enum
import pickle
import subprocess
import sys
import types
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from event_strategies import events
from experiment_framework import (
    AnalysisSignal,
    Assignment,
    ErrorEvent,
    Event,
    EventError,
    Exposure,
    Outcome,
)
from experiment_framework.events import EVENT_TYPES
from hypothesis import given


def exposure(**fields: Any) -> Exposure:
    required: dict[str, Any] = {
        "experiment_name": "checkout",
        "variant_key": "treatment",
        "subject_id": "user-1",
    }
    return Exposure(**(required | fields))


def outcome(value: Any, outcome_type: Any = "Continuous") -> Outcome:
    return Outcome(
        experiment_name="checkout",
        subject_id="user-1",
        metric_name="revenue",
        outcome_type=outcome_type,
        value=value,
    )


def refusal(**fields: Any) -> EventError:
    with pytest.raises(EventError) as caught:
        exposure(**fields)
    return caught.value


class Policy(enum.StrEnum):
    STICKY = "SubjectSticky"


class Name(str):
    __slots__ = ("origin",)


class Moment(datetime):
    """As freezegun and pandas have their own."""


def test_what_is_not_given_has_its_documented_default() -> None:
    before = datetime.now(UTC)

    event = exposure()

    assert before <= event.timestamp <= datetime.now(UTC)
    assert event.selection_reason == "unspecified"
    assert event.assignment_policy == "BestEffort"
    assert event.is_repeat_exposure is False
    assert event.subject_type is event.tenant_id is event.rule_path is event.attributes is None
    signal = AnalysisSignal(experiment_name="checkout", signal_type="Custom", message="look")
    assert signal.severity == "Info"


def test_each_event_type_has_its_wire_name() -> None:
    assert [(cls.event_type, cls) for cls in EVENT_TYPES.values()] == [
        ("Exposure", Exposure),
        ("Assignment", Assignment),
        ("Outcome", Outcome),
        ("AnalysisSignal", AnalysisSignal),
        ("Error", ErrorEvent),
    ]
    assert list(EVENT_TYPES) == [cls.event_type for cls in EVENT_TYPES.values()]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("experiment_name", 5, "a string"),
        ("variant_key", None, "a string"),
        ("subject_id", 17, "write str(…) around an id"),
        ("subject_id", UUID(int=1), "write str(…) around an id"),
        ("subject_id", b"user-1", "a string"),
        ("tenant_id", 3, "write str(…) around an id"),
        ("selection_reason", None, "a string"),
        ("assignment_policy", "Sticky", "BestEffort, SessionSticky, SubjectSticky, GloballySticky"),
        ("assignment_policy", ["BestEffort"], "one of BestEffort"),
        ("is_repeat_exposure", 1, "True or False"),
        ("is_repeat_exposure", "true", "True or False"),
        ("attributes", [("a", 1)], "a dict"),
        ("attributes", "a=1", "a dict"),
        ("timestamp", "2024-01-01T00:00:00Z", "an aware datetime"),
        ("timestamp", 1_700_000_000, "an aware datetime"),
        ("timestamp", None, "an aware datetime"),
        ("extra", [1], "a dict of fields that the event does not have"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_by_its_field(
    field: str, value: Any, expected: str
) -> None:
    error = refusal(**{field: value})

    assert (error.event_type, error.field) == ("Exposure", field)
    assert str(error).startswith(f"Exposure.{field}: expected ")
    assert expected in str(error)
    assert f"got {type(value).__name__}" in str(error)


def test_a_field_that_is_missing_or_unknown_is_a_type_error_that_names_it() -> None:
    with pytest.raises(TypeError, match="variant_key"):
        Exposure(experiment_name="checkout", subject_id="user-1")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="variantKey"):
        exposure(variantKey="b")


def test_the_text_of_an_error_stays_short_whatever_was_given() -> None:
    assert len(str(refusal(subject_id=["x" * 1000] * 1000))) < 300


def test_a_naive_timestamp_is_refused_with_the_way_to_make_it_aware() -> None:
    error = refusal(timestamp=datetime(2024, 1, 1))  # noqa: DTZ001  # it is refused

    assert error.field == "timestamp"
    assert "datetime.now(UTC)" in str(error)
    assert "value.replace(tzinfo=UTC)" in str(error)


@pytest.mark.parametrize(
    ("given_moment", "in_utc"),
    [
        (
            datetime(2024, 6, 1, 12, tzinfo=timezone(timedelta(hours=2))),
            datetime(2024, 6, 1, 10, tzinfo=UTC),
        ),
        (
            datetime(2024, 10, 27, 2, 30, fold=0, tzinfo=ZoneInfo("Europe/Berlin")),
            datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
        ),
        (
            datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
            datetime(2024, 10, 27, 1, 30, tzinfo=UTC),
        ),
        (datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)),
        (datetime.max.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
        (Moment(2024, 6, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)),
    ],
)
def test_an_aware_timestamp_becomes_a_plain_one_in_utc(
    given_moment: datetime, in_utc: datetime
) -> None:
    timestamp = exposure(timestamp=given_moment).timestamp

    assert timestamp == in_utc
    assert type(timestamp) is datetime
    assert timestamp.tzinfo is UTC


@pytest.mark.parametrize(
    "moment",
    [
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
    ],
)
def test_a_timestamp_out_of_the_range_of_utc_is_refused(moment: datetime) -> None:
    assert "years 1 and 9999" in str(refusal(timestamp=moment))


@pytest.mark.parametrize(
    ("field", "value", "settled"),
    [
        ("subject_id", Name("user-1"), "user-1"),
        ("subject_id", np.str_("user-1"), "user-1"),
        ("variant_key", Policy.STICKY, "SubjectSticky"),
        ("assignment_policy", Policy.STICKY, "SubjectSticky"),
        ("assignment_policy", np.str_("SessionSticky"), "SessionSticky"),
        ("is_repeat_exposure", np.bool_(True), True),
        ("attributes", collections.OrderedDict(a=1), {"a": 1}),
        ("attributes", collections.defaultdict(int, a=1), {"a": 1}),
        ("attributes", types.MappingProxyType({"a": 1}), {"a": 1}),
        ("attributes", collections.ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
    ],
)
def test_a_value_that_means_the_right_type_is_brought_to_it(
    field: str, value: Any, settled: Any
) -> None:
    kept = getattr(exposure(**{field: value}), field)

    assert kept == settled
    assert type(kept) is type(settled)


@pytest.mark.parametrize(
    ("outcome_type", "value", "settled"),
    [
        ("Binary", True, 1),
        ("Binary", False, 0),
        ("Binary", np.bool_(True), 1),
        ("Binary", 1.0, 1.0),
        ("Duration", timedelta(minutes=1, milliseconds=500), 60.5),
        ("Duration", np.timedelta64(1500, "ms"), 1.5),
        ("Count", 10**30, 10**30),
        ("Count", np.int64(5), 5),
        ("Count", np.uint8(5), 5),
        ("Continuous", -0.5, -0.5),
        ("Continuous", np.float64(0.5), 0.5),
        ("Continuous", np.float32(0.5), 0.5),
        ("Continuous", Decimal("1.25"), 1.25),
        ("Continuous", Fraction(1, 4), 0.25),
    ],
)
def test_an_outcome_takes_what_is_a_number(outcome_type: str, value: Any, settled: Any) -> None:
    kept = outcome(value, outcome_type).value

    assert kept == settled
    assert type(kept) is type(settled)


@pytest.mark.parametrize(
    ("outcome_type", "value"),
    [
        ("Continuous", float("nan")),
        ("Continuous", float("inf")),
        ("Continuous", np.float64("nan")),
        ("Continuous", Decimal("sNaN")),
        ("Continuous", Decimal("Infinity")),
        ("Continuous", True),
        ("Count", np.bool_(True)),
        ("Binary", timedelta(seconds=1)),
        ("Continuous", "12"),
        ("Continuous", b"12"),
        ("Continuous", 1j),
        ("Continuous", None),
        ("Continuous", np.array([1.0])),
        ("Continuous", Fraction(10**400)),
        ("Duration", np.timedelta64("NaT")),
    ],
)
def test_an_outcome_refuses_what_is_no_finite_number(outcome_type: str, value: Any) -> None:
    with pytest.raises(EventError, match="number") as caught:
        outcome(value, outcome_type)
    assert caught.value.field == "value"


def test_what_a_users_class_raises_is_a_refusal() -> None:
    class Broken:
        def __float__(self) -> float:
            raise RuntimeError("no connection")

        def __repr__(self) -> str:
            raise RuntimeError("no connection")

    with pytest.raises(EventError, match="a finite number") as caught:
        outcome(Broken())
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_fields_of_a_newer_version_cannot_shadow_those_of_the_event() -> None:
    assert exposure(extra={"riskScore": 1}).extra == {"riskScore": 1}
    assert "'tenantId' is a field of Exposure" in str(refusal(extra={"tenantId": "t"}))
    assert "strings as names" in str(refusal(extra={1: "t"}))


def test_an_event_cannot_be_changed_but_copied_with_a_change() -> None:
    event = exposure()

    with pytest.raises(AttributeError):
        event.variant_key = "other"  # type: ignore[misc]
    changed = msgspec.structs.replace(event, variant_key="other")
    assert changed.variant_key == "other"
    assert changed.timestamp == event.timestamp
    with pytest.raises(EventError):
        msgspec.structs.replace(event, variant_key=5)


@given(events)
def test_an_event_survives_copying_and_pickling(event: Event) -> None:
    assert copy.copy(event) == event
    assert copy.deepcopy(event) == event
    assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301  # made here


@given(events)
def test_the_repr_of_an_event_builds_it_again(event: Event) -> None:
    namespace = {cls.__name__: cls for cls in EVENT_TYPES.values()} | {"datetime": dt}

    assert eval(repr(event), namespace) == event  # noqa: S307  # made here


def test_events_are_compared_by_value_and_by_type() -> None:
    moment = datetime(2024, 1, 1, tzinfo=UTC)

    assert exposure(timestamp=moment) == exposure(timestamp=moment)
    assert hash(exposure(timestamp=moment)) == hash(exposure(timestamp=moment))
    assert exposure(timestamp=moment) != exposure(timestamp=moment, tenant_id="t")
    assert ErrorEvent(error_type="x", message="y") != outcome(1)


def test_an_event_is_matched_by_its_fields() -> None:
    match exposure():
        case Exposure(experiment_name=name, variant_key="treatment"):
            assert name == "checkout"
        case _:
            pytest.fail("not matched")
    assert Exposure.__match_args__ == ()


def test_an_event_class_cannot_be_subclassed() -> None:
    with pytest.raises(TypeError, match="put fields of your own into attributes"):
        type("MyExposure", (Exposure,), {})
    with pytest.raises(TypeError, match="put fields of your own into attributes"):

        class PageView(Event):
            page: str


def test_the_base_of_all_events_is_no_event() -> None:
    with pytest.raises(TypeError, match="build an Exposure"):
        Event()


def test_threads_may_build_the_first_event_of_a_class_at_once() -> None:
    program = """
import threading
from experiment_framework import EventError, Outcome
start, built, refused = threading.Barrier(8), [], []

def build():
    start.wait()
    for value in (True, "1"):
        try:
            built.append(Outcome(experiment_name="e", subject_id="s", metric_name="m",
                                 outcome_type="Binary", value=value).value)
        except EventError:
            refused.append(value)

threads = [threading.Thread(target=build) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert built == [1] * 8 and refused == ["1"] * 8, (built, refused)
"""

    subprocess.run([sys.executable, "-c", program], check=True)

"""Events, and values that an event may be given, as hypothesis makes them up."""

from __future__ import annotations

import collections
import dataclasses
import enum
import types
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from experiment_framework import AnalysisSignal, Assignment, ErrorEvent, Exposure, Outcome
from hypothesis import strategies as st


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1


class Size(enum.StrEnum):
    LARGE = "large"


class Point(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Basket:
    total: Any


names = st.text(min_size=1, max_size=12)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=6), children, max_size=4)
    ),
    max_leaves=12,
)
json_objects = st.dictionaries(st.text(max_size=6), json_values, max_size=4)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
moments = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001  # hypothesis adds the time zone
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001  # as above
    timezones=st.just(UTC) | st.timezones(),
)

_any_text = st.text(alphabet=st.characters(), max_size=8)  # lone surrogates too
_huge = st.integers(4298, 4301).map(lambda digits: 10**digits)  # about what str() refuses
_hashable = (
    st.none()
    | st.booleans()
    | st.integers()
    | _huge
    | st.floats()
    | _any_text
    | st.binary(max_size=8)
    | st.datetimes()
    | st.datetimes(timezones=st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.fractions()
    | st.complex_numbers()
    | st.uuids()
    | st.sampled_from([*Colour, *Level, *Size])
    | st.floats().map(np.float64)
    | st.floats(width=32).map(np.float32)
    | st.integers(-100, 100).map(np.int16)
    | st.booleans().map(np.bool_)
    | _any_text.map(np.str_)
    | st.sampled_from(
        [
            np.datetime64("2024-01-01T00:00:00.000000001", "ns"),
            np.datetime64("NaT"),
            np.timedelta64(5, "ns"),
            np.longdouble("1e400"),
            object(),
        ]
    )
)


def _containers(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(children, max_size=4)
    mappings = st.dictionaries(_hashable, children, max_size=4)
    return (
        lists
        | lists.map(tuple)
        | lists.map(collections.deque)
        | st.builds(Point, children, children)
        | st.builds(Basket, children)
        | mappings
        | mappings.map(collections.OrderedDict)
        | mappings.map(types.MappingProxyType)
        | st.sets(_hashable, max_size=4)
        | st.frozensets(_hashable, max_size=4)
        | st.lists(st.floats(), max_size=4).map(np.array)
    )


nearly_json = st.recursive(
    st.none() | st.integers() | st.floats() | _any_text | _huge | st.just(Size.LARGE),
    lambda children: (
        st.lists(children, max_size=3)
        | st.tuples(children)
        | st.dictionaries(_any_text | st.integers(0, 2), children, max_size=3)
    ),
    max_leaves=8,
)
"""Values that are nearly JSON."""

anything = st.recursive(_hashable | st.decimals(allow_nan=True), _containers, max_leaves=10)
"""Values of all kinds, many of which have no JSON form."""

_policies = st.sampled_from(["BestEffort", "SessionSticky", "SubjectSticky", "GloballySticky"])


def _events(
    cls: type, required: dict[str, Any], optional: dict[str, Any]
) -> st.SearchStrategy[Any]:
    fields = st.fixed_dictionaries(required, optional={"timestamp": moments} | optional)
    return fields.map(lambda given: cls(**given))


exposures = _events(
    Exposure,
    {"experiment_name": names, "variant_key": names, "subject_id": names},
    {
        "subject_type": names,
        "tenant_id": st.text(max_size=8),
        "selection_reason": names,
        "rule_path": names,
        "assignment_policy": _policies,
        "is_repeat_exposure": st.booleans(),
        "attributes": st.none() | json_objects,
    },
)
assignments = _events(
    Assignment,
    {
        "experiment_name": names,
        "subject_id": names,
        "new_variant_key": names,
        "change_reason": names,
    },
    {
        "subject_type": names,
        "tenant_id": st.text(max_size=8),
        "previous_variant_key": names,
        "assignment_policy": _policies,
        "attributes": json_objects,
    },
)
outcomes = _events(
    Outcome,
    {
        "experiment_name": names,
        "subject_id": names,
        "metric_name": names,
        "outcome_type": st.sampled_from(["Binary", "Continuous", "Count", "Duration"]),
        "value": numbers,
    },
    {
        "variant_key": st.text(max_size=8),
        "subject_type": names,
        "tenant_id": st.text(max_size=8),
        "attributes": json_objects,
    },
)
signals = _events(
    AnalysisSignal,
    {
        "experiment_name": names,
        "signal_type": st.sampled_from(["SampleRatioMismatch", "PeekingWarning", "Custom"]),
        "message": st.text(max_size=12),
    },
    {"severity": st.sampled_from(["Info", "Warning", "Error"]), "data": json_objects},
)
errors = _events(
    ErrorEvent,
    {"error_type": names, "message": st.text(max_size=12)},
    {
        "experiment_name": names,
        "variant_key": names,
        "subject_id": names,
        "tenant_id": st.text(max_size=8),
        "stack_trace": st.text(max_size=20),
        "fallback_variant_key": names,
        "attributes": json_objects,
    },
)
events = exposures | assignments | outcomes | signals | errors

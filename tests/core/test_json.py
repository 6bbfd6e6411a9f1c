"""Any nested value becomes strict JSON, or a refusal that names its place."""

from __future__ import annotations

import collections
import json
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import numpy as np
import pytest
import uuid_utils
from event_strategies import Basket, Colour, Level, Point, Size, anything, json_objects, nearly_json
from experiment_framework import Envelope, EventError, Exposure
from experiment_framework._json import Normalizer, is_plain
from experiment_framework.envelope import encode
from hypothesis import given, settings
from hypothesis import strategies as st


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def strictly(body: bytes) -> Any:
    assert b"\n" not in body
    return json.loads(body.decode(), parse_constant=refuse_constant)


def published(attributes: Any) -> dict[str, Any]:
    event = Exposure(
        experiment_name="checkout", variant_key="b", subject_id="s", attributes=attributes
    )
    envelope: dict[str, Any] = strictly(encode(Envelope.around(event)).body)
    return envelope


def as_json(value: Any) -> Any:
    return published({"value": value})["payload"]["attributes"]["value"]


def refusal(value: Any) -> EventError:
    with pytest.raises(EventError) as caught:
        as_json(value)
    return caught.value


@given(anything)
@settings(max_examples=300, deadline=None)
def test_any_value_is_strict_json_or_is_refused_by_its_path(value: Any) -> None:
    try:
        as_json(value)
    except EventError as caught:
        error = caught
    else:
        return
    assert error.event_type == "Exposure"
    assert error.field.startswith("attributes.value")
    assert str(error).startswith(f"Exposure.{error.field}: ")


@given(json_objects)
def test_json_stays_what_it_is(values: dict[str, Any]) -> None:
    assert published(values)["payload"]["attributes"] == values
    assert published(values)["metadata"] == {}


@given(st.dictionaries(st.text(max_size=4), nearly_json, max_size=3))
@settings(deadline=None)
def test_nothing_is_called_plain_that_msgspec_would_write_differently(
    values: dict[str, Any],
) -> None:
    if not is_plain(values):
        return
    try:
        directly = msgspec.json.encode(values)
    except ValueError:
        return  # the patient encoder says what is wrong
    normalize = Normalizer()

    assert msgspec.json.encode(normalize(values, "attributes")) == directly
    assert normalize.non_finite == []


@pytest.mark.parametrize("wide", [list(range(100_001)), dict.fromkeys(map(str, range(100_001)))])
def test_an_event_has_a_bounded_number_of_values(wide: Any) -> None:
    assert "more than 100,000 values in one event" in str(refusal(wide))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), "2024-05-06T07:08:09.000000Z"),
        (
            datetime(2024, 5, 6, 7, 8, 9, 5, tzinfo=timezone(timedelta(hours=2))),
            "2024-05-06T05:08:09.000005Z",
        ),
        (
            datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
            "2024-10-27T01:30:00.000000Z",
        ),
        (date(2024, 5, 6), "2024-05-06"),
        (time(7, 8), "07:08:00"),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        (Decimal("1.10"), "1.10"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (uuid_utils.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (PurePosixPath("a/b"), "a/b"),
        (b"\x00\xff", "AP8="),
        (bytearray(b"\x00"), "AA=="),
        (memoryview(b"\x00"), "AA=="),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ((1, (2,)), [1, [2]]),
        (range(3), [0, 1, 2]),
        (collections.deque([1]), [1]),
        (Point(1, 2), [1, 2]),
        (Basket(Decimal(3)), {"total": "3"}),
        (Colour.RED, "red"),
        (Colour.BLUE, 2),
        (Level.LOW, 1),
        (Size.LARGE, "large"),
        ({Size.LARGE: 1, 2: 2, True: 3, 1.5: 4}, {"large": 1, "2": 2, "true": 3, "1.5": 4}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (2**64, 2**64),
        (-(10**30), -(10**30)),
        (np.float64(1.5), 1.5),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.int64(2**40), 2**40),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        (np.bytes_(b"\x00"), "AA=="),
        (np.timedelta64(1500, "ms"), 1.5),
        (np.timedelta64(1_500_000_000, "ns"), 1.5),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(5), 5),
    ],
)
def test_values_have_their_documented_form(value: Any, expected: Any) -> None:
    assert as_json(value) == expected


def test_fields_of_attrs_classes_and_structs_are_members() -> None:
    @attrs.frozen
    class Cart:
        size: int

    class Session(msgspec.Struct):
        cart: Cart

    assert as_json(Session(Cart(3))) == {"cart": {"size": 3}}


def test_numbers_that_are_not_finite_are_null_and_are_named() -> None:
    envelope = published(
        {
            "score": float("nan"),
            "cart": {"totals": [1.0, float("inf")], "tax": Decimal("-Infinity")},
            "seen": {float("nan")},
            "when": np.datetime64("NaT"),
            "vector": np.array([0.5, np.nan]),
        }
    )

    assert envelope["payload"]["attributes"] == {
        "score": None,
        "cart": {"totals": [1.0, None], "tax": None},
        "seen": [None],
        "when": None,
        "vector": [0.5, None],
    }
    assert envelope["metadata"]["nonFinite"] == [
        "attributes.score",
        "attributes.cart.totals[1]",
        "attributes.cart.tax",
        "attributes.seen",
        "attributes.when",
        "attributes.vector[1]",
    ]


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.floats(), max_size=3)))
def test_each_null_that_was_a_number_is_named(values: dict[str, list[float]]) -> None:
    envelope = published(values)
    nulls = [
        f"attributes.{key}[{index}]"
        for key, items in (envelope["payload"]["attributes"] or {}).items()
        for index, item in enumerate(items)
        if item is None
    ]

    assert envelope["metadata"].get("nonFinite", []) == nulls


@pytest.mark.parametrize(
    ("value", "field", "message"),
    [
        ({"deep": [object()]}, "attributes.value.deep[0]", "builtins.object has no JSON form"),
        (1j, "attributes.value", "complex"),
        ({"at": datetime(2024, 1, 1)}, "attributes.value.at", "value.replace(tzinfo=UTC)"),  # noqa: DTZ001  # it is refused
        (np.datetime64("2024-05-06", "ns"), "attributes.value", "no time zone"),
        ("\ud800", "attributes.value", "lone surrogate"),
        ({"\ud800": 1}, "attributes.value", "lone surrogate"),
        ({(1, 2): 3}, "attributes.value", "a key of type tuple"),
        ({None: 3}, "attributes.value", "a key of type NoneType"),
        ({float("nan"): 3}, "attributes.value", "a key of type float"),
        ({1: "a", "1": "b"}, "attributes.value.1", "two keys"),
        ({"huge": 10**5000}, "attributes.value.huge", "several thousand digits"),
        (
            datetime.max.replace(tzinfo=timezone(-timedelta(hours=1))),
            "attributes.value",
            "not a moment in UTC",
        ),
    ],
)
def test_a_value_without_json_form_is_refused_by_its_place(
    value: Any, field: str, message: str
) -> None:
    error = refusal(value)

    assert error.field == field
    assert message in str(error)


def test_a_neighbour_of_a_refused_event_is_not_affected() -> None:
    shared: dict[str, Any] = {"price": 1.5}

    assert refusal(object())
    assert published(shared)["payload"]["attributes"] == shared


@pytest.mark.parametrize("branches", [1, 2])
def test_a_value_within_itself_is_refused_at_once(branches: int) -> None:
    node: dict[str, Any] = {"name": "root"}
    node["children"] = [node] * branches

    error = refusal(node)

    assert "within itself" in str(error)
    assert len(error.field) < 100


def test_a_small_value_that_is_endless_as_json_is_refused() -> None:
    doubled: list[Any] = []
    for _ in range(40):
        doubled = [doubled, doubled]

    assert "values in one event" in str(refusal(doubled))


def test_a_long_lazy_sequence_is_refused_and_not_copied() -> None:
    assert "values in one event" in str(refusal(range(10**15)))


def test_what_a_users_class_raises_while_it_is_read_is_a_refusal() -> None:
    class Broken(Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            raise RuntimeError("the session is closed")

        def __iter__(self) -> Iterator[str]:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    error = refusal({"lazy": Broken()})

    assert error.field == "attributes.value.lazy"
    assert "the session is closed" in str(error)


def test_a_mapping_that_another_thread_changes_never_breaks_the_encoder() -> None:
    changing: dict[str, Any] = {"fixed": 1}
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            for index in range(50):
                changing[f"key{index}"] = float("nan") if index % 7 == 0 else index
            for index in range(50):
                changing.pop(f"key{index}", None)

    thread = threading.Thread(target=change)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    try:
        for _ in range(2000):
            assert as_json(changing)["fixed"] == 1
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()


def test_numpy_is_never_imported_for_its_scalars() -> None:
    import subprocess

    program = (
        "import sys; from experiment_framework import Envelope, Exposure\n"
        "from experiment_framework.envelope import encode\n"
        "encode(Envelope.around(Exposure(experiment_name='e', variant_key='v', subject_id='s',"
        " attributes={'nan': float('nan')})))\n"
        "sys.exit('numpy' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

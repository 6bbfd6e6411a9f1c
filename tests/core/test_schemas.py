"""The shipped JSON Schemas say what is written, and hold future versions to it."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from event_strategies import (
    anything,
    assignments,
    errors,
    exposures,
    json_objects,
    moments,
    names,
    outcomes,
    signals,
)
from experiment_framework import Envelope, Event, EventError, Exposure, schemas
from experiment_framework.envelope import RESERVED_METADATA, encode
from experiment_framework.events import EVENT_TYPES
from experiment_framework.schemas import event_schema, file_name, generate, write
from hypothesis import given, settings
from hypothesis import strategies as st

SHIPPED = Path(schemas.__file__).with_name("schemas")
GOLDEN = Path(__file__).with_name("golden")
FROZEN = sorted((GOLDEN / "schemas").glob("*-1.0.0.json"))
"""The schemas of 1.0.0 as they were released."""

VALIDATORS = {
    event_type: jsonschema.Draft202012Validator(
        event_schema(event_type), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    for event_type in EVENT_TYPES
}


def document(event: Event, **fields: Any) -> dict[str, Any]:
    encoded: dict[str, Any] = json.loads(encode(Envelope.around(event, **fields)).body)
    return encoded


def exposure() -> dict[str, Any]:
    return document(Exposure(experiment_name="checkout", variant_key="b", subject_id="s"))


# The schemas say what is written


@given(
    exposures | assignments | outcomes | signals | errors,
    st.none() | names,
    st.none() | json_objects,
    moments,
)
@settings(deadline=None)
def test_what_is_written_is_valid(
    event: Event, correlation_id: str | None, metadata: dict[str, Any] | None, moment: Any
) -> None:
    from msgspec.structs import replace

    envelope = Envelope.around(event, correlation_id=correlation_id, metadata=metadata)
    record = encode(replace(envelope, timestamp=moment))

    VALIDATORS[event.event_type].validate(json.loads(record.body))


@given(anything)
@settings(deadline=None, max_examples=50)
def test_what_is_written_of_any_attribute_is_valid(value: Any) -> None:
    event = Exposure(
        experiment_name="checkout", variant_key="b", subject_id="s", attributes={"value": value}
    )
    try:
        written = document(event)
    except EventError:
        return
    VALIDATORS["Exposure"].validate(written)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_schema_is_of_draft_2020_12_and_explains_every_field(event_type: str) -> None:
    schema = event_schema(event_type)

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for members in (schema, schema["properties"]["payload"], schema["properties"]["metadata"]):
        assert members["additionalProperties"] is True
        assert all(member["description"].endswith(".") for member in members["properties"].values())


@pytest.mark.parametrize(
    "damage",
    [
        lambda written: written.pop("eventId"),
        lambda written: written.pop("correlationId"),
        lambda written: written.update(eventId=""),
        lambda written: written.update(eventType="Outcome"),
        lambda written: written.update(schemaVersion="2.0.0"),
        lambda written: written.update(timestamp="2024-01-01T00:00:00Z"),
        lambda written: written.update(timestamp="2024-13-01T00:00:00.000000Z"),
        lambda written: written.update(metadata=None),
        lambda written: written["payload"].pop("variantKey"),
        lambda written: written["payload"].pop("timestamp"),
        lambda written: written["payload"].pop("assignmentPolicy"),
        lambda written: written["payload"].update(assignmentPolicy="Sticky"),
        lambda written: written["payload"].update(subjectId=5),
        lambda written: written["payload"].update(isRepeatExposure=0),
        lambda written: written["payload"].update(attributes=[]),
        lambda written: written["payload"].update(tenantId=None),
        lambda written: written["payload"].update(timestamp="2024-02-30T00:00:00.000000Z"),
    ],
)
def test_a_schema_finds_what_is_wrong(damage: Callable[[dict[str, Any]], Any]) -> None:
    written = exposure()
    assert VALIDATORS["Exposure"].is_valid(written)

    damage(written)

    assert not VALIDATORS["Exposure"].is_valid(written)


def test_members_of_a_newer_minor_version_are_valid() -> None:
    written = exposure() | {"schemaVersion": "1.3.0", "region": "eu"}
    written["payload"]["riskScore"] = 0.5

    VALIDATORS["Exposure"].validate(written)


def test_metadata_that_the_data_plane_writes_is_described() -> None:
    members = event_schema("Outcome")["properties"]["metadata"]["properties"]

    assert members.keys() == RESERVED_METADATA


@pytest.mark.parametrize(
    "line", (GOLDEN / "envelopes-1.0.0.jsonl").read_text("utf-8").splitlines(), ids=range(12)
)
def test_an_envelope_of_version_1_0_0_is_valid_for_ever(line: str) -> None:
    written = json.loads(line)

    VALIDATORS[written["eventType"]].validate(written)


# They are shipped


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_the_shipped_schema_is_what_the_class_makes(event_type: str) -> None:
    assert event_schema(event_type) == generate(event_type), "run python -m ….schemas"


def test_files_are_named_after_type_and_version() -> None:
    assert {path.name for path in SHIPPED.iterdir()} >= {
        "exposure-1.0.0.json",
        "assignment-1.0.0.json",
        "outcome-1.0.0.json",
        "analysis-signal-1.0.0.json",
        "error-1.0.0.json",
    }
    assert {file_name(event_type) for event_type in EVENT_TYPES} <= {
        path.name for path in SHIPPED.iterdir()
    }


def test_the_files_are_written_by_running_the_module(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "experiment_framework.schemas", str(tmp_path / "out")], check=True
    )

    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (SHIPPED / path.name).read_bytes()
    assert [path.name for path in write(tmp_path)] == [file_name(name) for name in EVENT_TYPES]


@pytest.mark.parametrize(("event_type", "version"), [("Exposure", "9.0.0"), ("PageView", "1.0.0")])
def test_a_schema_that_is_not_there_is_said_to_be_missing(event_type: str, version: str) -> None:
    with pytest.raises(LookupError, match=r"there are analysis-signal-1\.0\.0\.json"):
        event_schema(event_type, version)


# Future versions are held to them


def without_prose(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    return {
        key: without_prose(value)
        for key, value in schema.items()
        if key not in {"$id", "title", "description"} or isinstance(value, dict)
    }


def incompatibilities(
    older: dict[str, Any], newer: dict[str, Any], path: str = ""
) -> Iterator[str]:
    """Tell what a later minor version may not change: it may only add optional members."""
    if "properties" not in older:
        if older != newer:
            yield f"{path}: {older} became {newer}"
        return
    for keyword in (older.keys() | newer.keys()) - {"properties", "required"}:
        if older.get(keyword) != newer.get(keyword):
            yield f"{path}: {keyword} changed"
    for name in set(older.get("required", ())) ^ set(newer.get("required", ())):
        yield f"{path}.{name}: is required in one version and not in the other"
    for name, member in older["properties"].items():
        if name not in newer.get("properties", {}):
            yield f"{path}.{name}: is gone"
        else:
            yield from incompatibilities(member, newer["properties"][name], f"{path}.{name}")


def between(older: dict[str, Any], newer: dict[str, Any]) -> list[str]:
    return list(incompatibilities(without_prose(older), without_prose(newer)))


@pytest.mark.parametrize("frozen", FROZEN, ids=lambda path: path.stem)
def test_every_minor_version_is_compatible_with_the_first(frozen: Path) -> None:
    first = json.loads(frozen.read_bytes())
    later = sorted(SHIPPED.glob(frozen.name.replace("1.0.0", "1.*")))

    assert frozen.name in [path.name for path in later]
    for path in later:
        assert between(first, json.loads(path.read_bytes())) == [], path.name


def test_every_event_type_has_a_frozen_schema() -> None:
    assert {path.name for path in FROZEN} == {path.name for path in SHIPPED.glob("*-1.0.0.json")}


def payload(schema: dict[str, Any]) -> dict[str, Any]:
    members: dict[str, Any] = schema["properties"]["payload"]
    return members


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: payload(schema)["properties"].pop("tenantId"),
        lambda schema: payload(schema)["properties"]["value"].update(type="integer"),
        lambda schema: payload(schema)["properties"]["outcomeType"]["enum"].append("Ratio"),
        lambda schema: payload(schema)["properties"]["timestamp"].pop("format"),
        lambda schema: payload(schema)["required"].append("tenantId"),
        lambda schema: payload(schema)["required"].remove("metricName"),
        lambda schema: payload(schema).update(additionalProperties=False),
        lambda schema: schema.update(additionalProperties=False),
        lambda schema: schema["required"].remove("correlationId"),
        lambda schema: schema["properties"]["schemaVersion"].update(const="1.1.0"),
    ],
)
def test_an_incompatible_change_is_noticed(change: Callable[[dict[str, Any]], Any]) -> None:
    later = copy.deepcopy(event_schema("Outcome"))

    change(later)

    assert between(event_schema("Outcome"), later)


def test_an_optional_member_may_be_added() -> None:
    later = copy.deepcopy(event_schema("Outcome"))
    payload(later)["properties"]["unit"] = {"type": "string"}
    later["properties"]["region"] = {"type": "string"}
    later["description"] = "Said better."

    assert between(event_schema("Outcome"), later) == []

"""The wire form: what is written, that it comes back, and what is refused."""

from __future__ import annotations

import json
import os
import re
import sys
import uuid
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uuid_utils
from event_strategies import events, json_objects, json_values, moments, names
from experiment_framework import (
    AnalysisSignal,
    Assignment,
    DecodeError,
    Envelope,
    ErrorEvent,
    Event,
    EventError,
    Exposure,
    Outcome,
    decode,
)
from experiment_framework.envelope import (
    SCHEMA_VERSION,
    Record,
    _encode_patiently,
    check_metadata,
    encode,
    encode_wrapped,
    new_event_id,
    wrap,
)
from hypothesis import given, settings
from hypothesis import strategies as st

GOLDEN = Path(__file__).with_name("golden") / "envelopes-1.0.0.jsonl"
MOMENT = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


def exposure(**fields: Any) -> Exposure:
    required: dict[str, Any] = {
        "experiment_name": "checkout",
        "variant_key": "treatment",
        "subject_id": "user-1",
        "timestamp": MOMENT,
    }
    return Exposure(**(required | fields))


def envelope(event: Any = None, **fields: Any) -> Envelope:
    event = exposure() if event is None else event
    required: dict[str, Any] = {
        "event_id": "id-1",
        "timestamp": MOMENT,
        "event_type": event.event_type if isinstance(event, Event) else "PageView",
        "payload": event,
    }
    return Envelope(**(required | fields))


def written(given_envelope: Envelope) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(encode(given_envelope).body)
    return document


envelopes = st.builds(
    envelope,
    events,
    event_id=names,
    timestamp=moments.map(lambda moment: moment.astimezone(UTC)),
    correlation_id=st.none() | names,
    metadata=json_objects,
)


# What is written


def test_an_envelope_is_written_as_documented() -> None:
    event = exposure(tenant_id="acme", attributes={"country": "DE"})

    assert written(envelope(event, correlation_id="request-1", metadata={"host": "a"})) == {
        "eventId": "id-1",
        "timestamp": "2024-05-06T07:08:09.123456Z",
        "eventType": "Exposure",
        "schemaVersion": "1.0.0",
        "payload": {
            "experimentName": "checkout",
            "variantKey": "treatment",
            "subjectId": "user-1",
            "tenantId": "acme",
            "timestamp": "2024-05-06T07:08:09.123456Z",
            "selectionReason": "unspecified",
            "assignmentPolicy": "BestEffort",
            "isRepeatExposure": False,
            "attributes": {"country": "DE"},
        },
        "correlationId": "request-1",
        "metadata": {"host": "a"},
    }


def test_what_is_not_set_is_left_out_but_for_the_correlation_id_and_the_metadata() -> None:
    document = written(envelope(ErrorEvent(error_type="Timeout", message="late")))

    assert document["correlationId"] is None
    assert document["metadata"] == {}
    assert document["payload"].keys() == {"timestamp", "errorType", "message"}


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (
            Exposure,
            (
                "experimentName variantKey subjectId subjectType tenantId timestamp "
                "selectionReason rulePath assignmentPolicy isRepeatExposure attributes"
            ),
        ),
        (
            Assignment,
            (
                "experimentName subjectId subjectType tenantId previousVariantKey newVariantKey "
                "timestamp changeReason assignmentPolicy attributes"
            ),
        ),
        (
            Outcome,
            (
                "experimentName variantKey subjectId subjectType tenantId metricName outcomeType "
                "value timestamp attributes"
            ),
        ),
        (AnalysisSignal, "experimentName signalType severity timestamp message data"),
        (
            ErrorEvent,
            (
                "experimentName variantKey subjectId tenantId errorType message stackTrace "
                "timestamp fallbackVariantKey attributes"
            ),
        ),
    ],
)
def test_payloads_have_the_documented_fields(cls: type[Event], fields: str) -> None:
    assert set(cls.__struct_encode_fields__) - {"$extra"} == set(fields.split())


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2024, 5, 6, tzinfo=UTC), "2024-05-06T00:00:00.000000Z"),
        (datetime(2024, 5, 6, 0, 0, 0, 120_000, tzinfo=UTC), "2024-05-06T00:00:00.120000Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000000Z"),
        (datetime.max.replace(tzinfo=UTC), "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_timestamps_always_have_six_fraction_digits(moment: datetime, text: str) -> None:
    document = written(envelope(exposure(timestamp=moment), timestamp=moment))

    assert document["timestamp"] == document["payload"]["timestamp"] == text


def test_a_whole_second_leaves_the_event_as_it_is() -> None:
    event = exposure(timestamp=datetime(2024, 5, 6, tzinfo=UTC))

    encode(envelope(event))

    assert event.timestamp == datetime(2024, 5, 6, tzinfo=UTC)


def test_attributes_are_read_when_the_event_is_encoded() -> None:
    attributes: dict[str, Any] = {"step": 1}
    event = exposure(attributes=attributes)
    attributes["step"] = 2

    assert written(envelope(event))["payload"]["attributes"] == {"step": 2}


@given(envelopes)
@settings(deadline=None)
def test_both_ways_through_the_encoder_write_the_same_bytes(given_envelope: Envelope) -> None:
    assert _encode_patiently(given_envelope) == encode(given_envelope)


class Name(str):
    __slots__ = ()


class Said(dict[str, Any]):
    pass


@given(
    events,
    st.none() | names | names.map(Name) | st.uuids(),
    st.none() | names | names.map(Name) | st.uuids(),
    st.none() | json_objects | json_objects.map(Said),
)
@settings(deadline=None)
def test_an_envelope_that_was_just_made_is_encoded_as_any_other(
    event: Event, event_id: Any, correlation_id: Any, metadata: dict[str, Any] | None
) -> None:
    made = wrap(event, event_id, correlation_id, metadata)
    assert encode_wrapped(made) == encode(made) == _encode_patiently(made)


@given(envelopes)
@settings(deadline=None)
def test_an_envelope_comes_back_as_it_was(given_envelope: Envelope) -> None:
    record = encode(given_envelope)

    assert decode(record.body) == given_envelope
    assert decode(record.body.decode()) == given_envelope
    assert encode(decode(record.body)) == record


@given(envelopes)
@settings(deadline=None)
def test_a_record_is_rebuilt_from_its_own_bytes(given_envelope: Envelope) -> None:
    record = encode(given_envelope)

    assert Record.from_body(record.body) == record


def test_a_record_has_what_it_is_routed_by() -> None:
    event = Assignment(
        experiment_name="checkout",
        subject_id="user-1",
        tenant_id="acme",
        previous_variant_key="control",
        new_variant_key="treatment",
        change_reason="ramp-up",
        timestamp=MOMENT - timedelta(hours=1),
    )

    record = encode(envelope(event, correlation_id="request-1"))

    assert record.timestamp == MOMENT - timedelta(hours=1)
    assert record.experiment_name == "checkout"
    assert record.variant_key == "treatment"
    assert record.subject_id == "user-1"
    assert record.tenant_id == "acme"
    assert record.headers() == [
        ("event-id", "id-1"),
        ("event-type", "Assignment"),
        ("schema-version", "1.0.0"),
        ("correlation-id", "request-1"),
    ]


def test_a_record_of_an_event_without_an_experiment_has_none() -> None:
    record = encode(envelope(ErrorEvent(error_type="Timeout", message="late")))

    assert record.experiment_name is record.variant_key is record.subject_id is None
    assert [name for name, _ in record.headers()] == ["event-id", "event-type", "schema-version"]


# Ids and metadata


def test_an_event_gets_an_id_of_version_7_and_the_time_of_publishing() -> None:
    before = datetime.now(UTC)

    made = Envelope.around(exposure())

    assert uuid.UUID(made.event_id).version == 7
    assert before <= made.timestamp <= datetime.now(UTC)
    assert made.payload == exposure()
    assert (made.event_type, made.schema_version) == ("Exposure", SCHEMA_VERSION)
    assert made.metadata == {}


def test_ids_are_unique_and_sorted_by_time() -> None:
    ids = [new_event_id() for _ in range(10_000)]

    assert len(set(ids)) == len(ids)
    assert sorted(ids, key=lambda made: made[:13]) == ids  # the first 48 bits are the time


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_forked_process_makes_other_ids_than_its_parent() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, "\n".join(new_event_id() for _ in range(500)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        of_child = set(pipe.read().split())
    os.waitpid(child, 0)
    of_parent = {new_event_id() for _ in range(500)}

    assert len(of_child) == 500
    assert not {made[19:] for made in of_child} & {made[19:] for made in of_parent}


def test_envelopes_do_not_share_their_metadata() -> None:
    Envelope.around(exposure()).metadata["seen"] = True
    envelope().metadata["seen"] = True

    assert Envelope.around(exposure()).metadata == envelope().metadata == {}


@pytest.mark.parametrize("field", ["event_id", "correlation_id"])
@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("job-17", "job-17"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (uuid_utils.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    ],
)
def test_an_id_is_a_string_or_a_uuid(field: str, value: Any, kept: str) -> None:
    made = Envelope.around(exposure(), **{field: value})

    assert getattr(made, field) == kept
    assert written(made)["eventId" if field == "event_id" else "correlationId"] == kept


@pytest.mark.parametrize("field", ["event_id", "correlation_id"])
@pytest.mark.parametrize("value", ["", 5, b"id", ["id"], True])
def test_another_id_is_refused_where_it_is_given(field: str, value: Any) -> None:
    with pytest.raises(EventError) as caught:
        Envelope.around(exposure(), **{field: value})
    assert caught.value.field == field


def test_metadata_of_an_application_is_checked() -> None:
    check_metadata("Exposure", {"host": "a", "nested": {"samplingRate": 1}})


@pytest.mark.parametrize(
    ("metadata", "field", "message"),
    [
        ({"samplingRate": 0.5}, "metadata.samplingRate", "reserved"),
        ({"nonFinite": []}, "metadata.nonFinite", "reserved"),
        ({5: 1}, "metadata", "expected strings as keys"),
        ([("host", "a")], "metadata", "expected a dict, got list"),
        ("host=a", "metadata", "expected a dict, got str"),
    ],
)
def test_metadata_that_an_application_may_not_give_is_refused(
    metadata: Any, field: str, message: str
) -> None:
    with pytest.raises(EventError, match=message) as caught:
        check_metadata("Exposure", metadata)
    assert caught.value.field == field


def test_metadata_has_the_json_form_of_attributes() -> None:
    document = written(envelope(metadata={"at": MOMENT, "load": float("nan"), "deep": {"a": {1}}}))

    assert document["metadata"] == {
        "at": "2024-05-06T07:08:09.123456Z",
        "load": None,
        "deep": {"a": [1]},
        "nonFinite": ["metadata.load"],
    }


def test_what_was_not_finite_stays_named_when_an_event_is_published_again() -> None:
    first = encode(envelope(exposure(attributes={"score": float("nan")})))

    assert encode(decode(first.body)) == first
    again = msgspec.structs.replace(
        decode(first.body), payload=exposure(attributes={"price": float("inf")})
    )
    assert written(again)["metadata"]["nonFinite"] == ["attributes.score", "attributes.price"]


# Envelopes that were made by hand or by a step


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"event_id": 5}, "event_id"),
        ({"event_id": ""}, "event_id"),
        ({"event_id": "\ud800"}, "event_id"),
        ({"correlation_id": 5}, "correlation_id"),
        ({"correlation_id": ""}, "correlation_id"),
        ({"timestamp": "2024-05-06T07:08:09Z"}, "timestamp"),
        ({"timestamp": MOMENT.replace(tzinfo=None)}, "timestamp"),
        ({"event_type": "Outcome"}, "payload"),
        ({"event_type": 5}, "event_type"),
        ({"event_type": "PageView"}, "payload"),
        ({"schema_version": "2.0.0"}, "schema_version"),
        ({"schema_version": "1.0"}, "schema_version"),
        ({"schema_version": None}, "schema_version"),
        ({"payload": {"variantKey": "b"}}, "payload"),
        ({"payload": None}, "payload"),
        ({"metadata": None}, "metadata"),
        ({"metadata": {"a": object()}}, "metadata.a"),
        ({"extra": []}, "extra"),
        ({"extra": {"eventId": "other"}}, "extra.eventId"),
        ({"extra": {"region": object()}}, "extra.region"),
    ],
)
def test_an_envelope_whose_parts_are_wrong_is_refused_by_the_part(
    fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(EventError) as caught:
        encode(msgspec.structs.replace(envelope(), **fields))
    assert caught.value.field == field


def test_an_envelope_in_another_time_zone_is_written_in_utc() -> None:
    local = MOMENT.astimezone(timezone(timedelta(hours=5)))

    assert written(envelope(timestamp=local))["timestamp"] == "2024-05-06T07:08:09.123456Z"


def test_fields_are_named_as_in_python_when_they_are_refused() -> None:
    with pytest.raises(EventError) as caught:
        encode(envelope(exposure(variant_key="\ud800")))
    assert caught.value.field == "variant_key"
    assert str(caught.value).startswith("Exposure.variant_key: ")


# Newer minor versions


def test_fields_of_a_newer_minor_version_are_kept_and_written_again() -> None:
    document = json.loads(encode(envelope()).body)
    document["schemaVersion"] = "1.7.0"
    document["region"] = {"name": "eu"}
    document["payload"]["riskScore"] = 0.5
    document["payload"]["$extra"] = "a name like any other"

    read = decode(json.dumps(document))

    assert read.extra == {"region": {"name": "eu"}}
    assert isinstance(read.payload, Exposure)
    assert read.payload.extra == {"riskScore": 0.5, "$extra": "a name like any other"}
    assert read.payload.variant_key == "treatment"
    assert written(read) == document


def test_an_event_type_of_a_newer_minor_version_is_kept_as_it_is() -> None:
    document = {
        "eventId": "id-1",
        "timestamp": "2024-05-06T07:08:09.123456Z",
        "eventType": "PageView",
        "schemaVersion": "1.2.0",
        "payload": {
            "timestamp": "2024-05-06T07:00:00.000000Z",
            "experimentName": "checkout",
            "subjectId": "user-1",
            "url": "/cart",
        },
        "correlationId": None,
        "metadata": {},
    }

    record = encode(decode(json.dumps(document)))

    assert json.loads(record.body) == document
    assert record.event_type == "PageView"
    assert record.experiment_name == "checkout"
    assert record.subject_id == "user-1"
    assert record.timestamp == datetime(2024, 5, 6, 7, tzinfo=UTC)


@given(
    st.dictionaries(
        st.sampled_from(
            ["timestamp", "experimentName", "variantKey", "newVariantKey", "subjectId", "tenantId"]
        ),
        json_values,
    )
)
def test_an_unknown_payload_is_routed_by_what_it_has(payload: dict[str, Any]) -> None:
    record = encode(envelope(payload))

    assert Record.from_body(record.body) == record
    assert json.loads(record.body)["payload"] == payload
    assert isinstance(record.subject_id, str | None)
    assert record.timestamp.tzinfo is UTC


def test_a_new_field_that_records_are_routed_by_is_read_alike_everywhere() -> None:
    document = json.loads(encode(envelope()).body)
    document["payload"]["newVariantKey"] = "b2"

    record = encode(decode(json.dumps(document)))

    assert Record.from_body(record.body) == record


# What is read


@pytest.mark.parametrize("line", GOLDEN.read_bytes().splitlines(), ids=lambda line: line[12:24])
def test_an_envelope_of_version_1_0_0_is_read_for_ever(line: bytes) -> None:
    read = decode(line)

    assert isinstance(read.payload, Event)
    assert read.payload.event_type == read.event_type
    assert json.loads(encode(read).body) == json.loads(line)
    assert Record.from_body(line) == msgspec.structs.replace(encode(read), body=line)


def test_only_type_and_payload_are_needed_where_the_rest_is_filled_in() -> None:
    document = {
        "eventType": "Exposure",
        "payload": {"experimentName": "checkout", "variantKey": "b", "subjectId": "user-1"},
        "metadata": None,
    }

    read = decode(json.dumps(document), fill_missing=True)

    assert uuid.UUID(read.event_id).version == 7
    assert read.schema_version == SCHEMA_VERSION
    assert read.metadata == {}
    assert isinstance(read.payload, Exposure)
    assert read.payload.selection_reason == "unspecified"
    with pytest.raises(DecodeError):
        decode(json.dumps(document))


def test_what_is_there_is_kept_where_the_rest_is_filled_in() -> None:
    body = encode(envelope(correlation_id="request-1", metadata={"samplingRate": 0.5})).body

    assert decode(body, fill_missing=True) == decode(body)


def test_a_byte_order_mark_is_skipped() -> None:
    body = encode(envelope()).body

    assert decode(b"\xef\xbb\xbf" + body) == decode("\ufeff" + body.decode()) == decode(body)


def test_of_two_members_with_one_name_the_last_one_counts_everywhere() -> None:
    body = encode(envelope()).body.replace(
        b'"variantKey":"treatment"', b'"variantKey":"a","variantKey":"b"'
    )

    read = decode(body)

    assert isinstance(read.payload, Exposure)
    assert read.payload.variant_key == Record.from_body(body).variant_key == "b"


def test_timestamps_with_an_offset_are_read_as_utc() -> None:
    body = encode(envelope()).body.replace(
        b"2024-05-06T07:08:09.123456Z", b"2024-05-06T09:08:09.123456+02:00"
    )

    read = decode(body)

    assert isinstance(read.payload, Exposure)
    assert read.timestamp == read.payload.timestamp == MOMENT
    assert read.timestamp.tzinfo is read.payload.timestamp.tzinfo is UTC


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eventId": None}, r"\$\.eventId"),
        ({"eventId": ""}, r"\$\.eventId"),
        ({"timestamp": "yesterday"}, r"\$\.timestamp"),
        ({"timestamp": "2024-05-06T07:08:09"}, r"timezone.*\$\.timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "out of range"),
        ({"eventType": 5}, r"\$\.eventType"),
        ({"schemaVersion": "2.0.0"}, "this release reads 1.x.y"),
        ({"schemaVersion": "10.0.0"}, "this release reads 1.x.y"),
        ({"schemaVersion": "1"}, "this release reads 1.x.y"),
        ({"schemaVersion": "1.0.0\n"}, "this release reads 1.x.y"),
        ({"schemaVersion": 1}, "this release reads 1.x.y"),
        ({"payload": None}, "payload is None"),
        ({"payload": []}, "payload is"),
        ({"correlationId": 5}, r"\$\.correlationId"),
        ({"metadata": None}, r"\$\.metadata"),
        ({"metadata": []}, r"\$\.metadata"),
        ({"payload.variantKey": 5}, r"not a valid Exposure.*\$\.variantKey"),
        ({"payload.assignmentPolicy": "Sticky"}, r"not a valid Exposure.*\$\.assignmentPolicy"),
        ({"payload.isRepeatExposure": 0}, r"not a valid Exposure.*\$\.isRepeatExposure"),
        ({"payload.attributes": []}, r"not a valid Exposure.*\$\.attributes"),
        ({"payload.timestamp": "2024-05-06T07:08:09"}, r"not a valid Exposure.*\$\.timestamp"),
        ({"payload.timestamp": "0001-01-01T00:00:00+14:00"}, "not a valid Exposure.*years 1 and"),
    ],
)
def test_what_is_no_envelope_is_refused_by_its_member(
    changes: dict[str, Any], message: str
) -> None:
    document = json.loads(encode(envelope()).body)
    for path, value in changes.items():
        *parents, name = path.split(".")
        target = document[parents[0]] if parents else document
        target[name] = value

    with pytest.raises(DecodeError) as caught:
        decode(json.dumps(document))
    assert re.search(message, str(caught.value))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"{} {}",
        b"\x00",
        b"\xff\xfe{\x00}\x00",
        b'{"eventId": NaN}',
        b'{"eventId": 1e999}',
        b'{"eventId": ' + b"1" * 5000 + b"}",
        b'{"a":' * 100_000,
        b"[" * 100_000,
        '{"eventId": "\ud800"}',
        '{"eventId": "\\ud800"}',
    ],
    ids=range(14),
)
def test_what_is_no_json_object_is_refused(data: bytes | str) -> None:
    with pytest.raises(DecodeError, match="not a JSON object"):
        decode(data)
    if isinstance(data, bytes):
        with pytest.raises(DecodeError, match="not an envelope"):
            Record.from_body(data)


def read_or_refused(data: bytes) -> None:
    """Fail with whatever else than a `DecodeError` is raised."""
    for read in (decode, lambda body: decode(body, fill_missing=True), Record.from_body):
        try:
            read(data)
        except DecodeError as refused:
            assert str(refused)  # noqa: PT017  # any other error fails the test


@given(st.binary(max_size=64) | st.text(max_size=64).map(lambda text: text.encode()))
def test_arbitrary_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refused(data)


@given(json_values)
def test_arbitrary_json_is_read_or_refused(value: Any) -> None:
    read_or_refused(json.dumps(value).encode())


@given(envelopes, st.data())
@settings(deadline=None)
def test_an_envelope_with_one_part_exchanged_is_read_or_refused(
    given_envelope: Envelope, data: st.DataObject
) -> None:
    document = json.loads(encode(given_envelope).body)
    target = data.draw(st.sampled_from([document, document["payload"]]))
    name = data.draw(st.sampled_from(sorted(target)))
    if data.draw(st.booleans()):
        target[name] = data.draw(json_values)
    else:
        del target[name]

    read_or_refused(json.dumps(document).encode())


@given(envelopes, st.data())
@settings(deadline=None)
def test_a_damaged_envelope_is_read_or_refused(
    given_envelope: Envelope, data: st.DataObject
) -> None:
    body = bytearray(encode(given_envelope).body)
    position = data.draw(st.integers(0, len(body) - 1))
    if data.draw(st.booleans()):
        del body[position:]
    else:
        body[position] = data.draw(st.integers(0, 255))

    read_or_refused(bytes(body))


def test_a_huge_number_in_an_attribute_comes_back_exactly() -> None:
    event = exposure(attributes={"huge": 10**4000, "small": -(2**70)})

    assert decode(encode(envelope(event)).body).payload == event


def test_records_wait_in_queues_without_work_for_the_garbage_collector() -> None:
    import gc

    assert not gc.is_tracked(encode(envelope()))
    assert sys.getsizeof(encode(envelope())) < 150

"""The whole way: a data plane, an embedded Kafka, and a stand-in for the registry."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Message
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from experiment_framework import DataPlane, Exposure, Outcome, decode
from experiment_framework._cli.main import experiment
from experiment_framework.envelope import Record
from experiment_framework.plugin import DeliveryError, Query
from experiment_framework.schemas import event_schema
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, KafkaOptions
from experiment_framework_kafka.schema_registry import (
    SchemaRegistryJsonEncoder,
    SchemaRegistryOptions,
)
from schema_registry import SchemaRegistry

EXPOSURE = Exposure(experiment_name="checkout", variant_key="green", subject_id="user-1")
OUTCOME = Outcome(
    experiment_name="checkout",
    subject_id="user-1",
    metric_name="bought",
    outcome_type="Binary",
    value=1,
)


@pytest.fixture
def registry() -> Iterator[SchemaRegistry]:
    with SchemaRegistry().listening() as listening:
        yield listening


@pytest.fixture
def config(kafka: EmbeddedKafka, registry: SchemaRegistry, topic: str) -> Callable[..., Any]:
    """Make a configuration; its encoding takes what a test says besides."""

    def make(*, data_plane: dict[str, Any] | None = None, **encoding: Any) -> dict[str, Any]:
        written = {"type": "schemaRegistryJson", "url": registry.url} | encoding
        options = {"brokers": kafka.bootstrap_servers, "topicPrefix": topic[:100], "lingerMs": 1}
        return {
            "experimentFramework": {
                "dataPlane": {
                    "encoding": written,
                    "backplane": {"type": "kafka", "options": options},
                    **(data_plane or {}),
                }
            }
        }

    return make


def exposures(topic: str) -> str:
    return f"{topic[:100]}experiment-exposures"


def test_messages_are_what_confluents_own_reader_reads(
    config: Callable[..., Any],
    registry: SchemaRegistry,
    consumed: Callable[[str], list[Message]],
    topic: str,
) -> None:
    with DataPlane.from_config(config()) as plane:
        receipt = plane.publish(EXPOSURE)
        assert plane.flush(20).delivered == 1
    (message,) = consumed(exposures(topic))
    body = message.value() or b""
    assert body[0] == 0

    with SchemaRegistryClient({"url": registry.url}) as client:
        read = JSONDeserializer(None, schema_registry_client=client)
        context = SerializationContext(exposures(topic), MessageField.VALUE)
        envelope: Any = read(body, context)
    assert envelope["eventId"] == receipt.event_id
    assert envelope["payload"]["variantKey"] == "green"
    headers: Any = message.headers()
    assert dict(headers)["event-id"] == receipt.event_id.encode()


def test_our_published_schemas_are_registered_once(
    config: Callable[..., Any], registry: SchemaRegistry, topic: str
) -> None:
    with DataPlane.from_config(config()) as plane:
        for _ in range(100):
            plane.publish(EXPOSURE)
            plane.publish(OUTCOME)
        plane.flush(20)
        assert len(plane.health().details["schemaIds"]) == 5
    assert set(registry.subjects) == {
        f"{topic[:100]}experiment-{kind}-value"
        for kind in ("exposures", "assignments", "outcomes", "analysis-signals", "errors")
    }
    (schema,) = registry.subjects[f"{exposures(topic)}-value"]
    assert json.loads(schema) == event_schema("Exposure")
    assert len(registry.requests) == 5


def test_what_was_written_is_read_back_as_json(config: Callable[..., Any]) -> None:
    with DataPlane.from_config(config()) as plane:
        plane.publish(EXPOSURE)
        plane.publish(OUTCOME)
        plane.flush(20)
        found = list(plane.read(Query(experiment_name="checkout")))
    kinds = {decode(stored.body).event_type for stored in found}
    assert kinds == {"Exposure", "Outcome"}


def test_what_was_written_before_there_was_a_registry_is_read_too(
    config: Callable[..., Any],
) -> None:
    framed = config()
    plain = config()
    plain["experimentFramework"]["dataPlane"]["encoding"] = "json"
    for written in (plain, framed):
        with DataPlane.from_config(written) as plane:
            plane.publish(EXPOSURE)
            plane.flush(20)
    with DataPlane.from_config(framed) as plane:
        bodies = [stored.body for stored in plane.read(Query())]
    assert len(bodies) == 2
    assert all(body.startswith(b"{") for body in bodies)


def test_tail_prints_it(config: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "experiments.json"
    file.write_text(json.dumps(config()))
    with DataPlane.from_config(str(file)) as plane:
        receipt = plane.publish(EXPOSURE)
        plane.flush(20)
    done = CliRunner().invoke(experiment, ["tail", str(file), "--no-follow", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["eventId"] == receipt.event_id


def test_types_that_share_a_topic_have_their_own_subjects(
    config: Callable[..., Any], registry: SchemaRegistry, topic: str
) -> None:
    written = config()
    options = written["experimentFramework"]["dataPlane"]["backplane"]["options"]
    del options["topicPrefix"]
    options["topic"] = topic
    with DataPlane.from_config(written) as plane:
        plane.publish(EXPOSURE)
        assert plane.flush(20).delivered == 1
    assert len(registry.subjects) == 5
    assert all(subject.startswith(f"{topic}-") for subject in registry.subjects)


def test_schemas_that_have_to_be_there_are_looked_up(
    config: Callable[..., Any], registry: SchemaRegistry, until: Callable[..., None]
) -> None:
    with DataPlane.from_config(config(autoRegister=False, startTimeoutMs=300)) as plane:
        assert plane.publish(EXPOSURE).status == "dropped"
        until(lambda: "Schema not found" in str(plane.health().reasons))
    DataPlane.from_config(config()).close()
    with DataPlane.from_config(config(autoRegister=False)) as plane:
        assert plane.publish(EXPOSURE).status == "accepted"


def test_the_log_in_is_sent_and_never_shown(
    config: Callable[..., Any],
    registry: SchemaRegistry,
    tmp_path: Path,
    until: Callable[..., None],
) -> None:
    registry.log_in = "me:canary-secret"
    secret = tmp_path / "secret"
    secret.write_text("canary-secret\n")
    with DataPlane.from_config(config(username="me", passwordFile=str(secret))) as plane:
        assert plane.publish(EXPOSURE).status == "accepted"
    wrong = config(username="me", password="canary-wrong", startTimeoutMs=2000)
    with DataPlane.from_config(wrong) as plane:
        until(lambda: "Unauthorized" in str(plane.health().reasons))
        assert "canary" not in str(plane.health())
    file = tmp_path / "experiments.json"
    file.write_text(json.dumps(wrong))
    for command in ("describe", "validate"):
        done = CliRunner().invoke(experiment, [command, str(file), "--json"])
        assert done.exit_code == 0, done.output
        assert "canary" not in done.output


def test_without_the_registry_events_are_counted_as_dropped(
    config: Callable[..., Any], registry: SchemaRegistry, until: Callable[..., None]
) -> None:
    registry.answer = lambda path: (500, {"error_code": 500, "message": "broken"})
    with DataPlane.from_config(config(startTimeoutMs=100)) as plane:
        assert plane.publish(EXPOSURE).reason == "queue_full"
        until(lambda: "broken" in str(plane.health().reasons))
        assert plane.stats().dropped == {"queue_full": 1}


def test_a_registry_that_stalls_holds_up_nobody_for_longer_than_is_said(
    config: Callable[..., Any], registry: SchemaRegistry
) -> None:
    over = threading.Event()
    registry.answer = lambda path: over.wait(60) and None
    began = time.monotonic()
    try:
        with DataPlane.from_config(
            config(
                startTimeoutMs=200,
                timeoutMs=60_000,
                data_plane={"failureMode": "block", "blockTimeoutMs": 200},
            )
        ) as plane:
            assert plane.publish(EXPOSURE).status == "dropped"
            assert not plane.health().is_healthy
        assert time.monotonic() - began < 10
    finally:
        over.set()


def test_events_wait_on_disk_until_the_registry_is_back(
    config: Callable[..., Any],
    registry: SchemaRegistry,
    consumed: Callable[[str], list[Message]],
    topic: str,
    tmp_path: Path,
) -> None:
    registry.answer = lambda path: (503, {"error_code": 50302, "message": "no leader"})
    spool = {"spool": {"directory": str(tmp_path / "spool")}}
    with DataPlane.from_config(config(startTimeoutMs=100, data_plane=spool)) as plane:
        receipts = [plane.publish(EXPOSURE) for _ in range(20)]
        assert {receipt.status for receipt in receipts} == {"spooled"}
        registry.answer = lambda path: None
        result = plane.flush(30)
        assert (result.delivered, result.spooled) == (20, 0)
    ids = [json.loads((m.value() or b"")[5:])["eventId"] for m in consumed(exposures(topic))]
    assert ids == [receipt.event_id for receipt in receipts]


@pytest.mark.parametrize("report_each", [True, False])
def test_a_record_that_fails_is_told_as_it_was_given(
    report_each: bool,
    registry: SchemaRegistry,
    record: Callable[..., Record],
    ledger: Any,
    black_hole: str,
    until: Callable[..., None],
) -> None:
    context = ledger(report_each=report_each)
    backplane = KafkaBackplane(KafkaOptions(brokers=[black_hole], delivery_timeout_ms=300))
    backplane._context = context
    backplane.encode_with(SchemaRegistryJsonEncoder(SchemaRegistryOptions(url=[registry.url])))
    backplane.open()
    given = record(1)
    backplane.publish(given)
    try:
        until(lambda: context.lost)
        assert context.lost[0][0] == given
    finally:
        backplane.close(0)


def test_a_type_without_a_schema_is_refused_and_kept(
    config: Callable[..., Any], tmp_path: Path
) -> None:
    letters = {"deadLetters": {"path": str(tmp_path / "letters.jsonl")}}
    envelope = decode(
        b'{"eventId":"e-1","timestamp":"2026-01-01T00:00:00Z","eventType":"Novelty",'
        b'"schemaVersion":"1.1.0","payload":{}}'
    )
    with DataPlane.from_config(config(data_plane=letters)) as plane:
        assert plane.publish_envelope(envelope).status == "dropped"
    (letter,) = (tmp_path / "letters.jsonl").read_text().splitlines()
    assert "no schema of the event type Novelty" in json.loads(letter)["reason"]
    assert json.loads(letter)["envelope"]["eventId"] == "e-1"


def test_an_encoder_that_cannot_open_stops_the_start(kafka: EmbeddedKafka) -> None:
    class Bad(SchemaRegistryJsonEncoder):
        def open(self, destinations: Any) -> None:
            raise DeliveryError("no")

    backplane = KafkaBackplane(KafkaOptions(brokers=[kafka.bootstrap_servers]))
    with pytest.raises(DeliveryError, match="no"):
        DataPlane(backplane, encoder=Bad(SchemaRegistryOptions(url=["http://localhost:1"])))


def test_a_forked_process_asks_for_itself(
    registry: SchemaRegistry, record: Callable[..., Record], until: Callable[..., None]
) -> None:
    encoder = SchemaRegistryJsonEncoder(
        SchemaRegistryOptions(url=[registry.url], start_timeout_ms=0)
    )
    registry.answer = lambda path: (500, {"error_code": 500, "message": "broken"})
    encoder.open({"Exposure": "exposures"})
    registry.answer = lambda path: None
    encoder.after_fork()
    try:
        until(lambda: encoder.health().is_healthy)
        given = record()
        assert encoder.encode(given, "exposures").body == b"\0\0\0\0\1" + given.body
    finally:
        encoder.close(1)

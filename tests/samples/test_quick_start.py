from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from experiment_framework import DataPlane, Exposure, Outcome, decode
from experiment_framework.plugin import Query
from experiment_framework_kafka import EmbeddedKafka

QUICK_START = "experiment_definitions/quick-start.yaml"


def test_its_two_events_are_in_kafka_with_one_correlation_id(
    run: Callable[..., str], kafka: EmbeddedKafka, samples: Path
) -> None:
    brokers = {"KAFKA_BROKERS": kafka.bootstrap_servers}

    printed = run("quick_start.py", QUICK_START, **brokers)

    assert printed.startswith("accepted ")
    assert "FlushResult(delivered=2, failed=0, pending=0, dropped=0, spooled=0)" in printed
    with DataPlane.from_config(samples / QUICK_START, environ=brokers) as plane:
        stored = [decode(each.body) for each in plane.read(Query(experiment_name="checkout"))]
    events = [envelope for envelope in stored if envelope.correlation_id == "request-abc-123"]
    assert {type(envelope.payload) for envelope in events} == {Exposure, Outcome}
    assert events[-1].event_id in printed or events[0].event_id in printed


def test_it_writes_to_a_file_without_a_change(run: Callable[..., str], tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"

    run("quick_start.py", "experiment_definitions/swap-file.yaml", EVENTS_PATH=str(events))

    lines = events.read_text(encoding="utf-8").splitlines()
    assert [decode(line).event_type for line in lines] == ["Exposure", "Outcome"]

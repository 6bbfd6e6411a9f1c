"""Kafka and a file side by side, with a cluster that answers and with one that does not."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accounts import is_balanced
from experiment_framework import DataPlane, Exposure
from experiment_framework.plugin import Query
from experiment_framework_kafka import EmbeddedKafka


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A listener that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def plane_with(brokers: str, path: Path, **kafka: Any) -> DataPlane:
    backplanes = [
        {"type": "kafka", "options": {"brokers": [brokers], "topic": "events"}, **kafka},
        {
            "type": "file",
            "options": {"path": str(path)},
            "flushIntervalMs": 10,
        },
    ]
    return DataPlane.from_config({"experimentFramework": {"dataPlane": {"backplanes": backplanes}}})


def ids_in(path: Path) -> list[str]:
    return [json.loads(line)["eventId"] for line in path.read_text().splitlines()]


def test_both_have_every_event(exposure: Exposure, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EmbeddedKafka(1) as cluster, plane_with(cluster.bootstrap_servers, path) as plane:
        ids = [plane.publish(exposure).event_id for _ in range(500)]
        assert plane.flush(20).is_complete
        stats = plane.stats()
        assert {name: each.delivered for name, each in stats.members.items()} == {
            "kafka": 500,
            "file": 500,
        }
        stored = plane.read(Query(idle_timeout=5))
        assert len([next(stored) for _ in range(500)]) == 500
    assert ids_in(path) == ids


def test_brokers_that_do_not_answer_keep_nothing_from_the_file(
    exposure: Exposure, tmp_path: Path, black_hole: str
) -> None:
    path = tmp_path / "events.jsonl"
    plane = plane_with(black_hole, path, required=False, maxQueueSize=50)
    began = time.monotonic()
    ids = [plane.publish(exposure).event_id for _ in range(500)]
    result = plane.flush(20)
    assert time.monotonic() - began < 10
    assert result.is_complete
    assert ids_in(path) == ids
    assert plane.stats().members["kafka"].dropped["queue_full"] == 450
    began = time.monotonic()
    plane.close(1)
    assert time.monotonic() - began < 4
    stats = plane.stats()
    assert is_balanced(stats)
    assert is_balanced(stats.members["kafka"])

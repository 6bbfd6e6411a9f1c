"""One program, and nothing but the lines of ``backplane`` in its configuration changes."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from experiment_framework import ConfigError, DataPlane, Exposure, Outcome, correlation
from experiment_framework.envelope import decode
from experiment_framework.plugin import Query

CONFIGURATION = """
experimentFramework:
  dataPlane:
    samplingRate: 0.5
    batchSize: 7
    flushIntervalMs: 50
    retryDeadlineMs: 200
    enableErrorEvents: false
    backplane: {backplane}
"""

BACKPLANES = {
    "memory": "{{type: memory}}",
    "file": "{{type: file, options: {{path: '{folder}/events.jsonl'}}}}",
    "rotated file": (
        "{{type: file, options: {{path: '{folder}/events.jsonl', rotateBytes: 4000,"
        " rotateDaily: true, compression: gzip, fsync: rotate}}}}"
    ),
    "zstd file": (
        "{{type: file, options: {{path: '{folder}/events.jsonl', rotateBytes: 4000,"
        " compression: zstd, fsync: never}}}}"
    ),
}


def configuration(folder: Path, backplane: str) -> str:
    return CONFIGURATION.format(backplane=backplane.format(folder=folder.as_posix()))


def program(source: str) -> tuple[list[Any], list[Any]]:
    """Publish, close, and give what was answered and what can be read back afterwards."""
    with DataPlane.from_config(source) as plane:
        answers: list[Any] = []
        for number in range(40):
            with correlation(f"request-{number}"):
                subject = {"experiment_name": "checkout", "subject_id": f"user-{number}"}
                for event in (
                    Exposure(variant_key="treatment", attributes={"n": [number, None]}, **subject),
                    Outcome(metric_name="bought", outcome_type="Count", value=number, **subject),
                ):
                    answer = plane.publish(event, event_id=f"{event.event_type}-{number}")
                    answers.append((answer.event_id, answer.status, answer.reason))
        result = plane.flush(20)
        answers += [result.delivered, result.failed, result.pending, result.dropped]
        answers += [plane.stats().sampled_out, plane.health().status]
    stored = [
        (
            envelope.event_id,
            envelope.event_type,
            envelope.correlation_id,
            envelope.metadata,
            getattr(envelope.payload, "attributes", None),
            item.headers,
        )
        for item in plane.read(Query())
        for envelope in [decode(item.body)]
    ]
    return answers, stored


def test_every_local_backplane_gives_the_same_answers_and_the_same_events(tmp_path: Path) -> None:
    outcomes = {}
    for name, backplane in BACKPLANES.items():
        folder = tmp_path / name
        folder.mkdir()
        outcomes[name] = program(configuration(folder, backplane))
    answers, stored = outcomes["memory"]
    assert answers[-2] == 80 - len(stored) > 0
    assert answers[-1] == "HEALTHY"
    assert len(stored) == answers[-6] > 0
    for name in BACKPLANES:
        assert outcomes[name] == (answers, stored), name
    assert list((tmp_path / "rotated file").glob("*.gz"))
    assert list((tmp_path / "zstd file").glob("*.zst"))


def test_the_logging_backplane_takes_the_same_events(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "experiment_framework.events")
    with DataPlane.from_config(configuration(tmp_path, "{{type: logging}}")) as plane:
        event = Exposure(experiment_name="checkout", variant_key="a", subject_id="user-1")
        answer = plane.publish(event)
        assert plane.flush(20).delivered == (answer.status == "accepted")
    lines = [line for line in caplog.records if line.name == "experiment_framework.events"]
    assert [json.loads(line.getMessage())["eventId"] for line in lines] == [answer.event_id]


def test_a_file_that_cannot_work_is_a_problem_at_its_line(tmp_path: Path) -> None:
    source = """\
experimentFramework:
  dataPlane:
    backplane:
      type: file
      options:
        path: /no/such/folder/events.jsonl
        rotateBytes: null
        keepFiles: 3
"""
    with pytest.raises(ConfigError) as caught:
        DataPlane.from_config(source)
    found = {(problem.location.line, problem.path[-1]) for problem in caught.value.problems}
    assert found == {(6, "path"), (8, "keepFiles")}


def test_what_could_not_be_written_is_counted_as_failed(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    backplane = "{{type: file, options: {{path: '{folder}/events.jsonl'}}}}"
    event = Exposure(experiment_name="checkout", variant_key="a", subject_id="user-1")
    with DataPlane.from_config(configuration(folder, backplane)) as plane:
        assert plane.publish_and_wait(event, 10).status == "delivered"
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        answer = plane.publish_and_wait(event, 10)
        assert answer.status == "failed"
        assert "No such file or directory" in (answer.reason or "")
        assert plane.health().status == "UNHEALTHY"
        stats = plane.stats()
        assert (stats.offered, stats.delivered, stats.failed, stats.pending) == (2, 1, 1, 0)

"""The `experiment` command against a real cluster, from a YAML file to stored records."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from apache_kafka import ApacheKafka
from experiment_framework import DataPlane, Event
from kafka_audit import describe_topic, stored_records

CONFIGURATION = """\
experimentFramework:
  dataPlane:
    backplane:
      type: kafka
      options:
        brokers: ["${KAFKA_BROKERS}"]
        topic: %s
        lingerMs: 5
        provision: {partitions: 2, replicationFactor: 1}
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def experiment(kafka_broker: ApacheKafka, tmp_path: Path) -> Run:
    """Run the command with the broker's address in its environment."""
    program = Path(sys.executable).with_name("experiment")

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            cwd=tmp_path,
            env={"KAFKA_BROKERS": kafka_broker.bootstrap_servers, "PATH": "/usr/bin:/bin"},
        )

    return run


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], str]:
    """Write a configuration for a topic, and give the file's name."""

    def write(topic: str) -> str:
        (tmp_path / "experiments.yaml").write_text(CONFIGURATION % topic)
        return "experiments.yaml"

    return write


def test_provision_publish_tail_and_health_work_from_one_file(
    experiment: Run, written: Callable[[str], str], kafka_broker: ApacheKafka
) -> None:
    file = written("by-command-line")
    made = experiment("provision", file)
    assert (made.returncode, made.stderr) == (0, "")
    assert describe_topic(kafka_broker.bootstrap_servers, "by-command-line").partitions == 2

    lines = [
        {
            "eventType": "Outcome",
            "eventId": f"job-7-{number}",
            "payload": {
                "experimentName": "checkout",
                "subjectId": f"user-{number}",
                "metricName": "basket",
                "outcomeType": "Count",
                "value": number,
            },
        }
        for number in range(20)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    published = experiment("publish", file, "-", stdin=text)
    assert published.returncode == 0, published.stderr

    tailed = experiment("tail", file, "--no-follow", "--json")
    assert tailed.returncode == 0, tailed.stderr
    seen = {entry["eventId"] for entry in map(json.loads, tailed.stdout.splitlines())}
    assert seen == {f"job-7-{number}" for number in range(20)}
    stored = stored_records(kafka_broker.bootstrap_servers, "by-command-line")
    assert {record.headers["event-id"].decode() for record in stored} == seen

    health = experiment("health", file, "--json")
    assert health.returncode == 0, health.stdout
    assert json.loads(health.stdout)["status"] == "HEALTHY"


def test_strict_health_of_a_missing_topic_names_it_and_exits_with_one(
    experiment: Run, written: Callable[[str], str]
) -> None:
    file = written("not-there-by-command-line")
    answered = experiment("health", file, "--strict", "--timeout", "5")
    assert answered.returncode == 1
    assert "not-there-by-command-line" in answered.stdout


def test_configuration_file_publishes_what_code_publishes(
    kafka_broker: ApacheKafka, new_topic: Callable[[int], str], one_of_each: list[Event]
) -> None:
    topic = new_topic(3)
    environ = {"KAFKA_BROKERS": kafka_broker.bootstrap_servers}
    with DataPlane.from_config(CONFIGURATION % topic, environ=environ) as plane:
        ids = [plane.publish(event).event_id for event in one_of_each]
        assert plane.flush(timeout=20).delivered == 5
    stored = stored_records(kafka_broker.bootstrap_servers, topic)
    assert [record.headers["event-id"].decode() for record in stored] == ids


def test_published_configuration_of_the_samples_works_on_these_brokers(
    kafka_broker: ApacheKafka, new_topic: Callable[[int], str], one_of_each: list[Event]
) -> None:
    samples = Path(__file__).parents[2] / "samples" / "experiment_definitions"
    text = (samples / "kafka-backplane-example.yaml").read_text()
    elsewhere = text.replace("localhost:9092, broker2:9092", kafka_broker.bootstrap_servers)
    elsewhere = elsewhere.replace("topic: experiment-events", f"topic: {new_topic(1)}")
    with DataPlane.from_config(elsewhere) as plane:
        for event in one_of_each:
            plane.publish(event)
        assert plane.close(timeout=30).delivered == 5

import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer
from experiment_framework import DataPlane, Exposure, Outcome
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, KafkaOptions
from experiment_framework_kafka.demo import command
from experiment_framework_kafka.demo.audit import Arrival, Audit, Findings
from experiment_framework_kafka.demo.intervals import wilson
from experiment_framework_kafka.demo.simulation import VARIANTS, simulate
from experiment_framework_kafka.demo.trial import TOPIC, Trial
from experiment_framework_kafka.demo.witness import Witness
from experiment_framework_local import MemoryBackplane, MemoryOptions

CLEAN = Findings(0, 0, 0, 0, 0, 0)


@pytest.fixture
def brokers() -> Iterator[str]:
    with EmbeddedKafka() as kafka:
        yield kafka.bootstrap_servers


@pytest.fixture
def plane(brokers: str) -> Iterator[DataPlane]:
    options = KafkaOptions(brokers=brokers.split(","), topic=TOPIC, partition_by="subjectId")
    with DataPlane(KafkaBackplane(options)) as plane:
        yield plane


def test_the_demo_proves_that_everything_arrived() -> None:
    result = CliRunner().invoke(command, ["--subjects", "300", "--json"])

    assert result.exit_code == 0, result.output
    outcomes = json.loads(result.stdout)
    assert outcomes["passed"] is True
    assert outcomes["keys"] == 300
    assert outcomes["events"] >= 600
    assert sum(row["exposures"] for row in outcomes["variants"]) == 300
    assert set(outcomes["findings"].values()) == {0}


def test_the_same_seed_gives_the_same_result() -> None:
    def variants(seed: int) -> object:
        result = CliRunner().invoke(
            command, ["--subjects", "200", "--seed", str(seed), "--json"], catch_exceptions=False
        )
        return json.loads(result.stdout)["variants"]

    assert variants(7) == variants(7) != variants(8)


def test_the_demo_prints_a_table_and_draws_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"

    result = CliRunner().invoke(command, ["--subjects", "100", "--svg", str(picture)])

    assert result.exit_code == 0, result.output
    for variant in VARIANTS:
        assert variant.key in result.stdout
    assert "arrived exactly once" in result.stdout
    assert "\x1b" not in result.stdout
    assert picture.read_text("utf-8").startswith("<svg")
    assert "url(http" not in picture.read_text("utf-8")  # nothing is fetched to show it


def test_a_narrow_terminal_abbreviates_no_figure() -> None:
    result = CliRunner().invoke(command, ["--subjects", "100"], env={"COLUMNS": "40"})

    assert result.exit_code == 0, result.output
    assert "…" not in result.stdout
    assert "${KAFKA_BROKERS:-localhost:9092}" in result.stdout


def test_the_demo_never_speaks_to_the_kafka_of_the_environment() -> None:
    elsewhere = {"KAFKA_BROKERS": "production.invalid:9092"}

    result = CliRunner().invoke(command, ["--subjects", "10", "--json"], env=elsewhere)

    assert result.exit_code == 0, result.output


def test_the_demo_fails_when_a_message_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    complete = Witness.read
    monkeypatch.setattr(Witness, "read", lambda self: islice(complete(self), 1, None))

    result = CliRunner().invoke(command, ["--subjects", "50"])

    assert result.exit_code == 1
    assert "1 missing" in result.stdout
    assert "The demo failed" in result.stdout


def test_events_that_went_elsewhere_are_missing(brokers: str) -> None:
    trial = Trial(brokers, subjects=20, seed=1)
    with (
        DataPlane(MemoryBackplane(MemoryOptions())) as plane,
        Witness(brokers, TOPIC) as witness,
    ):
        trial.publish(plane, list(simulate(range(20), 1)))
        trial.read_back(witness)

    outcomes = trial.outcomes()
    assert not outcomes.passed
    assert outcomes.findings.missing == outcomes.events > 0


def test_events_that_were_not_accepted_fail_the_demo(brokers: str) -> None:
    plane = DataPlane(MemoryBackplane(MemoryOptions()))
    plane.close()
    trial = Trial(brokers, subjects=5, seed=1)

    trial.publish(plane, list(simulate(range(5), 1)))

    assert trial.outcomes().not_accepted >= 10
    assert not trial.outcomes().passed


def test_messages_of_others_and_copies_are_found(brokers: str, plane: DataPlane) -> None:
    trial = Trial(brokers, subjects=20, seed=1)
    trial.publish(plane, list(simulate(range(20), 1)))
    with Witness(brokers, TOPIC) as witness:
        (first, *_) = witness.read()
    producer = Producer({"bootstrap.servers": brokers})
    place = {"topic": TOPIC, "partition": first.partition}
    producer.produce(**place, key=first.key, value=first.body, headers=first.headers)
    producer.produce(TOPIC, key=b"stranger", value=b"no JSON")
    assert producer.flush(10) == 0

    with Witness(brokers, TOPIC) as witness:
        trial.read_back(witness)

    assert trial.outcomes().findings == Findings(0, 1, 1, 0, 0, 0)


def arrivals_of(plane: DataPlane, brokers: str, audit: Audit) -> list[Arrival]:
    """Publish the visits of ten subjects and give their messages."""
    for event in simulate(range(10), 3):
        assert isinstance(event, Exposure | Outcome)
        audit.expect(event.subject_id, plane.publish(event).event_id)
    assert plane.flush(10).is_complete
    with Witness(brokers, TOPIC) as witness:
        return list(witness.read())


def test_an_audit_of_what_arrived_as_published_is_clean(brokers: str, plane: DataPlane) -> None:
    audit = Audit()
    for arrival in arrivals_of(plane, brokers, audit):
        audit.take(arrival)

    assert audit.findings() == CLEAN


def test_an_audit_sees_disorder_within_a_key(brokers: str, plane: DataPlane) -> None:
    audit = Audit()
    for arrival in reversed(arrivals_of(plane, brokers, audit)):
        audit.take(arrival)

    assert audit.findings() == Findings(0, 0, 0, 10, 0, 0)


def test_an_audit_sees_a_key_on_several_partitions(brokers: str, plane: DataPlane) -> None:
    audit = Audit()
    by_key = defaultdict(list)
    for arrival in arrivals_of(plane, brokers, audit):
        by_key[arrival.key].append(arrival)
    for arrivals in by_key.values():
        for number, arrival in enumerate(arrivals):
            audit.take(Arrival(arrival.key, number, arrival.headers, arrival.body))

    assert audit.findings() == Findings(0, 0, 0, 0, 10, 0)


def test_an_audit_sees_headers_that_disagree(brokers: str, plane: DataPlane) -> None:
    audit = Audit()
    for arrival in arrivals_of(plane, brokers, audit):
        headers = arrival.headers | {"event-type": "Assignment"}
        audit.take(Arrival(arrival.key, arrival.partition, headers, arrival.body))

    assert audit.findings().wrong_headers == audit.arrivals > 0


def test_a_subject_is_exposed_before_the_outcome() -> None:
    kinds = defaultdict(list)
    for event in simulate(range(500), 1):
        assert isinstance(event, Exposure | Outcome)
        kinds[event.subject_id].append(event.event_type)

    assert len(kinds) == 500
    assert {tuple(kind) for kind in kinds.values()} == {
        ("Exposure", "Outcome"),
        ("Exposure", "Exposure", "Outcome"),
    }


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (10, 100, 0.0552, 0.1744),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_intervals_are_those_of_the_literature(
    successes: int, trials: int, low: float, high: float
) -> None:
    interval = wilson(successes, trials)

    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)

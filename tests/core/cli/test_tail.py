from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from experiment_framework import (
    AnalysisSignal,
    Assignment,
    DataPlane,
    ErrorEvent,
    Event,
    Exposure,
    Outcome,
)
from experiment_framework._cli.event_line import event_line
from experiment_framework.envelope import Envelope
from experiment_framework.plugin import Backplane, Query, Record, Stored, options
from experiment_framework_kafka import EmbeddedKafka

Run = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[bytes]"]

EVENTS: tuple[Event, ...] = (
    Exposure(experiment_name="checkout", variant_key="a", subject_id="u1"),
    Exposure(experiment_name="checkout", variant_key="b", subject_id="u2"),
    Outcome(
        experiment_name="checkout",
        variant_key="b",
        subject_id="u2",
        metric_name="purchase",
        outcome_type="Continuous",
        value=12.5,
    ),
    Exposure(experiment_name="search", variant_key="a", subject_id="u3"),
)


@pytest.fixture
def full_config(file_config: Path) -> Path:
    publish(file_config, EVENTS)
    return file_config


def publish(config: Path, events: tuple[Event, ...]) -> None:
    with DataPlane.from_config(config) as plane:
        for event in events:
            assert plane.publish(event).status == "accepted"


def test_what_is_there_is_printed_oldest_first(run: Run, full_config: Path) -> None:
    result = run("tail", full_config, "--no-follow")

    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert [line.split()[2] for line in lines] == ["Exposure", "Exposure", "Outcome", "Exposure"]
    assert "purchase=12.5" in lines[2]
    assert "events.jsonl:3" in lines[2]


@pytest.mark.parametrize(
    ("filters", "subjects"),
    [
        (("--experiment", "search"), ["u3"]),
        (("--variant", "b"), ["u2", "u2"]),
        (("--type", "outcome"), ["u2"]),
        (("--type", "Outcome", "--type", "Exposure", "--variant", "a"), ["u1", "u3"]),
        (("--limit", "2"), ["u1", "u2"]),
    ],
)
def test_filters_choose_what_is_printed(
    run: Run, full_config: Path, filters: tuple[str, ...], subjects: list[str]
) -> None:
    result = run("tail", full_config, "--no-follow", "--json", *filters)

    envelopes = [json.loads(line) for line in result.stdout.splitlines()]
    assert [envelope["payload"]["subjectId"] for envelope in envelopes] == subjects


def test_that_nothing_is_there_is_said(run: Run, full_config: Path) -> None:
    result = run("tail", full_config, "--no-follow", "--experiment", "chekout")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "there are no such events\n"


def test_json_is_the_envelope_as_it_is_stored(run: Run, full_config: Path) -> None:
    result = run("tail", full_config, "--no-follow", "--json")

    assert result.stdout_bytes == full_config.with_name("events.jsonl").read_bytes()


def test_what_is_no_envelope_is_passed_over_with_a_note(run: Run, full_config: Path) -> None:
    with full_config.with_name("events.jsonl").open("a") as file:
        file.write('{"eventType": 7}\n')

    result = run("tail", full_config, "--no-follow")

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == len(EVENTS)


def test_an_unknown_type_is_a_usage_error(run: Run, full_config: Path) -> None:
    assert run("tail", full_config, "--type", "Exposition").exit_code == 2


def test_a_backplane_that_cannot_be_read_is_a_clear_error(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("experimentFramework: {dataPlane: {backplane: {type: logging}}}\n")

    result = run("tail", config)

    assert result.exit_code == 1
    assert "logging cannot read" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("backplane", ["file", "kafka"])
@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_new_events_appear_while_it_follows_until_a_signal_ends_it(
    start: Start,
    file_config: Path,
    tmp_path: Path,
    backplane: str,
    brokers: str,
    signal_number: int,
    code: int,
) -> None:
    config = file_config
    if backplane == "kafka":
        config = tmp_path / "kafka.yaml"
        config.write_text(
            "experimentFramework:\n"
            "  dataPlane:\n"
            "    backplane:\n"
            "      type: kafka\n"
            f"      options: {{brokers: '{brokers}', topic: events-{code}, lingerMs: 1}}\n"
        )
    publish(config, EVENTS[:1])
    process = start("tail", config, "--from-start", "--json")
    assert process.stdout is not None
    killer = threading.Timer(60, process.kill)
    killer.start()

    first = json.loads(process.stdout.readline())
    publish(config, EVENTS[1:2])
    second = json.loads(process.stdout.readline())
    process.send_signal(signal_number)
    _, err = process.communicate(timeout=30)
    killer.cancel()

    assert [first["payload"]["subjectId"], second["payload"]["subjectId"]] == ["u1", "u2"]
    assert process.returncode == code
    assert b"Traceback" not in err


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    with EmbeddedKafka() as kafka:
        yield kafka.bootstrap_servers


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (EVENTS[0], "Exposure        checkout            a             u1"),
        (
            Assignment(
                experiment_name="checkout",
                subject_id="u1",
                previous_variant_key="a",
                new_variant_key="b",
                change_reason="rollout",
            ),
            "b             u1            from a, rollout",
        ),
        (
            AnalysisSignal(
                experiment_name="checkout", signal_type="PeekingWarning", message="looked early"
            ),
            "Info PeekingWarning: looked early",
        ),
        (ErrorEvent(error_type="ValueError", message="no flag"), "ValueError: no flag"),
    ],
)
def test_each_type_of_event_has_a_line_of_its_own(event: Event, shown: str) -> None:
    assert shown in event_line(Envelope.around(event), "topic[0]@1").plain


def test_an_event_cannot_drive_the_terminal() -> None:
    event = Exposure(experiment_name="\x1b[2J\x9b1m\n", variant_key="a", subject_id="\x07")

    line = event_line(Envelope.around(event), "\x1bplace").plain

    assert line.isprintable()
    assert "\\x1b[2J" in line


BODY = (
    b'{"eventId":"1","timestamp":"2026-01-02T03:04:05Z","eventType":"Exposure",'
    b'"schemaVersion":"1.0.0","payload":{"timestamp":"2026-01-02T03:04:05Z",'
    b'"experimentName":"checkout","variantKey":"a","subjectId":"u1"},"metadata":{}}'
)


@options
class NoOptions:
    """Nothing to say."""


class Unreadable(Backplane[NoOptions]):
    """Fails to be read, at once or with the second event, as a client of a sink does."""

    def __init__(self, *, at_once: bool) -> None:
        super().__init__(NoOptions())
        self._at_once = at_once

    def publish(self, record: Record) -> None:
        self.context.delivered(record)

    def read(self, query: Query) -> Iterator[Stored]:
        if query.follow or self._at_once:
            raise ConnectionError("refused")
        return self._read()

    def _read(self) -> Iterator[Stored]:
        yield Stored(body=BODY, place="1")
        raise ConnectionError("refused")


@pytest.mark.parametrize("at_once", [True, False])
def test_a_sink_that_is_away_is_told_in_a_sentence(
    run: Run, with_backplane: Callable[[object], Path], at_once: bool
) -> None:
    result = run("tail", with_backplane(Unreadable(at_once=at_once)), "--no-follow")

    assert result.exit_code == 1
    assert result.stdout.count("\n") == (0 if at_once else 1)
    assert "Error: the backplane puppet cannot be read: ConnectionError: refused" in result.stderr
    assert "Traceback" not in result.stderr

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap

import pytest
from experiment_framework_kafka.logs import CAPACITY, LINES_PER_PERIOD, ClientLog


def test_lines_are_written_only_when_somebody_asks(caplog: pytest.LogCaptureFixture) -> None:
    log = ClientLog()
    with caplog.at_level(logging.INFO):
        log.log(logging.ERROR, "%s [%s] %s", "FAIL", "producer-1", "refused")
        assert caplog.messages == []
        log.write(0)
    assert caplog.messages == ["FAIL [producer-1] refused"]
    assert caplog.records[0].name == "experiment_framework.kafka"


def test_a_flood_of_lines_is_cut_short_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    log = ClientLog()
    for number in range(5 * CAPACITY):
        log.log(logging.ERROR, "line %d", number)
    with caplog.at_level(logging.INFO):
        log.write(0)
    assert caplog.messages[0] == f"{4 * CAPACITY} log lines of librdkafka left out"
    assert len(caplog.messages) == 1 + LINES_PER_PERIOD
    assert log.skipped == 5 * CAPACITY - LINES_PER_PERIOD


def test_a_line_that_repeats_is_written_once(caplog: pytest.LogCaptureFixture) -> None:
    log = ClientLog()
    for number in range(30):
        log.log(logging.ERROR, "%s", f"refused by broker {number % 2}")
    with caplog.at_level(logging.INFO):
        log.write(0)
    assert caplog.messages == ["refused by broker 0", "refused by broker 1"]
    assert log.skipped == 28


def test_somebody_who_waits_can_be_woken() -> None:
    log = ClientLog()
    log.wake()
    log.write(60)


def test_nothing_of_librdkafka_goes_to_stderr(black_hole: str) -> None:
    program = """
        import sys
        from experiment_framework import DataPlane, Exposure
        from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, KafkaOptions
        with EmbeddedKafka() as kafka:
            for brokers in (["127.0.0.1:1"], [sys.argv[1]], [kafka.bootstrap_servers]):
                options = KafkaOptions(brokers=brokers, additional_config={"debug": "broker"})
                with DataPlane(KafkaBackplane(options)) as plane:
                    plane.health()
                    plane.publish(Exposure(experiment_name="e", variant_key="v", subject_id="s"))
                    plane.flush(0.3)
                    plane.close(0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), black_hole],
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert not [line for line in done.stderr.splitlines() if line.startswith("%")]

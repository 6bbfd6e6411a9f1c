from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from experiment_framework import DataPlane, Exposure
from experiment_framework.envelope import Record
from experiment_framework.plugin import DeliveryError
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, KafkaOptions
from stepping_clock import SteppingClock

Open = Callable[..., KafkaBackplane]
Make = Callable[..., Record]


def exposure(number: int = 0) -> Exposure:
    return Exposure(experiment_name="e", variant_key="v", subject_id=f"s{number}")


def test_a_flush_has_a_deadline_and_says_what_is_left(black_hole: str) -> None:
    with DataPlane(KafkaBackplane(KafkaOptions(brokers=[black_hole]))) as plane:
        for number in range(20):
            plane.publish(exposure(number))
        started = time.monotonic()
        result = plane.flush(1)
        assert time.monotonic() - started < 1.5
        assert (result.pending, result.delivered, result.failed) == (20, 0, 0)
        plane.close(0)


def test_a_flush_tells_delivered_from_failed(black_hole: str) -> None:
    options = KafkaOptions(brokers=[black_hole], delivery_timeout_ms=500, linger_ms=1)
    with DataPlane(KafkaBackplane(options)) as plane:
        plane.publish(exposure())
        result = plane.flush(5)
        assert (result.pending, result.delivered, result.failed) == (0, 0, 1)


@pytest.mark.parametrize("reports", ["failures", "all"])
def test_a_flush_by_who_is_told_of_a_failure_returns_at_once(
    black_hole: str,
    opened: Open,
    record: Make,
    ledger: Any,
    until: Callable[..., None],
    reports: str,
) -> None:
    took: list[float] = []

    def flush(*_: object) -> None:
        started = time.monotonic()
        assert not backplane.flush(30)
        took.append(time.monotonic() - started)

    backplane = opened(
        ledger(failed=flush),
        brokers=[black_hole],
        delivery_reports=reports,
        delivery_timeout_ms=300,
        linger_ms=1,
    )
    for number in range(3):
        backplane.publish(record(number))
    until(lambda: len(took) == 3)
    assert max(took) < 5
    assert backplane.flush(5)


@pytest.mark.parametrize("reports", ["failures", "all"])
def test_what_is_left_at_close_is_taken_back_and_reported(
    black_hole: str, opened: Open, record: Make, ledger: Any, reports: str
) -> None:
    context = ledger()
    backplane = opened(context, brokers=[black_hole], delivery_reports=reports)
    some = [record(number) for number in range(20)]
    for one in some:
        backplane.publish(one)
    started = time.monotonic()
    backplane.close(0.2)
    assert time.monotonic() - started < 1.5
    assert sorted(lost.event_id for lost, _ in context.lost) == [one.event_id for one in some]
    assert {reason for _, reason in context.lost} == {"closed"}
    assert backplane.outstanding() == 0


def test_close_says_what_the_records_waited_for(
    opened: Open, record: Make, until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    backplane = opened(brokers=["127.0.0.1:1"])
    backplane.publish(record())
    until(lambda: backplane.health().details["lastComplaint"])
    backplane.close(0.2)
    until(lambda: "1 records failed at close: unreachable: 127.0.0.1:1" in caplog.text)


def test_closing_delivers_first(
    kafka: EmbeddedKafka, opened: Open, record: Make, ledger: Any, topic: str
) -> None:
    context = ledger(report_each=True)
    backplane = opened(context, brokers=[kafka.bootstrap_servers], topic=topic)
    for number in range(500):
        backplane.publish(record(number))
    backplane.close(10)
    assert (len(context.arrived), context.lost) == (500, [])


@pytest.mark.parametrize("reports", ["failures", "all"])
def test_a_record_on_its_way_in_while_another_thread_closes_has_a_fate(
    black_hole: str, opened: Open, record: Make, ledger: Any, reports: str
) -> None:
    context = ledger()
    backplane = opened(context, brokers=[black_hole], delivery_reports=reports)
    backplane.publish(record(1))
    on_its_way_in = backplane._publish
    backplane.close(0)
    late = record(2)
    on_its_way_in(late)
    assert (late, "closed") in context.lost
    assert backplane.outstanding() == 0


@pytest.mark.parametrize("reports", ["failures", "all"])
def test_what_another_thread_still_tells_after_close_is_outstanding_no_longer(
    black_hole: str,
    opened: Open,
    record: Make,
    ledger: Any,
    until: Callable[..., None],
    reports: str,
) -> None:
    go_on = threading.Event()
    context = ledger(failed=lambda *_: go_on.wait(30))
    backplane = opened(
        context,
        brokers=[black_hole],
        delivery_reports=reports,
        delivery_timeout_ms=300,
        linger_ms=1,
    )
    for number in range(3):
        backplane.publish(record(number))
    until(lambda: context.lost)
    backplane.close(0)
    assert backplane.outstanding() == 3
    go_on.set()
    until(lambda: len(context.lost) == 3)
    until(lambda: backplane.outstanding() == 0)


def test_nothing_is_started_after_close(black_hole: str, opened: Open, record: Make) -> None:
    backplane = opened(brokers=[black_hole])
    backplane.close(0)
    with pytest.raises(DeliveryError, match="closed"):
        backplane.publish(record())


def test_a_client_that_was_being_made_during_close_ends_too(
    black_hole: str, record: Make, ledger: Any, until: Callable[..., None]
) -> None:
    class ClosedMeanwhile(KafkaBackplane):
        """Another thread closes it at the worst moment."""

        def _make_service(self) -> Any:
            made = super()._make_service()
            self.close(0)
            return made

    backplane = ClosedMeanwhile(KafkaOptions(brokers=[black_hole]))
    backplane._context = ledger()
    backplane.open()
    with pytest.raises(DeliveryError, match="closed"):
        backplane.publish(record())
    with pytest.raises(DeliveryError, match="closed"):
        backplane.publish(record())
    until(lambda: not kafka_threads(), timeout=5)


def test_nobody_uses_a_client_that_whoever_closes_does_not_know_yet(
    kafka: EmbeddedKafka, topic: str
) -> None:
    is_made, go_on = threading.Event(), threading.Event()

    class HeldUp(KafkaBackplane):
        """Its first publisher is held up when the client has just been made."""

        def _make_service(self) -> Any:
            made = super()._make_service()
            is_made.set()
            go_on.wait(10)
            return made

    backplane = HeldUp(KafkaOptions(brokers=[kafka.bootstrap_servers], topic=topic))
    plane = DataPlane(backplane)
    threads = [threading.Thread(target=plane.publish, args=(exposure(n),)) for n in range(3)]
    try:
        threads[0].start()
        assert is_made.wait(10)
        for thread in threads[1:]:
            thread.start()
            thread.join(0.2)  # it gets in by now, if it gets in at all
        assert plane.flush(0.1).delivered == 0
        closed = plane.close(10)
    finally:
        go_on.set()
        for thread in threads:
            thread.join(10)
    stats = plane.stats()
    assert (closed.delivered, closed.failed) == (0, 0)
    assert (stats.delivered, stats.failed, stats.pending) == (0, 0, 0)
    assert stats.dropped == {"closed": 3}


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_ctrl_c_ends_a_close_that_waits_for_a_broker_that_never_answers(black_hole: str) -> None:
    program = """
        import sys
        from experiment_framework import DataPlane, Exposure
        from experiment_framework_kafka import KafkaBackplane, KafkaOptions

        plane = DataPlane(KafkaBackplane(KafkaOptions(brokers=[sys.argv[1]])))
        plane.publish(Exposure(experiment_name="e", variant_key="v", subject_id="s"))
        print("closing", flush=True)
        plane.close(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), black_hole],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "closing\n"
        time.sleep(0.2)  # lets the process get from its line into the wait; nothing to ask it
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert time.monotonic() - started < 2  # one second, and the slow start of other tests
        assert "KeyboardInterrupt" in errors
    finally:
        process.kill()
        process.wait()


def test_flush_and_close_keep_to_their_time_while_the_clock_is_set_back(
    black_hole: str, tmp_path: Path
) -> None:
    program = """
        import itertools, struct, sys, threading, time
        from experiment_framework import DataPlane, Exposure
        from experiment_framework_kafka import KafkaBackplane, KafkaOptions

        def set_back():
            for hours in itertools.count(1):
                with open(sys.argv[2], "r+b", buffering=0) as offset:
                    offset.write(struct.pack("q", -3600 * hours))
                if is_over.wait(0.013):
                    return

        def timed(step, seconds):
            started = time.monotonic()
            step(seconds)
            took = time.monotonic() - started
            assert took < seconds + 3, (step, took)

        plane = DataPlane(KafkaBackplane(KafkaOptions(brokers=[sys.argv[1]])))
        event = Exposure(experiment_name="e", variant_key="v", subject_id="s")
        plane.publish(event)
        is_over = threading.Event()
        clock = threading.Thread(target=set_back)
        clock.start()
        try:
            timed(plane.flush, 1)
            timed(lambda seconds: plane.publish_and_wait(event, seconds), 1)
            timed(plane.close, 1)
        finally:
            is_over.set()
        assert plane.stats().failed == 2, plane.stats()
    """
    clock = SteppingClock(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), black_hole, str(clock.offset)],
        env={**os.environ, **clock.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("reports", ["failures", "all"])
def test_the_client_and_its_threads_end_with_the_backplane(
    black_hole: str, opened: Open, record: Make, until: Callable[..., None], reports: str
) -> None:
    backplane = opened(brokers=[black_hole], delivery_reports=reports)
    backplane.publish(record())
    assert backplane._service is not None
    assert backplane._service._succession.producer is not None
    client = weakref.ref(backplane._service._succession.producer)
    backplane.close(0)
    until(lambda: client() is None, timeout=5)
    until(lambda: not kafka_threads(), timeout=5)


def kafka_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("experiment-kafka")]

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pytest
from accounts import is_balanced
from experiment_framework import (
    DataPlane,
    DataPlaneOptions,
    DeliveryReport,
    EventError,
    Exposure,
)
from experiment_framework._delivery import ThrottledLog
from experiment_framework._delivery.callbacks import MOST_WAITING, Callbacks
from experiment_framework.dataplane_options import FailureMode, SpoolOptions
from experiment_framework.envelope import Envelope, encode
from experiment_framework.plugin import Phase, Record, Step
from sinks import BatchSink, Control, NoOptions
from waiting import wait_until


@pytest.fixture
def record(exposure: Exposure) -> Record:
    return encode(Envelope.around(exposure))


def test_on_drop_is_told_every_drop_with_its_reason(
    sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    told: list[tuple[str, str]] = []
    control.hold()
    plane = DataPlane(
        sink,
        DataPlaneOptions(max_queue_size=3, batch_size=1),
        on_drop=lambda record, reason: told.append((record.event_id, reason)),
    )
    receipts = [plane.publish(exposure) for _ in range(50)]
    control.release()
    plane.close(5)
    dropped = [receipt.event_id for receipt in receipts if receipt.status == "dropped"]
    assert told == [(event_id, "queue_full") for event_id in dropped]
    assert len(told) == plane.stats().dropped["queue_full"]


def test_on_delivery_is_told_the_fate_of_each_record(
    sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    reports: list[DeliveryReport] = []
    plane = DataPlane(
        sink, DataPlaneOptions(batch_size=1, retry_deadline_ms=0), on_delivery=reports.append
    )
    control.hold()
    control.fail_next(OSError("disk full"))
    ids = [plane.publish(exposure).event_id for _ in range(3)]
    control.release()
    plane.close(5)
    assert [report.record.event_id for report in reports] == ids
    assert [(report.status, report.reason) for report in reports] == [
        ("failed", "OSError: disk full"),
        ("delivered", None),
        ("delivered", None),
    ]


def test_a_callback_that_raises_is_counted_and_changes_nothing_else(
    sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    def raise_once(report: DeliveryReport) -> None:
        raise RuntimeError("bug in the application")

    plane = DataPlane(sink, on_delivery=raise_once)
    plane.publish(exposure)
    result = plane.close(5)
    assert result.delivered == 1
    assert plane.stats().callback_errors == 1


def test_callbacks_run_on_no_thread_of_the_application(sink: BatchSink, exposure: Exposure) -> None:
    names: list[str] = []
    plane = DataPlane(
        sink, on_delivery=lambda report: names.append(threading.current_thread().name)
    )
    plane.publish(exposure)
    plane.close(5)
    assert names == ["experiment-callbacks"]


def test_a_callback_may_publish_flush_and_close(sink: BatchSink, exposure: Exposure) -> None:
    done = threading.Event()

    def use_everything(report: DeliveryReport) -> None:
        if not done.is_set():
            plane.publish(exposure)
            plane.flush(1)
            plane.close(1)
            done.set()

    plane = DataPlane(sink, on_delivery=use_everything)
    plane.publish(exposure)
    plane.flush(5)
    assert done.wait(10)
    assert plane.stats().delivered == 2


def test_beyond_the_limit_calls_are_skipped_and_counted(record: Record) -> None:
    gate = threading.Event()
    calls: list[str] = []

    def wait_then_note(record: Record, reason: str) -> None:
        gate.wait(10)
        calls.append(reason)

    callbacks = Callbacks(wait_then_note, None, ThrottledLog())
    for _ in range(MOST_WAITING + 100):
        callbacks.dropped(record, "queue_full")
    gate.set()
    callbacks.close(10)
    assert len(calls) + callbacks.skipped == MOST_WAITING + 100
    assert callbacks.skipped >= 99


def test_a_callback_that_hangs_does_not_keep_close_beyond_its_time(
    record: Record,
) -> None:
    gate = threading.Event()
    hang: Callable[[Record, str], object] = lambda record, reason: gate.wait(30)  # noqa: E731  # typed so
    callbacks = Callbacks(hang, None, ThrottledLog())
    for _ in range(3):
        callbacks.dropped(record, "queue_full")
    callbacks.close(0.05)
    assert callbacks.skipped >= 2
    gate.set()


def test_without_a_callback_no_thread_is_started(record: Record) -> None:
    before = threading.active_count()
    callbacks = Callbacks(None, None, ThrottledLog())
    callbacks.dropped(record, "queue_full")
    callbacks.delivered(record)
    callbacks.close(1)
    assert threading.active_count() == before
    assert callbacks.skipped == 0


def test_a_callback_that_tries_to_end_its_thread_costs_one_call(
    sink: BatchSink, exposure: Exposure
) -> None:
    told = []

    def on_delivery(report: DeliveryReport) -> None:
        told.append(report)
        if len(told) == 1:
            raise SystemExit

    with DataPlane(sink, on_delivery=on_delivery) as plane:
        for _ in range(3):
            plane.publish(exposure)
        plane.flush(5)
    assert len(told) == 3
    assert plane.stats().callback_errors == 1


def test_a_callback_that_raises_ctrl_c_costs_one_call_too(
    sink: BatchSink, exposure: Exposure
) -> None:
    told = []

    def on_delivery(report: DeliveryReport) -> None:
        told.append(report)
        raise KeyboardInterrupt

    with DataPlane(sink, on_delivery=on_delivery) as plane:
        for _ in range(3):
            plane.publish(exposure)
        plane.flush(5)
    assert len(told) == plane.stats().callback_errors == 3


def test_a_callback_that_closes_while_somebody_closes_does_not_hold_that_up(
    sink: BatchSink, exposure: Exposure
) -> None:
    closing = threading.Event()
    results = []

    def close_too(_report: DeliveryReport) -> None:
        closing.wait(10)
        wait_until(lambda: plane._closed, timeout=10, what="the close of the main thread")
        results.append(plane.close(60))

    plane = DataPlane(sink, on_delivery=close_too)
    plane.publish(exposure)
    closing.set()
    began = time.monotonic()
    plane.close(30)
    assert time.monotonic() - began < 20
    assert [result.delivered for result in results] == [1]


class Failing(Step[NoOptions]):
    """Raises at every other event."""

    phase = Phase.ENRICH

    def __init__(self) -> None:
        super().__init__(NoOptions())
        self._turns = itertools.cycle([True, False])

    def apply(self, envelope: Envelope) -> Envelope:
        if next(self._turns):
            raise ValueError("bug")
        return envelope


@pytest.mark.parametrize("mode", ["drop", "block", "spool"])
@pytest.mark.parametrize("when_full", ["reject", "dropOldest"])
def test_the_calls_of_on_drop_and_those_that_were_left_out_are_all_drops(
    sink: BatchSink,
    control: Control,
    exposure: Exposure,
    tmp_path: Path,
    mode: FailureMode,
    when_full: Literal["reject", "dropOldest"],
) -> None:
    told: Counter[str] = Counter()

    def on_drop(_record: Record, reason: str) -> None:
        told[reason] += 1

    control.hold()
    spool = SpoolOptions(directory=tmp_path, max_bytes=1024 * 1024, when_full=when_full)
    options = DataPlaneOptions(
        failure_mode=mode,
        block_timeout_ms=1,
        flush_interval_ms=1,
        max_queue_size=10,
        spool=spool if mode == "spool" else None,
    )
    plane = DataPlane(sink, options, steps=[Failing()], on_drop=on_drop)
    count = 8000 if mode == "spool" else 100
    for _ in range(count):
        plane.publish(exposure)
    with pytest.raises(EventError):
        plane.publish("no event")  # type: ignore[arg-type]  # that is the mistake
    for segment in tmp_path.glob("*/*.segment"):
        with suppress(FileNotFoundError):  # one that was dropped
            damage(segment)
    control.release()
    plane.close(20)
    plane.publish(exposure)
    plane.publish(exposure)
    stats = plane.stats()
    assert stats.dropped["step_failed"] == count // 2 + 1
    assert told.total() + stats.callbacks_skipped == stats.dropped_total
    assert all(told[reason] <= counted for reason, counted in stats.dropped.items())
    assert is_balanced(stats)


def damage(segment: Path) -> None:
    """Flip the bytes in the middle of a file."""
    with segment.open("r+b") as file:
        file.seek(segment.stat().st_size // 2)
        piece = file.read(20)
        file.seek(-len(piece), 1)
        file.write(bytes(byte ^ 0xFF for byte in piece))

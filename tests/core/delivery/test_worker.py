from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

import pytest
from experiment_framework import DataPlane, DataPlaneOptions, Exposure
from experiment_framework._delivery import refuse_threads, worker
from experiment_framework.plugin import Record
from sinks import BatchSink, Control
from waiting import wait_until

MakePlane = Callable[..., DataPlane]


def age_of(plane: DataPlane) -> float:
    return float(plane.health().details["oldestPendingAgeSeconds"] or 0.0)


def batch_threads() -> set[threading.Thread]:
    """Find those that run now; some of other tests may be about to end."""
    return {each for each in threading.enumerate() if each.name == "experiment-batches"}


def test_no_thread_runs_before_the_first_event_nor_after_the_close(
    make_plane: MakePlane, sink: BatchSink, exposure: Exposure
) -> None:
    before = batch_threads()
    plane = make_plane(sink)
    assert batch_threads() <= before
    plane.publish(exposure)
    (started,) = batch_threads() - before
    plane.close()
    started.join(5)
    assert not started.is_alive()


def test_a_full_batch_is_written_without_waiting_for_the_interval(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    plane = make_plane(sink, batch_size=3, flush_interval_ms=3_600_000)
    for _ in range(2):
        plane.publish(exposure)
    assert plane.publish_and_wait(exposure, 5).status == "delivered"
    assert [len(batch) for batch in control.batches] == [3]


def test_a_part_of_a_batch_is_written_when_the_interval_is_over(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    plane = make_plane(sink, batch_size=500, flush_interval_ms=10)
    assert plane.publish_and_wait(exposure, 5).status == "delivered"
    assert [len(batch) for batch in control.batches] == [1]


def test_records_are_written_in_the_order_in_which_they_were_published(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    plane = make_plane(sink, batch_size=7)
    ids = [plane.publish(exposure).event_id for _ in range(100)]
    plane.flush(5)
    assert [record.event_id for record in control.records] == ids
    assert max(len(batch) for batch in control.batches) <= 7


def test_a_batch_that_fails_does_not_take_the_next_one_with_it(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    control.fail_next(ConnectionError("gone"))
    plane = make_plane(sink, batch_size=2, retry_deadline_ms=0)
    for _ in range(6):
        plane.publish(exposure)
    control.release()
    result = plane.flush(5)
    assert result.failed + result.delivered == 6
    assert 1 <= result.failed <= 2


def test_a_sink_that_hangs_does_not_keep_close_beyond_its_time(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    plane = make_plane(sink, batch_size=1)
    for _ in range(3):
        plane.publish(exposure)
    result = plane.close(0.1)
    assert (result.failed, result.pending) == (3, 0)


def test_what_a_hanging_sink_writes_after_close_is_not_counted_twice(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    plane = make_plane(sink, batch_size=1)
    plane.publish(exposure)
    worker = plane._delivery.outlet._thread  # type: ignore[attr-defined]  # the thread under test
    plane.close(0.05)
    control.release()
    worker.join(5)
    stats = plane.stats()
    assert (stats.offered, stats.failed, stats.delivered, stats.pending) == (1, 1, 0, 0)


def test_where_no_thread_can_start_close_writes_in_the_calling_thread(
    make_plane: MakePlane,
    sink: BatchSink,
    control: Control,
    exposure: Exposure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    plane = make_plane(sink)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(5):
            plane.publish(exposure)
        assert plane.close(5).delivered == 5
    assert len(control.records) == 5


@pytest.mark.parametrize(
    "end", [SystemExit(3), asyncio.CancelledError("cancelled"), GeneratorExit()]
)
def test_a_sink_that_tries_to_end_its_thread_costs_one_batch(
    make_plane: MakePlane,
    sink: BatchSink,
    control: Control,
    exposure: Exposure,
    end: BaseException,
) -> None:
    control.fail_next(end)
    plane = make_plane(sink, retry_deadline_ms=0)
    first = plane.publish_and_wait(exposure, 5)
    assert first.status == "failed"
    assert type(end).__name__ in (first.reason or "")
    assert plane.publish_and_wait(exposure, 5).status == "delivered"


def test_health_says_how_long_records_wait_and_when_the_last_one_arrived(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    plane = make_plane(sink, batch_size=2, flush_interval_ms=3_600_000)
    details = plane.health().details
    assert details["oldestPendingAgeSeconds"] is None
    assert details["lastDeliveryAgeSeconds"] is None
    plane.publish(exposure)
    wait_until(lambda: age_of(plane) > 0.02, timeout=10, what="a wait")
    plane.flush(5)
    details = plane.health().details
    assert details["oldestPendingAgeSeconds"] is None
    assert 0 <= details["lastDeliveryAgeSeconds"] < 5


def test_a_batch_under_way_still_waits_and_its_failure_is_no_delivery(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    control.fail_next(OSError("no"))
    plane = make_plane(sink, batch_size=1, retry_deadline_ms=0)
    plane.publish(exposure)
    wait_until(lambda: age_of(plane) > 0.02, timeout=10, what="a wait")
    assert plane.health().details["queueFill"] == 0, "it is in the sink's hands"
    control.release()
    plane.flush(5)
    assert plane.health().details["oldestPendingAgeSeconds"] is None
    assert plane.health().details["lastDeliveryAgeSeconds"] is None


def test_what_a_batch_leaves_in_the_queue_has_waited_since_it_came(
    make_plane: MakePlane, exposure: Exposure
) -> None:
    turns = threading.Semaphore(0)
    written: list[Record] = []

    class InTurns(BatchSink):
        def write_batch(self, records: Sequence[Record]) -> None:
            turns.acquire(timeout=30)
            written.extend(records)

    plane = make_plane(InTurns(), batch_size=1)
    for _ in range(2):
        plane.publish(exposure)
    wait_until(lambda: age_of(plane) > 0.1, timeout=10, what="a wait")
    turns.release()
    wait_until(lambda: len(written) == 1, timeout=10, what="the first batch")
    assert age_of(plane) > 0.1
    turns.release()


def test_a_sink_that_hangs_is_degraded_and_then_unhealthy(
    make_plane: MakePlane,
    sink: BatchSink,
    control: Control,
    exposure: Exposure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "SLOW", 0.05)
    monkeypatch.setattr(worker, "STUCK", 0.3)
    control.hold()
    plane = make_plane(sink, batch_size=1, flush_interval_ms=1)
    plane.publish(exposure)
    seen = []

    def is_unhealthy() -> bool:
        seen.append(plane.health())
        return seen[-1].status == "UNHEALTHY"

    wait_until(is_unhealthy, timeout=10, what="unhealthy")
    assert next(health.status for health in seen if not health.is_healthy) == "DEGRADED"
    assert "nothing gets through" in seen[-1].message
    control.release()
    plane.flush(5)
    assert plane.health().is_healthy


def test_a_queue_that_fills_is_told(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    plane = make_plane(sink, max_queue_size=10, batch_size=1, flush_interval_ms=1)
    plane.publish(exposure)
    wait_until(
        lambda: plane.health().details["queueFill"] == 0, timeout=10, what="a batch under way"
    )
    for _ in range(9):
        plane.publish(exposure)
    health = plane.health()
    assert health.details["queueFill"] == pytest.approx(0.9)
    assert "the queue is 90% full" in health.reasons
    control.release()


def test_a_sink_that_is_interrupted_by_a_flush_while_close_writes_does_not_wait_for_itself(
    exposure: Exposure,
) -> None:
    class Interrupted(BatchSink):
        """A signal handler, or a log handler, publishes and flushes while it writes."""

        def write_batch(self, records: Sequence[Record]) -> None:
            super().write_batch(records)
            if len(self._batches) == 1:
                plane.publish(exposure)
                plane.flush(30)

    sink = Interrupted()
    plane = DataPlane(sink, DataPlaneOptions(batch_size=1))
    refuse_threads(refuse=True)
    try:
        plane.publish(exposure)
        plane.publish(exposure)
        began = time.monotonic()
        assert plane.flush(30).delivered == 3
        assert time.monotonic() - began < 20
    finally:
        refuse_threads(refuse=False)
    plane.close(5)


def test_a_sink_that_raises_ctrl_c_on_its_thread_costs_one_batch(
    sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.fail_next(KeyboardInterrupt())
    plane = DataPlane(sink, DataPlaneOptions(batch_size=1, retry_deadline_ms=0))
    for _ in range(3):
        plane.publish(exposure)
    result = plane.close(5)
    assert (result.delivered, result.failed, result.pending) == (2, 1, 0)

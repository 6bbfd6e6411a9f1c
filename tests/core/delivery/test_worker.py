from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from experiment_framework import DataPlane, Exposure
from sinks import BatchSink, Control

MakePlane = Callable[..., DataPlane]


def batch_threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "experiment-batches"}


def test_no_thread_runs_before_the_first_event_nor_after_the_close(
    make_plane: MakePlane, sink: BatchSink, exposure: Exposure
) -> None:
    before = batch_threads()
    plane = make_plane(sink)
    assert batch_threads() <= before  # those of other planes may end meanwhile
    plane.publish(exposure)
    (worker,) = batch_threads() - before
    plane.close()
    worker.join(5)
    assert batch_threads() <= before


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

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from accounts import is_balanced
from experiment_framework import (
    ConfigError,
    DataPlane,
    ErrorEvent,
    EventError,
    Exposure,
    Health,
    Outcome,
    correlation,
)
from experiment_framework._delivery import handover
from experiment_framework.dataplane_options import FailureModes
from experiment_framework.errors import HookError
from experiment_framework.plugin import (
    Backplane,
    DeliveryError,
    Query,
    Record,
    UnsupportedError,
)
from sinks import BatchSink, Control, NoOptions, SelfQueueing

MakePlane = Callable[..., DataPlane]


def outcome(value: float = 1.0) -> Outcome:
    return Outcome(
        experiment_name="checkout",
        subject_id="user-1",
        metric_name="revenue",
        outcome_type="Continuous",
        value=value,
    )


def test_an_accepted_event_arrives_with_the_id_of_its_receipt(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    plane = make_plane(sink)
    receipt = plane.publish(exposure)
    assert (receipt.status, receipt.reason) == ("accepted", None)
    assert plane.flush(5).delivered == 1
    assert [record.event_id for record in control.records] == [receipt.event_id]


def test_a_given_event_id_correlation_id_and_metadata_reach_the_envelope(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    plane = make_plane(sink)
    plane.publish(exposure, event_id="e-1", correlation_id="c-1", metadata={"source": "job"})
    plane.flush(5)
    body = json.loads(control.records[0].body)
    assert body["eventId"] == "e-1"
    assert body["correlationId"] == "c-1"
    assert body["metadata"] == {"source": "job"}


def test_the_enclosing_correlation_is_used_where_none_is_given(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    plane = make_plane(sink)
    with correlation("request-abc-123"):
        plane.publish(exposure)
        plane.publish(exposure, correlation_id="own")
    plane.publish(exposure)
    plane.flush(5)
    assert [record.correlation_id for record in control.records] == [
        "request-abc-123",
        "own",
        None,
    ]


def test_a_type_that_is_switched_off_is_counted_and_not_sent(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    plane = make_plane(sink, enable_exposure_events=False, enable_error_events=False)
    assert plane.publish(exposure).status == "disabled"
    assert plane.publish(ErrorEvent(error_type="E", message="m")).status == "disabled"
    assert plane.publish(outcome()).status == "accepted"
    plane.flush(5)
    assert [record.event_type for record in control.records] == ["Outcome"]
    assert plane.stats().disabled == 2


def test_an_event_with_a_mistake_is_refused_and_its_neighbours_arrive(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    plane = make_plane(sink)
    bad = Exposure(
        experiment_name="checkout",
        variant_key="a",
        subject_id="u",
        attributes={"cart": {"total": object()}},
    )
    plane.publish(exposure)
    with pytest.raises(EventError) as refused:
        plane.publish(bad)
    plane.publish(exposure)
    plane.flush(5)
    assert refused.value.field == "attributes.cart.total"
    assert len(control.records) == 2
    assert plane.stats().refused == 1
    assert is_balanced(plane.stats())


@pytest.mark.parametrize("not_an_event", [None, {}, "Exposure", 7])
def test_what_is_no_event_is_refused(
    make_plane: MakePlane, sink: BatchSink, not_an_event: object
) -> None:
    plane = make_plane(sink)
    with pytest.raises(EventError, match="is no event"):
        plane.publish(not_an_event)  # type: ignore[arg-type]  # the mistake under test
    assert plane.stats().refused == 1


def test_an_event_class_in_place_of_an_event_is_named(
    make_plane: MakePlane, sink: BatchSink
) -> None:
    with pytest.raises(EventError, match="Exposure: is a class; publish an event made of it"):
        make_plane(sink).publish(Exposure)  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize("configuration", ["kafka", Path("experiments.yaml"), {}])
def test_a_configuration_in_place_of_a_backplane_is_told_where_it_belongs(
    configuration: object,
) -> None:
    with pytest.raises(TypeError, match=r"DataPlane\.from_config takes a configuration"):
        DataPlane(configuration)


@pytest.mark.parametrize("source", [None, 7, b"experiments.yaml"])
def test_what_is_no_configuration_is_named(source: object) -> None:
    with pytest.raises(TypeError, match="a path, its text or a mapping, not"):
        DataPlane.from_config(source)  # type: ignore[arg-type]  # the mistake under test


def test_an_empty_string_is_a_configuration_that_has_nothing_in_it() -> None:
    with pytest.raises(ConfigError, match="nothing is in it"):
        DataPlane.from_config("")


def test_without_room_the_newest_event_is_dropped_and_counted(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    plane = make_plane(sink, max_queue_size=5, batch_size=1)
    receipts = [plane.publish(exposure) for _ in range(20)]
    dropped = [receipt for receipt in receipts if receipt.status == "dropped"]
    assert {receipt.reason for receipt in dropped} == {"queue_full"}
    assert plane.stats().dropped == {"queue_full": len(dropped)}
    control.release()
    plane.flush(5)
    accepted = [receipt.event_id for receipt in receipts if receipt.status == "accepted"]
    assert [record.event_id for record in control.records] == accepted
    assert is_balanced(plane.stats())


def test_drops_are_warned_of_once_an_interval(
    make_plane: MakePlane,
    sink: BatchSink,
    control: Control,
    exposure: Exposure,
    caplog: pytest.LogCaptureFixture,
) -> None:
    control.hold()
    plane = make_plane(sink, max_queue_size=1)
    with caplog.at_level(logging.WARNING, "experiment_framework"):
        for _ in range(100):
            plane.publish(exposure)
    assert [record.getMessage() for record in caplog.records] == [
        "an event was dropped: queue_full"
    ]


def test_block_waits_for_room(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    plane = make_plane(
        sink, failure_mode="block", block_timeout_ms=20_000, max_queue_size=1, batch_size=1
    )
    plane.publish(exposure)
    threading.Timer(0.05, control.release).start()
    receipts = [plane.publish(exposure) for _ in range(10)]
    assert {receipt.status for receipt in receipts} == {"accepted"}
    assert plane.flush(5).delivered == 11


def test_block_gives_up_after_its_timeout(make_plane: MakePlane, exposure: Exposure) -> None:
    plane = make_plane(SelfQueueing(room=0), failure_mode="block", block_timeout_ms=30)
    receipt = plane.publish(exposure)
    assert (receipt.status, receipt.reason) == ("dropped", "queue_full")


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_block_never_asks_for_more_than_its_timeout(
    make_plane: MakePlane, exposure: Exposure, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeTime()
    monkeypatch.setattr(handover, "time", clock)
    plane = make_plane(SelfQueueing(room=0), failure_mode="block", block_timeout_ms=50)
    took = []
    for _ in range(100):
        began = clock.now
        assert plane.publish(exposure).reason == "queue_full"
        took.append(clock.now - began)
    assert min(took) >= 0.05 - 1e-6, "it gave up before its time"
    assert max(took) <= 0.05 + 1e-6
    assert plane.stats().dropped == {"queue_full": 100}


def test_publishers_that_block_at_once_all_come_back_in_time(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    plane = make_plane(
        sink, failure_mode="block", block_timeout_ms=50, max_queue_size=1, batch_size=1
    )
    while plane.publish(exposure).status == "accepted":
        pass
    with ThreadPoolExecutor(8) as pool:
        began = time.monotonic()
        receipts = list(pool.map(lambda _: plane.publish(exposure), range(80)))
        assert time.monotonic() - began < 10  # of half a second that the timeouts add up to
    assert {receipt.reason for receipt in receipts} == {"queue_full"}


def test_each_type_has_the_mode_that_is_declared_for_it(
    make_plane: MakePlane, exposure: Exposure, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeTime()
    monkeypatch.setattr(handover, "time", clock)
    modes = FailureModes(default="drop", errors="block")
    plane = make_plane(SelfQueueing(room=0), failure_mode=modes, block_timeout_ms=50)
    assert plane.publish(exposure).reason == "queue_full"
    assert clock.now == 1000.0
    assert plane.publish(ErrorEvent(error_type="T", message="m")).reason == "queue_full"
    assert clock.now == pytest.approx(1000.05)


def test_close_waits_for_another_threads_close_within_its_own_budget(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    plane = make_plane(sink)
    plane.publish(exposure)
    closing = threading.Thread(target=plane.close, args=(60,))
    closing.start()
    try:
        while plane.publish(exposure).reason != "closed":
            pass
        began = time.monotonic()
        assert plane.close(0.1).pending
        assert time.monotonic() - began < 10
    finally:
        control.release()
        closing.join()


def test_a_record_larger_than_the_queue_is_dropped_as_too_large(
    make_plane: MakePlane, sink: BatchSink, control: Control
) -> None:
    plane = make_plane(sink, max_queue_bytes=2048)
    events = [
        Exposure(experiment_name="e", variant_key="v", subject_id="s" * size)
        for size in (10, 4000, 10)
    ]
    statuses = [plane.publish(event) for event in events]
    assert [receipt.reason for receipt in statuses] == [None, "too_large", None]
    plane.flush(5)
    assert len(control.records) == 2


def test_a_batch_that_fails_is_counted_as_failed_with_its_reason(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.fail_next(OSError("disk full"))
    plane = make_plane(sink, retry_deadline_ms=0)
    receipt = plane.publish_and_wait(exposure, 5)
    assert (receipt.status, receipt.reason) == ("failed", "OSError: disk full")
    assert plane.flush(1).failed == 1
    assert plane.health().status == "UNHEALTHY"
    assert "disk full" in plane.health().message
    assert plane.publish_and_wait(exposure, 5).status == "delivered"
    assert plane.health().is_healthy


def test_publish_and_wait_says_when_the_time_was_over_first(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    plane = make_plane(sink)
    receipt = plane.publish_and_wait(exposure, 0.05)
    assert (receipt.status, receipt.reason) == ("accepted", "its fate was not known in time")


def test_publish_and_wait_works_where_only_failures_are_reported(
    make_plane: MakePlane, exposure: Exposure
) -> None:
    plane = make_plane(SelfQueueing())
    assert plane.publish_and_wait(exposure, 5).status == "delivered"
    assert plane.stats().delivered == 1


def test_apublish_lets_the_loop_run_while_it_waits(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    plane = make_plane(sink)

    async def release_once_waiting() -> str:
        waiting = asyncio.create_task(plane.apublish(exposure, 5))
        await asyncio.sleep(0)
        control.release()
        return (await waiting).status

    assert asyncio.run(release_once_waiting()) == "delivered"


class Busy(SelfQueueing):
    """Others publish all the time: something is outstanding whenever it is asked."""

    def outstanding(self) -> int:
        return len(self._queue) + 1

    def flush(self, timeout: float) -> bool:
        self._queue.clear()
        return True


def test_waiting_calls_learn_a_fate_while_others_go_on_publishing(
    make_plane: MakePlane, exposure: Exposure
) -> None:
    plane = make_plane(Busy())
    assert plane.publish_and_wait(exposure, 5).status == "delivered"
    assert asyncio.run(plane.apublish(exposure, 5)).status == "delivered"


def test_waiting_calls_come_back_with_a_fate_that_is_told_while_others_wait_on(
    make_plane: MakePlane, exposure: Exposure
) -> None:
    class Rejecting(Busy):
        """Takes what it will not keep, and never gets rid of what others gave it."""

        def publish(self, record: Record) -> None:
            threading.Timer(0.05, self.context.failed, (record, "rejected")).start()

        def flush(self, timeout: float) -> bool:
            threading.Event().wait(timeout)
            return False

    plane = make_plane(Rejecting())
    started = time.monotonic()
    assert plane.publish_and_wait(exposure, 30).reason == "rejected"
    assert asyncio.run(plane.apublish(exposure, 30)).reason == "rejected"
    assert time.monotonic() - started < 15
    plane.close(0)


def test_waiting_calls_claim_nothing_of_a_flush_that_settled_nothing(
    make_plane: MakePlane, exposure: Exposure
) -> None:
    class Stuck(Busy):
        """Brokers are away."""

        def flush(self, timeout: float) -> bool:
            return False

    plane = make_plane(Stuck())
    assert plane.publish_and_wait(exposure, 0.2).status == "accepted"
    assert asyncio.run(plane.apublish(exposure, 0.2)).status == "accepted"


def test_apublish_gives_up_when_its_time_is_over(make_plane: MakePlane, exposure: Exposure) -> None:
    plane = make_plane(SelfQueueing(room=0), failure_mode="block", block_timeout_ms=10_000)
    receipt = asyncio.run(plane.apublish(exposure, 0.05))
    assert (receipt.status, receipt.reason) == ("dropped", "queue_full")


def test_flush_returns_within_its_time_and_says_what_is_pending(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    control.hold()
    plane = make_plane(sink)
    for _ in range(7):
        plane.publish(exposure)
    result = plane.flush(0.05)
    assert (result.pending, result.delivered, result.failed) == (7, 0, 0)


def test_close_counts_what_it_could_not_deliver_and_says_so_once(
    make_plane: MakePlane,
    sink: BatchSink,
    control: Control,
    exposure: Exposure,
    caplog: pytest.LogCaptureFixture,
) -> None:
    control.hold()
    plane = make_plane(sink)
    for _ in range(7):
        plane.publish(exposure)
    with caplog.at_level(logging.WARNING, "experiment_framework"):
        result = plane.close(0.05)
    assert (result.failed, result.pending) == (7, 0)
    assert is_balanced(plane.stats())
    closing = [line for line in caplog.messages if line.startswith("closed with 7 events failed")]
    assert len(closing) == 1
    control.release()
    assert plane.close() == result


def test_after_close_events_are_dropped_as_closed(
    make_plane: MakePlane, sink: BatchSink, exposure: Exposure
) -> None:
    plane = make_plane(sink)
    plane.close()
    receipt = plane.publish(exposure)
    assert (receipt.status, receipt.reason) == ("dropped", "closed")
    assert plane.stats().dropped == {"closed": 1}
    assert plane.health().status == "UNHEALTHY"


def test_the_context_manager_delivers_what_was_published_inside(
    sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    with DataPlane(sink) as plane:
        plane.publish(exposure)
    assert len(control.records) == 1


def test_many_threads_publish_and_every_event_is_accounted_for(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    plane = make_plane(sink, max_queue_size=200, batch_size=50)
    accepted: list[int] = []

    def publish_some() -> None:
        receipts = [plane.publish(exposure) for _ in range(500)]
        accepted.append(sum(receipt.status == "accepted" for receipt in receipts))

    threads = [threading.Thread(target=publish_some) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        stats = plane.stats()
        assert min(stats.pending, stats.delivered, stats.offered) >= 0
        assert is_balanced(stats)
    plane.flush(5)
    stats = plane.stats()
    assert stats.offered == 4000
    assert stats.delivered == sum(accepted) == len(control.records)
    assert stats.pending == 0


def test_a_backplane_that_raises_something_unexpected_costs_one_event(
    make_plane: MakePlane, exposure: Exposure
) -> None:
    broken = SelfQueueing()
    broken._full = lambda: 1 // 0 == 0
    plane = make_plane(broken)
    receipt = plane.publish(exposure)
    assert (receipt.status, receipt.reason) == ("dropped", "backplane_failed")


def test_what_the_backplane_cannot_do_is_said_clearly(
    make_plane: MakePlane, sink: BatchSink
) -> None:
    plane = make_plane(sink)
    with pytest.raises(UnsupportedError, match="BatchSink cannot read events back"):
        plane.read(Query())
    with pytest.raises(UnsupportedError, match="BatchSink has nothing to provision"):
        plane.provision()


def test_a_republished_envelope_keeps_its_ids_and_reserved_metadata(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    from experiment_framework import Envelope, decode

    envelope = Envelope.around(
        exposure, event_id="e-1", correlation_id="c-1", metadata={"samplingRate": 0.5}
    )
    plane = make_plane(sink)
    assert plane.publish_envelope(envelope).status == "accepted"
    plane.flush(5)
    assert decode(control.records[0].body) == envelope


def test_reserved_metadata_is_refused_from_an_application(
    make_plane: MakePlane, sink: BatchSink, exposure: Exposure
) -> None:
    plane = make_plane(sink)
    with pytest.raises(EventError) as refused:
        plane.publish(exposure, metadata={"samplingRate": 0.5})
    assert refused.value.field == "metadata.samplingRate"


class Clumsy(SelfQueueing):
    """Raises wherever nobody expects it."""

    def flush(self, timeout: float) -> None:
        raise RuntimeError("flush is broken")

    def close(self, timeout: float) -> None:
        raise RuntimeError("close is broken")

    def health(self) -> Health:
        raise RuntimeError("health is broken")


def test_hooks_that_raise_are_logged_and_take_nothing_down(
    exposure: Exposure, caplog: pytest.LogCaptureFixture
) -> None:
    plane = DataPlane(Clumsy())
    plane.publish(exposure)
    assert plane.health().status == "UNHEALTHY"
    assert "health is broken" in plane.health().message
    with caplog.at_level(logging.ERROR, "experiment_framework"):
        assert plane.flush(1).pending == 1
        assert plane.close(1).pending == 1
    assert caplog.messages == [
        "the backplane Clumsy failed to flush",
        "the backplane Clumsy failed to flush",
        "the backplane Clumsy failed to close",
    ]


def test_a_health_hook_that_gives_something_else_is_named(exposure: Exposure) -> None:
    class Chatty(SelfQueueing):
        """Answers in its own words."""

        def health(self) -> Health:
            return "fine"  # type: ignore[return-value]  # the mistake under test

    health = DataPlane(Chatty()).health()
    assert health.status == "UNHEALTHY"
    assert health.message.endswith("its hook 'health' gave 'fine', which is no Health")


def test_a_count_of_outstanding_records_that_is_no_number_is_refused_at_once() -> None:
    class Wordy(SelfQueueing):
        """Counts in words."""

        def outstanding(self) -> int:
            return "none"  # type: ignore[return-value]  # the mistake under test

    with pytest.raises(HookError, match="hook 'outstanding' gave 'none', which is no number"):
        DataPlane(Wordy())


def test_a_backplane_that_cannot_be_opened_is_named_with_the_reason() -> None:
    class Offline(SelfQueueing):
        """Connects too early."""

        def open(self) -> None:
            raise ConnectionError("no route")

    with pytest.raises(DeliveryError, match="Offline cannot be opened: ConnectionError: no route"):
        DataPlane(Offline())


def test_a_fate_that_is_told_twice_is_said_to_be_the_backplanes_mistake(
    exposure: Exposure, caplog: pytest.LogCaptureFixture
) -> None:
    class Twice(Backplane[NoOptions]):
        """Tells every fate twice."""

        def publish(self, record: Record) -> None:
            self.context.delivered(record)
            self.context.delivered(record)

    plane = DataPlane(Twice(NoOptions()))
    plane.publish(exposure)
    plane.close()
    assert "the backplane Twice told more fates than it took records (1 too many)" in caplog.text


def test_ctrl_c_during_close_lets_go_at_once(exposure: Exposure) -> None:
    class Interrupted(SelfQueueing):
        """The operator loses patience while it flushes."""

        def __init__(self) -> None:
            super().__init__()
            self._budgets: list[float] = []

        def flush(self, timeout: float) -> None:
            raise KeyboardInterrupt

        def close(self, timeout: float) -> None:
            self._budgets.append(timeout)

    backplane = Interrupted()
    plane = DataPlane(backplane)
    plane.publish(exposure)
    with pytest.raises(KeyboardInterrupt):
        plane.close(3600)
    assert backplane._budgets == [0.0]
    assert plane.publish(exposure).reason == "closed"


def test_a_fate_that_is_told_twice_hides_no_loss(
    exposure: Exposure, caplog: pytest.LogCaptureFixture
) -> None:
    class Once(Backplane[NoOptions]):
        """Tells that something arrived twice, and that something else did not."""

        def publish(self, record: Record) -> None:
            if record.event_id == "bad":
                self.context.failed(record, "rejected")
            else:
                self.context.delivered(record)
                self.context.delivered(record)

    plane = DataPlane(Once(NoOptions()))
    plane.publish(exposure)
    plane.publish(exposure, event_id="bad")
    plane.close()
    assert "told more fates than it took records (1 too many)" in caplog.text
    assert "closed with 1 events failed" in caplog.text


def test_a_loop_that_is_closed_while_a_fate_is_awaited_costs_nothing_else(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    plane = make_plane(sink, batch_size=1)
    control.hold()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(plane.apublish(exposure, 10))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    plane.publish(exposure)
    control.release()
    assert plane.flush(5).delivered == 2
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]  # it is left on purpose

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from accounts import is_balanced
from experiment_framework import DataPlane, DataPlaneOptions, ErrorEvent, Exposure, Outcome
from experiment_framework.dataplane_options import FailureModes, SpoolOptions
from experiment_framework.plugin import Envelope, Record
from sinks import BatchSink, Control, SelfQueueing
from waiting import wait_until

MODES = ("overflow", "writeAhead")


def spooling(directory: Path, mode: str = "overflow", **written: object) -> DataPlaneOptions:
    settings: dict[str, object] = {
        "failure_mode": "spool",
        "max_queue_size": 10,
        "batch_size": 5,
        "flush_interval_ms": 5,
    }
    spool = SpoolOptions(directory=directory, mode=mode)  # type: ignore[arg-type]  # one of MODES
    return DataPlaneOptions(**(settings | {"spool": spool} | written))  # type: ignore[arg-type]  # as above


def arrived(control: Control) -> list[str]:
    return [record.event_id for record in control.records]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_what_has_no_room_waits_on_disk_and_arrives_in_order(
    mode: str, sink: BatchSink, control: Control, exposure: Exposure, tmp_path: Path
) -> None:
    control.hold()
    plane = DataPlane(sink, spooling(tmp_path, mode))
    receipts = [plane.publish(exposure) for _ in range(200)]
    assert {receipt.status for receipt in receipts} == {"accepted", "spooled"}
    assert plane.stats().spooled > 0
    assert is_balanced(plane.stats())
    control.release()
    assert plane.flush(20).is_complete
    assert arrived(control) == [receipt.event_id for receipt in receipts]
    assert plane.stats().spooled == 0
    plane.close(5)


def test_what_is_left_at_close_is_sent_by_the_next_process_in_order(
    mode: str, sink: BatchSink, control: Control, exposure: Exposure, tmp_path: Path
) -> None:
    control.hold()
    plane = DataPlane(sink, spooling(tmp_path, mode))
    ids = [plane.publish(exposure).event_id for _ in range(50)]
    result = plane.close(0.05)
    assert (result.spooled, result.failed, result.dropped) == (50, 0, 0)
    later = BatchSink()
    with DataPlane(later, spooling(tmp_path, mode)) as plane:
        assert plane.stats().recovered == 50
        assert plane.flush(20).delivered == 50
    assert arrived(Control(later)) == ids
    assert is_balanced(plane.stats())


def test_a_batch_that_fails_for_a_passing_reason_is_sent_again(
    mode: str, sink: BatchSink, control: Control, exposure: Exposure, tmp_path: Path
) -> None:
    control.fail_next(*[ConnectionError("down")] * 3)
    plane = DataPlane(sink, spooling(tmp_path, mode))
    ids = [plane.publish(exposure).event_id for _ in range(30)]
    assert plane.flush(20).is_complete
    assert sorted(arrived(control)) == sorted(ids)
    plane.close(5)
    assert plane.stats().failed == 0
    assert is_balanced(plane.stats())


def test_new_events_go_behind_those_that_wait(
    mode: str, sink: BatchSink, control: Control, exposure: Exposure, tmp_path: Path
) -> None:
    control.hold()
    plane = DataPlane(sink, spooling(tmp_path, mode))
    ids = [plane.publish(exposure).event_id for _ in range(30)]
    control.release()
    ids += [plane.publish(exposure).event_id for _ in range(300)]
    assert plane.flush(20).is_complete
    assert arrived(control) == ids
    plane.close(5)


def test_outcomes_outlive_exposures_where_the_configuration_says_so(
    sink: BatchSink, control: Control, exposure: Exposure, tmp_path: Path
) -> None:
    control.hold()
    modes = FailureModes(default="drop", outcomes="spool")
    plane = DataPlane(sink, spooling(tmp_path, failure_mode=modes, max_queue_size=2))
    outcome = Outcome(
        experiment_name="checkout",
        subject_id="user-1",
        metric_name="purchase",
        outcome_type="Binary",
        value=1,
    )
    error = ErrorEvent(error_type="Timeout", message="slow")
    until_full = [plane.publish(exposure) for _ in range(20)]
    assert until_full[-1].reason == "queue_full"
    assert plane.publish(error).reason == "queue_full"
    assert plane.publish(outcome).status == "spooled"
    assert plane.publish(exposure).status == "spooled", "it may not overtake what waits on disk"
    control.release()
    plane.flush(20)
    assert "Outcome" in {record.event_type for record in control.records}
    plane.close(5)


def test_a_full_spool_drops_the_newest_and_counts_them(
    mode: str, sink: BatchSink, control: Control, exposure: Exposure, tmp_path: Path
) -> None:
    control.hold()
    spool = SpoolOptions(directory=tmp_path, mode=mode, max_bytes=1024 * 1024)  # type: ignore[arg-type]  # one of MODES
    plane = DataPlane(sink, spooling(tmp_path, mode, spool=spool))
    receipts = [plane.publish(exposure) for _ in range(4000)]
    dropped = [receipt for receipt in receipts if receipt.status == "dropped"]
    assert {receipt.reason for receipt in dropped} == {"spool_full"}
    assert plane.stats().dropped == {"spool_full": len(dropped)}
    control.release()
    plane.flush(20)
    assert arrived(control) == [r.event_id for r in receipts if r.status != "dropped"]
    assert is_balanced(plane.stats())
    plane.close(5)


def test_a_spool_that_drops_the_oldest_counts_them_too(
    sink: BatchSink, control: Control, exposure: Exposure, tmp_path: Path
) -> None:
    control.hold()
    spool = SpoolOptions(directory=tmp_path, max_bytes=1024 * 1024, when_full="dropOldest")
    plane = DataPlane(sink, spooling(tmp_path, spool=spool))
    last = [plane.publish(exposure) for _ in range(4000)][-1]
    assert last.status == "spooled"
    dropped = plane.stats().dropped["spool_overflow"]
    control.release()
    plane.flush(20)
    assert arrived(control)[-1] == last.event_id
    assert len(arrived(control)) == 4000 - dropped
    assert is_balanced(plane.stats())
    plane.close(5)


def test_what_a_full_spool_drops_is_told_and_counted_by_variant(
    sink: BatchSink, control: Control, exposure: Exposure, tmp_path: Path
) -> None:
    told: list[str] = []

    def on_drop(_record: Record, reason: str) -> None:
        told.append(reason)

    control.hold()
    spool = SpoolOptions(directory=tmp_path, max_bytes=1024 * 1024, when_full="dropOldest")
    plane = DataPlane(sink, spooling(tmp_path, spool=spool), on_drop=on_drop)
    for _ in range(8000):
        plane.publish(exposure)
    plane.close(0.5)
    stats = plane.stats()
    dropped = stats.dropped["spool_overflow"]
    assert dropped > 0
    assert set(told) == {"spool_overflow"}
    assert len(told) + stats.callbacks_skipped == dropped
    [kind] = plane.breakdown()
    assert kind.dropped >= len(told)
    assert is_balanced(stats)


def test_several_threads_publish_while_records_are_replayed(
    mode: str, sink: BatchSink, control: Control, tmp_path: Path
) -> None:
    control.hold()
    plane = DataPlane(sink, spooling(tmp_path, mode, max_queue_size=50))
    published: dict[str, list[str]] = {f"subject-{index}": [] for index in range(4)}

    def publish_as(subject: str) -> None:
        event = Exposure(experiment_name="e", variant_key="v", subject_id=subject)
        published[subject] += [plane.publish(event).event_id for _ in range(500)]

    threads = [threading.Thread(target=publish_as, args=(subject,)) for subject in published]
    for thread in threads:
        thread.start()
    control.release()
    for thread in threads:
        thread.join()
    assert plane.flush(30).is_complete
    for subject, ids in published.items():
        assert [r.event_id for r in control.records if r.subject_id == subject] == ids
    assert is_balanced(plane.stats())
    plane.close(5)


class GivesUp(SelfQueueing):
    """Reports failures only; gives up what it has when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self._is_down = True
        self._arrived: list[str] = []
        self._serving = threading.Lock()

    def flush(self, timeout: float) -> None:
        with self._serving:
            while self._queue:
                record = self._queue[0]
                if self._is_down:
                    self.context.failed(record, "timed out", retryable=True)
                else:
                    self._arrived.append(record.event_id)
                self._queue.pop(0)  # outstanding until its fate was told


def test_a_client_that_reports_failures_only_loses_nothing(
    exposure: Exposure, tmp_path: Path, make_plane: Callable[..., DataPlane]
) -> None:
    client = GivesUp()
    plane = make_plane(client, failure_mode="spool", spool=SpoolOptions(directory=tmp_path))
    ids = [plane.publish(exposure).event_id for _ in range(20)]
    plane.flush(0.3)
    stats = plane.stats()
    assert stats.delivered == 0
    assert stats.spooled + stats.pending == 20
    client._is_down = False
    assert plane.flush(20).is_complete
    assert client._arrived == ids
    assert is_balanced(plane.stats())


def test_the_same_event_id_twice_is_two_records(
    mode: str, sink: BatchSink, control: Control, exposure: Exposure, tmp_path: Path
) -> None:
    control.hold()
    plane = DataPlane(sink, spooling(tmp_path, mode))
    for _ in range(40):
        plane.publish(exposure, event_id="again")
    control.release()
    assert plane.flush(20).delivered == 40
    assert arrived(control) == ["again"] * 40
    assert plane.close(5).is_complete
    assert not list(tmp_path.rglob("*.segment"))


def test_the_age_of_what_waits_grows_as_long_as_it_waits(
    mode: str, sink: BatchSink, control: Control, tmp_path: Path
) -> None:
    control.fail_next(*[ConnectionError("down")] * 10_000)
    plane = DataPlane(sink, spooling(tmp_path, mode))
    now = datetime.now(UTC)
    for minutes in range(30, 0, -1):
        happened = now - timedelta(minutes=minutes)
        plane.publish(
            Exposure(experiment_name="e", variant_key="v", subject_id="s", timestamp=happened)
        )
    oldest = 30 * 60
    wait_until(lambda: age_on_disk(plane) >= oldest, timeout=20, what="the oldest on disk")

    ages = [0.0]
    tried = plane.health().details["replayed"]

    def has_tried_again() -> bool:
        health = plane.health()
        ages.append(health.details["oldestSpooledAgeSeconds"])
        if health.details["spooled"]:  # all of it may be on its way
            assert any("on disk, the oldest for 30 min" in reason for reason in health.reasons)
        return bool(health.details["replayed"] >= tried + 3)

    wait_until(has_tried_again, timeout=30, what="several tries")
    assert ages == sorted(ages)
    assert ages[1] >= oldest
    plane.close(0.1)


def test_the_age_of_what_others_left_is_known_when_it_is_read(
    sink: BatchSink, control: Control, tmp_path: Path
) -> None:
    control.hold()
    happened = datetime.now(UTC) - timedelta(hours=3)
    event = Exposure(experiment_name="e", variant_key="v", subject_id="s", timestamp=happened)
    plane = DataPlane(sink, spooling(tmp_path))
    plane.publish(event)
    plane.close(0.05)
    later = BatchSink()
    Control(later).hold()
    with DataPlane(later, spooling(tmp_path)) as plane:
        wait_until(lambda: age_on_disk(plane) >= 3 * 3600, timeout=20, what="the age")
        Control(later).release()
        assert plane.flush(20).delivered == 1
        wait_until(lambda: not age_on_disk(plane), timeout=20, what="nothing on disk")


def age_on_disk(plane: DataPlane) -> float:
    return float(plane.health().details["oldestSpooledAgeSeconds"])


def test_an_event_type_of_a_newer_release_is_kept_as_the_default_says(
    mode: str, sink: BatchSink, control: Control, tmp_path: Path
) -> None:
    modes = FailureModes(default="spool", exposures="drop")
    plane = DataPlane(sink, spooling(tmp_path, mode, failure_mode=modes, retry_deadline_ms=0))
    control.fail_next(ConnectionError("down"))
    newer = Envelope(
        event_id="1",
        timestamp=datetime.now(UTC),
        event_type="Holdout",
        schema_version="1.9.0",
        payload={"experimentName": "checkout"},
    )
    assert plane.publish_envelope(newer).status in ("accepted", "spooled")
    assert plane.flush(20).is_complete
    assert arrived(control) == ["1"]
    plane.close(5)
    assert is_balanced(plane.stats())

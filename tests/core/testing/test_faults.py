from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from accounts import is_balanced
from experiment_framework import DataPlane, DataPlaneOptions, DeliveryReport, Exposure
from experiment_framework.dataplane_options import SpoolOptions
from experiment_framework.errors import HookError
from experiment_framework.plugin import Record
from experiment_framework.testing import Faults, RecordingBackplane, with_faults
from sinks import BatchSink, Control, SelfQueueing


@attrs.define
class Broken:
    """A data plane over a backplane that can be broken."""

    plane: DataPlane
    faults: Faults
    arrived: Callable[[], list[Record]]
    fates: list[DeliveryReport]

    def publish(self, number: int) -> None:
        for index in range(number):
            self.plane.publish(
                Exposure(experiment_name="checkout", variant_key="b", subject_id=str(index))
            )


@pytest.fixture(params=["write_batch", "publish"])
def broken(request: pytest.FixtureRequest) -> Iterator[Broken]:
    """Both ways to deliver."""
    backplane: object
    if request.param == "write_batch":
        sink = BatchSink()
        control, backplane = Control(sink), sink
        arrived = lambda: control.records  # noqa: E731  # one of two
    else:
        recording = backplane = RecordingBackplane()
        arrived = lambda: list(recording.records)  # noqa: E731  # the other
    given, faults = with_faults(backplane)
    fates: list[DeliveryReport] = []
    options = DataPlaneOptions(flush_interval_ms=5, retry_deadline_ms=0)
    plane = DataPlane(given, options, on_delivery=fates.append)
    yield Broken(plane, faults, arrived, fates)
    plane.close(1.0)


def test_without_a_fault_everything_arrives(broken: Broken) -> None:
    broken.publish(20)

    assert broken.plane.flush(5).is_complete
    assert len(broken.arrived()) == 20


def test_nothing_gets_through_while_it_is_stalled(broken: Broken) -> None:
    broken.faults.stall()
    broken.publish(20)
    stalled = broken.plane.flush(0.1)
    broken.faults.release()

    assert (stalled.pending, stalled.delivered) == (20, 0)
    assert broken.plane.flush(5).is_complete
    assert len(broken.arrived()) == 20


def test_a_stall_ends_with_the_data_plane(broken: Broken) -> None:
    broken.faults.stall()
    broken.publish(20)

    result = broken.plane.close(0.1)

    assert result.failed == 20
    assert is_balanced(broken.plane.stats())


def test_writes_fail_as_often_as_they_are_told_to(broken: Broken) -> None:
    broken.faults.fail(2, OSError("the disk is on fire"))
    for _ in range(3):
        broken.publish(1)
        broken.plane.flush(5)
    broken.plane.close(1.0)

    assert [each.status for each in broken.fates] == ["failed", "failed", "delivered"]
    assert "the disk is on fire" in (broken.fates[0].reason or "")


def test_what_is_rejected_takes_no_other_record_with_it(broken: Broken) -> None:
    broken.faults.reject(lambda record: record.subject_id in {"3", "7"}, "not wanted")
    broken.publish(10)
    broken.plane.flush(5)
    broken.plane.close(1.0)

    failed = [each.record.subject_id for each in broken.fates if each.status == "failed"]
    assert failed == ["3", "7"]
    assert len(broken.arrived()) == 8
    assert {each.reason for each in broken.fates if each.status == "failed"} == {"not wanted"}


def test_a_stalled_queue_is_as_long_as_the_data_plane_allows() -> None:
    given, faults = with_faults(SelfQueueing())
    with DataPlane(given, DataPlaneOptions(max_queue_size=5)) as plane:
        faults.stall()
        for index in range(8):
            plane.publish(
                Exposure(experiment_name="checkout", variant_key="b", subject_id=str(index))
            )
        assert plane.stats().dropped == {"queue_full": 3}
        assert plane.stats().pending == 5
        faults.release()
        assert plane.flush(1).delivered == 5


def test_a_spool_bridges_a_failure(tmp_path: Path) -> None:
    sink = BatchSink()
    given, faults = with_faults(sink)
    faults.fail(3)
    options = DataPlaneOptions(
        failure_mode="spool", spool=SpoolOptions(directory=tmp_path), flush_interval_ms=5
    )
    with DataPlane(given, options) as plane:
        plane.publish(Exposure(experiment_name="checkout", variant_key="b", subject_id="1"))
        assert plane.flush(10).is_complete


def test_what_is_no_backplane_is_refused() -> None:
    with pytest.raises(HookError):
        with_faults(object())

"""What becomes of records that were sent from disk, or came back to it, at awkward moments."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
from accounts import is_balanced
from experiment_framework import DataPlane, DataPlaneOptions, Exposure
from experiment_framework._delivery.spooling import Spooling
from experiment_framework.dataplane_options import SpoolOptions
from experiment_framework.plugin import Record
from sinks import BatchSink, Control, SelfQueueing
from waiting import wait_until


class Client(SelfQueueing):
    """Takes one record at a time, and says what became of it when it is told to."""

    def __init__(self) -> None:
        super().__init__(room=1)

    def flush(self, timeout: float) -> None:
        """Wait for nothing: somebody else decides."""

    def _fail_first(self) -> None:
        self.context.failed(self._queue[0], "timed out", retryable=True)
        self._queue.pop(0)

    def _deliver_first(self) -> Record:
        if self.context.report_each:
            self.context.delivered(self._queue[0])
        return self._queue.pop(0)

    def close(self, timeout: float) -> None:
        while self._queue:
            self._fail_first()


class Choosy(BatchSink):
    """Refuses every batch with a record of the experiment that is called bad."""

    def write_batch(self, records: Sequence[Record]) -> None:
        if any(record.experiment_name == "bad" for record in records):
            raise ValueError("bad")
        super().write_batch(records)


def plane_on(client: Client, directory: Path, **written: object) -> DataPlane:
    spool = SpoolOptions(directory=directory, **written)  # type: ignore[arg-type]  # as a test wants it
    return DataPlane(client, DataPlaneOptions(failure_mode="spool", spool=spool))


def test_what_comes_back_during_a_flush_is_sent_before_it_ends(
    sink: BatchSink, control: Control, exposure: Exposure, tmp_path: Path
) -> None:
    options = DataPlaneOptions(failure_mode="spool", spool=SpoolOptions(directory=tmp_path))
    with DataPlane(sink, options) as plane:
        plane.publish(exposure)
        control.fail_next(ConnectionError("down"))
        assert plane.flush(20).is_complete


def test_what_comes_back_after_its_segment_was_dropped_has_failed(
    exposure: Exposure, tmp_path: Path
) -> None:
    client = Client()
    oldest: Literal["dropOldest"] = "dropOldest"
    plane = plane_on(client, tmp_path, mode="writeAhead", max_bytes=1024 * 1024, when_full=oldest)
    plane.publish(exposure)
    while not plane.stats().dropped:
        plane.publish(exposure)
    client._fail_first()
    assert plane.stats().failed == 1
    plane.close(0.0)
    assert is_balanced(plane.stats())


@pytest.mark.parametrize("mode", ["overflow", "writeAhead"])
def test_what_was_sent_from_disk_and_arrived_is_not_sent_again(
    exposure: Exposure, tmp_path: Path, mode: str
) -> None:
    client = Client()
    plane = plane_on(client, tmp_path, mode=mode)
    ids = [plane.publish(exposure).event_id for _ in range(5)]
    arrived = []
    while len(arrived) < 3:
        if client.outstanding():
            arrived.append(client._deliver_first().event_id)
    result = plane.close(0.0)
    assert arrived == ids[:3]
    assert (result.delivered, result.spooled) == (3, 2)
    assert is_balanced(plane.stats())
    later = plane_on(Client(), tmp_path, mode=mode)
    assert later.stats().recovered == 2
    later.close(0.0)


def test_a_record_that_came_back_alone_is_tried_again_without_company(
    sink: BatchSink, control: Control, exposure: Exposure, tmp_path: Path
) -> None:
    options = DataPlaneOptions(
        failure_mode="spool", flush_interval_ms=1, spool=SpoolOptions(directory=tmp_path)
    )
    with DataPlane(sink, options) as plane:
        plane.publish(exposure)
        control.fail_next(*[ConnectionError("down")] * 4)
        assert plane.flush(20).is_complete


def test_a_good_record_before_a_bad_one_arrives(exposure: Exposure, tmp_path: Path) -> None:
    bad = Exposure(experiment_name="bad", variant_key="b", subject_id="user-1")
    sink = Choosy()
    options = DataPlaneOptions(
        failure_mode="spool", flush_interval_ms=1, spool=SpoolOptions(directory=tmp_path)
    )
    plane = DataPlane(sink, options)
    sink._failures.extend([ConnectionError("down")] * 4)
    plane.publish(exposure)
    plane.publish(bad)
    wait_until(lambda: plane.stats().delivered == 1, timeout=20, what="the good one")
    assert plane.close(0.0).spooled == 1


def test_what_is_written_ahead_while_all_is_closed_waits_on_disk(
    exposure: Exposure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = plane_on(Client(), tmp_path, mode="writeAhead")
    really_write = Spooling.write_ahead

    def write_and_be_overtaken(spooling: Spooling, record: Record) -> bool:
        is_next = really_write(spooling, record)
        closing = threading.Thread(target=plane.close, args=(0.0,))
        closing.start()
        closing.join()
        return is_next

    monkeypatch.setattr(Spooling, "write_ahead", write_and_be_overtaken)
    receipt = plane.publish(exposure)
    stats = plane.stats()
    assert receipt.status == "spooled"
    assert (stats.spooled, stats.dropped) == (1, {})
    assert is_balanced(stats)
    later = plane_on(Client(), tmp_path, mode="writeAhead")
    assert later.stats().recovered == 1
    later.close(0.0)


def test_a_way_out_that_exits_does_not_end_the_replay(exposure: Exposure, tmp_path: Path) -> None:
    class Exiting(Client):
        """Has no room at first, and then tries to end the thread that calls it."""

        def __init__(self) -> None:
            super().__init__()
            self._calls = 0

        def publish(self, record: Record) -> None:
            self._calls += 1
            if self._calls == 2:
                raise SystemExit
            super().publish(record)

    client = Exiting()
    plane = plane_on(client, tmp_path, mode="overflow")
    client._full = lambda: client._calls < 2
    for _ in range(3):
        plane.publish(exposure)
    arrived: list[Record] = []

    def deliver() -> bool:
        if client._queue:
            arrived.append(client._deliver_first())
        return len(arrived) == 2

    wait_until(deliver, timeout=20, what="those behind it")
    assert plane.stats().dropped == {"backplane_failed": 1}
    assert plane.close(1).delivered == 2

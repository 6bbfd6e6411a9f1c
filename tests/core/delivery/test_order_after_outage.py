"""While a record is looked for with which no batch arrives, order per key is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from experiment_framework import DataPlane, Exposure
from experiment_framework._delivery.spooling import Spooling
from experiment_framework._delivery.suspicion import witness_among
from experiment_framework.dataplane_options import SpoolOptions
from experiment_framework.envelope import Envelope, Record, encode
from sinks import BatchSink, Control


def exposure(subject: str, number: int = 0, experiment: str = "checkout") -> Exposure:
    return Exposure(
        experiment_name=experiment,
        variant_key="b",
        subject_id=subject,
        attributes={"number": number},
    )


@pytest.mark.parametrize("failures", [3, 4, 5, 6])
def test_nothing_overtakes_its_own_key_when_the_sink_comes_back(
    make_plane: Callable[..., DataPlane],
    sink: BatchSink,
    control: Control,
    tmp_path: Path,
    failures: int,
) -> None:
    plane = make_plane(
        sink,
        failure_mode="spool",
        spool=SpoolOptions(directory=tmp_path / "spool"),
        retry_deadline_ms=0,
        flush_interval_ms=1,
    )
    control.fail_next(*[ConnectionError("down")] * failures)
    published: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    for number in range(4):
        for key, ids in published.items():
            receipt = plane.publish(exposure(key, number, experiment=f"of-{key}"))
            ids.append(receipt.event_id)

    assert plane.flush(30).is_complete
    for key, ids in published.items():
        assert [each.event_id for each in control.records if each.subject_id == key] == ids


def test_what_is_published_while_a_batch_goes_to_disk_goes_behind_it(
    make_plane: Callable[..., DataPlane],
    sink: BatchSink,
    control: Control,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published: list[str] = []
    take_back = Spooling.take_back

    def publish_first(self: Spooling, record: Record, reason: str = "") -> bool:
        if len(published) < 6:
            other = threading.Thread(target=publish)
            other.start()
            other.join(30)
        return take_back(self, record, reason)

    def publish() -> None:
        published.append(plane.publish(exposure("a", len(published))).event_id)

    monkeypatch.setattr(Spooling, "take_back", publish_first)
    plane = make_plane(
        sink,
        failure_mode="spool",
        spool=SpoolOptions(directory=tmp_path / "spool"),
        retry_deadline_ms=0,
        batch_size=3,
    )
    control.hold()
    control.fail_next(ConnectionError("down"))
    for _ in range(5):
        publish()
    control.release()
    assert plane.flush(30).is_complete
    assert len(published) == 6
    assert [each.event_id for each in control.records] == published


def records(*subjects: str) -> list[Record]:
    return [encode(Envelope.around(exposure(each, experiment=f"of-{each}"))) for each in subjects]


def test_a_witness_is_the_first_of_its_own_key() -> None:
    assert witness_among(records("a", "a", "b", "b", "a")) == 2
    assert witness_among(records("a", "b", "c")) == 2


def test_where_all_share_a_key_the_last_one_is_the_witness() -> None:
    assert witness_among(records("a", "a", "a")) == 2


def test_a_record_alone_has_no_witness() -> None:
    assert witness_among(records("a")) == 0
    assert witness_among([]) == 0

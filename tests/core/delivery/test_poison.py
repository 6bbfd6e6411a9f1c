"""A record that its sink never takes does not hold up the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from experiment_framework import DataPlane, Exposure
from experiment_framework._delivery import replay
from experiment_framework.dataplane_options import DeadLetterOptions, SpoolOptions
from experiment_framework.plugin import Record
from sinks import BatchSink, Control

MakePlane = Callable[..., DataPlane]


class Picky(BatchSink):
    """Refuses each batch that holds one of certain records, without saying which."""

    def __init__(self) -> None:
        super().__init__()
        self._refused: set[str] = set()
        self._tries: dict[str, int] = {}

    def write_batch(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.event_id in self._refused:
                self._tries[record.event_id] = self._tries.get(record.event_id, 0) + 1
                raise ValueError("a value is out of range")
        super().write_batch(records)


@pytest.fixture(autouse=True)
def quick_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "LONGEST_PAUSE", 0.1)


@pytest.fixture(params=["overflow", "writeAhead"])
def make_spooling(
    request: pytest.FixtureRequest, make_plane: MakePlane, tmp_path: Path
) -> MakePlane:
    def make(sink: BatchSink, **written: object) -> DataPlane:
        spool = SpoolOptions(directory=tmp_path / "spool", mode=request.param)
        settings: dict[str, object] = {
            "failure_mode": "spool",
            "batch_size": 50,
            "flush_interval_ms": 5,
            "dead_letters": DeadLetterOptions(path=tmp_path / "letters.jsonl"),
        }
        return make_plane(sink, spool=spool, **(settings | written))

    return make


@pytest.mark.parametrize("refused", [{0}, {140}, {70, 71}, {3, 60, 110}])
def test_what_fails_alone_where_others_arrive_becomes_a_dead_letter(
    make_spooling: MakePlane, exposure: Exposure, tmp_path: Path, refused: set[int]
) -> None:
    sink = Picky()
    control = Control(sink)
    sink._refused = {str(number) for number in refused}
    plane = make_spooling(sink)
    for number in range(150):
        plane.publish(exposure, event_id=str(number))
    result = plane.flush(20)
    assert (result.delivered, result.failed, result.spooled) == (
        150 - len(refused),
        len(refused),
        0,
    )
    arrived = {record.event_id for record in control.records}
    assert arrived == {str(number) for number in range(150)} - sink._refused
    letters = [json.loads(line) for line in (tmp_path / "letters.jsonl").read_text().splitlines()]
    assert {letter["envelope"]["eventId"] for letter in letters} == sink._refused
    assert all("a value is out of range" in letter["reason"] for letter in letters)
    assert min(sink._tries.values()) > 5


def test_a_sink_that_is_down_condemns_no_record(
    make_spooling: MakePlane, exposure: Exposure, tmp_path: Path
) -> None:
    sink = Picky()
    control = Control(sink)
    control.fail_next(*[ConnectionError("down")] * 40)
    plane = make_spooling(sink)
    ids = {plane.publish(exposure).event_id for _ in range(150)}
    result = plane.flush(20)
    assert (result.delivered, result.failed) == (150, 0)
    assert {record.event_id for record in control.records} == ids
    assert not (tmp_path / "letters.jsonl").exists()


def test_a_record_that_nothing_follows_is_tried_until_something_does(
    make_spooling: MakePlane, exposure: Exposure
) -> None:
    sink = Picky()
    sink._refused = {"bad"}
    plane = make_spooling(sink)
    plane.publish(exposure, event_id="bad")
    result = plane.flush(1)
    assert (result.failed, result.spooled + result.pending) == (0, 1)
    for number in range(20):
        plane.publish(exposure, event_id=f"good-{number}")
    result = plane.flush(20)
    assert (result.delivered, result.failed) == (20, 1)

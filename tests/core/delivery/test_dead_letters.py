from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from experiment_framework import DataPlane, Exposure, decode
from experiment_framework._delivery import ThrottledLog
from experiment_framework._delivery.dead_letters import DeadLetters
from experiment_framework.dataplane_options import DeadLetterOptions
from experiment_framework.envelope import Envelope, encode
from experiment_framework.plugin import Record
from sinks import BatchSink, SelfQueueing

MakePlane = Callable[..., DataPlane]


class Refusing(SelfQueueing):
    """A sink whose policy refuses everything, for good or for now."""

    def __init__(self, *, retryable: bool) -> None:
        super().__init__()
        self._retryable = retryable

    def flush(self, timeout: float) -> None:
        for record in self._queue:
            self.context.failed(record, "refused by policy", retryable=self._retryable)
        self._queue.clear()


def letters(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_record_that_is_too_large_is_kept_whole_with_its_reason(
    make_plane: MakePlane, sink: BatchSink, tmp_path: Path
) -> None:
    path = tmp_path / "dead.jsonl"
    plane = make_plane(sink, max_queue_bytes=2048, dead_letters=DeadLetterOptions(path=path))
    event = Exposure(experiment_name="e", variant_key="v", subject_id="s" * 4000)
    receipt = plane.publish(event)
    assert receipt.reason == "too_large"
    (letter,) = letters(path)
    assert str(letter["reason"]).startswith("too_large: the record has")
    envelope = decode(json.dumps(letter["envelope"]))
    assert (envelope.event_id, envelope.payload) == (receipt.event_id, event)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(("retryable", "kept"), [(False, 1), (True, 0)])
def test_only_what_was_refused_for_good_is_a_dead_letter(
    make_plane: MakePlane, exposure: Exposure, tmp_path: Path, *, retryable: bool, kept: int
) -> None:
    path = tmp_path / "dead.jsonl"
    plane = make_plane(Refusing(retryable=retryable), dead_letters=DeadLetterOptions(path=path))
    plane.publish(exposure)
    assert plane.flush(1).failed == 1
    assert len(letters(path) if path.exists() else []) == kept


def test_where_the_file_cannot_be_written_events_go_on(
    make_plane: MakePlane, exposure: Exposure, tmp_path: Path
) -> None:
    path = tmp_path / "missing" / "dead.jsonl"
    plane = make_plane(Refusing(retryable=False), dead_letters=DeadLetterOptions(path=path))
    for _ in range(3):
        plane.publish(exposure)
    assert plane.flush(1).failed == 3


def test_the_file_never_grows_beyond_its_limit(tmp_path: Path, exposure: Exposure) -> None:
    record: Record = encode(Envelope.around(exposure))
    path = tmp_path / "dead.jsonl"
    kept = DeadLetters(path, 2000, ThrottledLog())
    for _ in range(20):
        kept.keep(record, "refused")
    assert path.stat().st_size <= 2000
    assert kept.written == len(letters(path))
    assert kept.written + kept.lost == 20

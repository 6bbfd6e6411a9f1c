from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from accounts import is_balanced
from experiment_framework import DataPlane, Exposure, decode
from experiment_framework._delivery import ThrottledLog
from experiment_framework._delivery.dead_letters import DeadLetterFile, DeadLetters
from experiment_framework.dataplane_options import DeadLetterOptions
from experiment_framework.envelope import Envelope, encode
from experiment_framework.plugin import Record, RecordTooLargeError
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
    kept = DeadLetters(DeadLetterFile(path, 2000), None, ThrottledLog())
    for _ in range(20):
        kept.keep(record, "refused")
    assert path.stat().st_size <= 2000
    assert kept.written == len(letters(path))
    assert kept.written + kept.lost == 20


class Keeping(Refusing):
    """A sink with a place of its own for what it refuses."""

    def __init__(self) -> None:
        super().__init__(retryable=False)
        self._kept: list[tuple[Record, str]] = []

    def publish(self, record: Record) -> None:
        if len(record.body) > 2000:
            raise RecordTooLargeError(len(record.body), 2000)
        super().publish(record)

    def dead_letter(self, record: Record, reason: str) -> bool:
        self._kept.append((record, reason))
        return True


def test_the_backplane_is_offered_what_can_never_be_delivered(
    make_plane: MakePlane, exposure: Exposure, tmp_path: Path
) -> None:
    sink, path = Keeping(), tmp_path / "dead.jsonl"
    plane = make_plane(sink, dead_letters=DeadLetterOptions(path=path))
    refused = plane.publish(exposure)
    plane.flush(1)
    too_large = plane.publish(Exposure(experiment_name="e", variant_key="v", subject_id="s" * 4000))
    kept = [(record.event_id, reason.partition(":")[0]) for record, reason in sink._kept]
    assert kept == [(refused.event_id, "refused by policy"), (too_large.event_id, "too_large")]
    assert len(letters(path)) == 2
    stats = plane.stats()
    assert (stats.failed, stats.dropped, is_balanced(stats)) == (1, {"too_large": 1}, True)


def test_a_backplane_that_keeps_none_of_them_costs_a_warning_and_a_count(
    make_plane: MakePlane, exposure: Exposure, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Refusing):
        def dead_letter(self, record: Record, reason: str) -> bool:
            self.context.failed(record, "refused again")  # it must not, and is counted for it
            raise RuntimeError("the place for dead letters is gone")

    class Declining(Refusing):
        def dead_letter(self, record: Record, reason: str) -> None:
            return None

    for sink, lost in ((Failing(retryable=False), 6), (Declining(retryable=False), 0)):
        plane = make_plane(sink)
        for _ in range(3):
            plane.publish(exposure)
        plane.flush(1)
        assert plane.health().details["deadLettersLost"] == lost
    assert caplog.text.count("did not take a dead letter: RuntimeError('the place") == 1


def test_an_interrupt_while_a_dead_letter_is_kept_leaves_the_accounts_right(
    make_plane: MakePlane, exposure: Exposure
) -> None:
    class Interrupted(Refusing):
        def dead_letter(self, record: Record, reason: str) -> bool:
            raise KeyboardInterrupt

    sink = Interrupted(retryable=False)
    plane = make_plane(sink)
    plane.publish(exposure)
    with pytest.raises(KeyboardInterrupt):
        plane.flush(1)
    sink._queue.clear()
    stats = plane.stats()
    assert (stats.failed, is_balanced(stats)) == (1, True)

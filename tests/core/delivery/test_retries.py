"""What a `write_batch` may say about records, and what becomes of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from accounts import is_balanced
from experiment_framework import DataPlane, Exposure
from experiment_framework.dataplane_options import DeadLetterOptions, SpoolOptions
from experiment_framework.plugin import BatchTooLarge, Permanent, Record, Retryable
from sinks import BatchSink, Control
from waiting import wait_until

MakePlane = Callable[..., DataPlane]
Refusal = Callable[[Sequence[Record]], BaseException | None]


class Choosy(BatchSink):
    """Asks a test what to say to each batch; keeps all that it was given."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self._refusal = refusal
        self._tries: list[list[str]] = []

    def write_batch(self, records: Sequence[Record]) -> None:
        self._tries.append([record.event_id for record in records])
        error = self._refusal(records)
        if error is not None:
            named = getattr(error, "records", None) or ()
            for each in getattr(error, "exceptions", ()):
                named = (*named, *(each.records or ()))
            if named:
                super().write_batch([record for record in records if record not in named])
            raise error
        super().write_batch(records)


@pytest.fixture
def make_quick(make_plane: MakePlane) -> MakePlane:
    """Make planes that try again soon."""

    def make(sink: BatchSink, **written: object) -> DataPlane:
        settings: dict[str, object] = {
            "batch_size": 10,
            "flush_interval_ms": 5,
            "retry_backoff_ms": 1,
            "retry_backoff_max_ms": 5,
        }
        return make_plane(sink, **(settings | written))

    return make


def publish(plane: DataPlane, exposure: Exposure, count: int) -> list[str]:
    return [plane.publish(exposure, event_id=str(each)).event_id for each in range(count)]


def arrived(sink: BatchSink) -> list[str]:
    return [record.event_id for record in Control(sink).records]


def failing(times: int, error: BaseException) -> Refusal:
    left = [error] * times
    return lambda _: left.pop() if left else None


@pytest.mark.parametrize("error", [Retryable("503"), OSError("no route"), SystemExit(1)])
def test_a_batch_that_fails_is_tried_again_before_later_ones(
    make_quick: MakePlane, exposure: Exposure, error: BaseException
) -> None:
    sink = Choosy(failing(4, error))
    plane = make_quick(sink)
    ids = publish(plane, exposure, 35)
    assert plane.flush(10).is_complete
    assert arrived(sink) == ids
    assert is_balanced(plane.stats())


def test_only_the_records_that_are_named_are_tried_again(
    make_quick: MakePlane, exposure: Exposure
) -> None:
    tries = 0

    def refusal(records: Sequence[Record]) -> BaseException | None:
        nonlocal tries
        tries += 1
        return Retryable("busy", records[3:5]) if tries == 1 else None

    sink = Choosy(refusal)
    plane = make_quick(sink, flush_interval_ms=3_600_000)
    publish(plane, exposure, 10)
    assert plane.flush(10).delivered == 10
    assert sink._tries[1] == ["3", "4"]
    assert sorted(arrived(sink), key=int) == [str(each) for each in range(10)]


def test_a_sink_that_knows_both_kinds_names_both_at_once(
    make_quick: MakePlane, exposure: Exposure, tmp_path: Path
) -> None:
    def refusal(records: Sequence[Record]) -> BaseException | None:
        if len(records) < 10:
            return None
        return ExceptionGroup(
            "two", [Retryable("busy", records[:2]), Permanent("no such column", records[7:8])]
        )

    sink = Choosy(refusal)
    letters = DeadLetterOptions(path=tmp_path / "letters.jsonl")
    plane = make_quick(sink, flush_interval_ms=3_600_000, dead_letters=letters)
    publish(plane, exposure, 10)
    result = plane.flush(10)
    assert (result.delivered, result.failed) == (9, 1)
    assert sink._tries[1:] == [["0", "1"]]
    (letter,) = map(json.loads, letters.path.read_text().splitlines())
    assert (letter["reason"], letter["envelope"]["eventId"]) == ("no such column", "7")


def test_a_batch_that_is_too_large_is_written_in_smaller_ones_in_order(
    make_quick: MakePlane, exposure: Exposure
) -> None:
    sink = Choosy(lambda records: BatchTooLarge("413") if len(records) > 3 else None)
    plane = make_quick(sink)
    ids = publish(plane, exposure, 95)
    assert plane.flush(10).is_complete
    assert arrived(sink) == ids
    too_large = [each for each in sink._tries if len(each) > 3]
    assert len(too_large) < 10, "each batch was tried whole although such ones never fit"


def test_a_single_record_that_is_too_large_is_given_up_alone(
    make_quick: MakePlane, exposure: Exposure
) -> None:
    def refusal(records: Sequence[Record]) -> BaseException | None:
        is_there = any(record.event_id == "13" for record in records)
        return BatchTooLarge("413") if is_there else None

    sink = Choosy(refusal)
    plane = make_quick(sink)
    publish(plane, exposure, 30)
    result = plane.flush(10)
    assert (result.delivered, result.failed) == (29, 1)
    assert arrived(sink) == [str(each) for each in range(30) if each != 13]


def test_an_exception_that_names_nothing_makes_nothing_look_delivered(
    make_quick: MakePlane, exposure: Exposure
) -> None:
    errors: list[BaseException] = [
        ExceptionGroup("both empty", [Retryable("a", []), Permanent("b", [])]),
        ExceptionGroup("another kind too", [Permanent("a"), ValueError("b")]),
    ]
    sink = Choosy(lambda _: errors.pop() if errors else None)
    plane = make_quick(sink)
    ids = publish(plane, exposure, 10)
    assert plane.flush(10).is_complete
    assert set(arrived(sink)) == set(ids)


@pytest.mark.parametrize("bad", [{0}, {9}, {4, 5}, {0, 9}, {3, 17, 28}])
def test_without_a_spool_a_record_that_fails_them_all_is_given_up_alone_in_the_end(
    make_quick: MakePlane, exposure: Exposure, tmp_path: Path, bad: set[int]
) -> None:
    def refusal(records: Sequence[Record]) -> BaseException | None:
        is_there = any(int(record.event_id) in bad for record in records)
        return ValueError("out of range") if is_there else None

    sink = Choosy(refusal)
    letters = DeadLetterOptions(path=tmp_path / "letters.jsonl")
    plane = make_quick(sink, retry_deadline_ms=50, dead_letters=letters)
    publish(plane, exposure, 30)
    result = plane.flush(20)
    assert (result.delivered, result.failed) == (30 - len(bad), len(bad))
    assert arrived(sink) == [str(each) for each in range(30) if each not in bad]


def test_a_sink_that_stays_down_is_left_alone_between_probes(
    make_quick: MakePlane, exposure: Exposure
) -> None:
    sink = Choosy(lambda _: ConnectionError("down"))
    plane = make_quick(
        sink, retry_backoff_ms=1, retry_backoff_max_ms=3_600_000, retry_deadline_ms=5, batch_size=1
    )
    publish(plane, exposure, 50)
    wait_until(
        lambda: plane.health().details["nextTrySeconds"] > 1000,
        timeout=20,
        what="the breaker to open",
    )
    tries = len(sink._tries)
    result = plane.flush(0.3)
    assert result.pending > 30
    assert len(sink._tries) <= tries + 1
    assert plane.health().status == "UNHEALTHY"


def test_a_pause_between_tries_does_not_keep_close_beyond_its_time(
    make_quick: MakePlane, exposure: Exposure
) -> None:
    sink = Choosy(lambda _: ConnectionError("down"))
    plane = make_quick(sink, retry_backoff_ms=3_600_000, retry_backoff_max_ms=3_600_000)
    publish(plane, exposure, 30)
    wait_until(lambda: sink._tries, timeout=5, what="a first try")
    began = time.monotonic()
    result = plane.close(0.2)
    assert time.monotonic() - began < 2
    assert (result.failed, result.pending) == (30, 0)
    assert is_balanced(plane.stats())


def test_what_close_gives_up_is_told_with_what_the_last_try_said(
    make_quick: MakePlane, exposure: Exposure, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Choosy(lambda _: ConnectionError("down"))
    plane = make_quick(sink)
    publish(plane, exposure, 1)
    wait_until(lambda: sink._tries, timeout=5, what="a first try")
    wait_until(lambda: not plane.health().is_healthy, timeout=5, what="it is known")
    plane.close(0.05)
    assert "the time to close was over; the last try: ConnectionError: down" in caplog.text


def test_what_waits_on_disk_after_close_is_told_with_why_it_came_back(
    make_quick: MakePlane, exposure: Exposure, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Choosy(lambda _: ConnectionError("down"))
    plane = make_quick(sink, spool=SpoolOptions(directory=tmp_path / "spool"))
    publish(plane, exposure, 1)
    wait_until(lambda: sink._tries, timeout=5, what="a first try")
    assert plane.close(0.5).spooled == 1
    assert "the last one came back because: ConnectionError: down" in caplog.text


def test_with_a_spool_what_fails_goes_to_disk_with_all_that_is_behind_it(
    make_quick: MakePlane, exposure: Exposure, tmp_path: Path
) -> None:
    sink = Choosy(failing(2, ConnectionError("down")))
    control = Control(sink)
    control.hold()
    plane = make_quick(sink, spool=SpoolOptions(directory=tmp_path / "spool"))
    ids = publish(plane, exposure, 95)
    control.release()
    assert plane.flush(20).is_complete
    assert arrived(sink) == ids


def test_a_batch_holds_no_more_bytes_than_is_said(
    make_quick: MakePlane, exposure: Exposure
) -> None:
    sink = BatchSink()
    plane = make_quick(sink, batch_size=500, batch_bytes=2000, flush_interval_ms=3_600_000)
    publish(plane, exposure, 50)
    assert plane.flush(10).is_complete
    sizes = [[len(record.body) for record in batch] for batch in Control(sink).batches]
    assert all(sum(each) <= 2000 for each in sizes)
    assert max(map(len, sizes)) > 1

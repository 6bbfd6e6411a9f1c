from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from experiment_framework._delivery.spool import Place, Spool
from experiment_framework.envelope import Record
from experiment_framework.errors import RecordTooLargeError, SpoolError, SpoolFullError

MakeSpool = Callable[..., Spool]
MakeRecord = Callable[..., Record]
Ids = Callable[[Spool], list[int]]


def segments_of(directory: Path) -> list[Path]:
    return sorted(directory.glob("**/*.segment"))


def test_records_come_back_whole_and_in_the_order_in_which_they_were_appended(
    make_spool: MakeSpool, make_record: MakeRecord
) -> None:
    spool = make_spool(segment_bytes=4096)
    records = [make_record(number, size=number % 300) for number in range(500)]
    for record in records:
        spool.append(record)
    assert [record for _, record in spool.pending()] == records


def test_a_record_is_handed_out_once_until_it_is_released(
    make_spool: MakeSpool, make_record: MakeRecord
) -> None:
    spool = make_spool()
    spool.append(make_record(1))
    [(place, _)] = spool.next_batch(10)
    assert spool.next_batch(10) == []
    assert spool.release(place)
    assert spool.next_batch(10) == [(place, make_record(1))]


def test_released_records_come_again_in_order_and_before_younger_ones(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids
) -> None:
    spool = make_spool(segment_bytes=4096)
    for number in range(200):
        spool.append(make_record(number))
    batch = spool.next_batch(100)
    for place, _ in (batch[70], batch[3], batch[99]):
        spool.release(place)
    assert ids(spool) == [3, 70, 99, *range(100, 200)]


def test_a_record_stays_until_it_is_acknowledged(
    make_spool: MakeSpool, make_record: MakeRecord
) -> None:
    spool = make_spool()
    place = spool.append(make_record(1))
    spool.next_batch(1)
    assert spool.depth == 1
    assert spool.acknowledge(place)
    assert spool.depth == 0
    assert not spool.acknowledge(place)
    assert not spool.release(place)
    assert spool.depth == 0


def test_a_segment_is_deleted_when_all_of_it_is_acknowledged_in_any_order(
    make_spool: MakeSpool, make_record: MakeRecord, directory: Path
) -> None:
    spool = make_spool(segment_bytes=4096)
    places = [spool.append(make_record(number)) for number in range(100)]
    before = len(segments_of(directory))
    first = [place for place in places if place.serial == places[0].serial]
    for place in reversed(first):
        spool.acknowledge(place)
    spool.sync()
    assert len(segments_of(directory)) == before - 1
    assert spool.bytes == sum(path.stat().st_size for path in segments_of(directory))


def test_nothing_is_left_of_a_spool_that_is_empty_when_it_is_closed(
    make_spool: MakeSpool, make_record: MakeRecord, directory: Path
) -> None:
    spool = make_spool()
    spool.acknowledge(spool.append(make_record(1)))
    spool.close()
    assert [path.name for path in directory.iterdir()] == [".lock"]


def test_a_record_that_its_caller_delivers_at_once_waits_only_when_it_is_released(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids
) -> None:
    spool = make_spool()
    places = [spool.append(make_record(number), passed=True) for number in range(3)]
    assert spool.depth == 3
    assert spool.next_batch(10) == []
    spool.release(places[1])
    assert ids(spool) == [1]
    for place in places:
        spool.acknowledge(place)
    assert spool.depth == 0


def test_passed_records_between_waiting_ones_are_left_out(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids
) -> None:
    spool = make_spool(segment_bytes=4096)
    for number in range(100):
        spool.append(make_record(number), passed=number % 3 == 0)
    assert ids(spool) == [number for number in range(100) if number % 3]


def test_records_that_were_passed_but_not_acknowledged_come_back_after_a_crash(
    make_spool: MakeSpool,
    make_record: MakeRecord,
    ids: Ids,
    abandon: Callable[[Spool], None],
) -> None:
    spool = make_spool()
    places = [spool.append(make_record(number), passed=True) for number in range(10)]
    for place in places[:4]:
        spool.acknowledge(place)
    spool.sync()
    abandon(spool)
    assert ids(make_spool()) == [4, 5, 6, 7, 8, 9]


def test_a_full_spool_refuses_records_until_there_is_room(
    make_spool: MakeSpool, make_record: MakeRecord
) -> None:
    spool = make_spool(max_bytes=65536)
    places: list[Place] = []
    with suppress(SpoolFullError):
        while True:
            places.append(spool.append(make_record(len(places), size=100)))
    with pytest.raises(SpoolFullError, match="the limit is 65536"):
        spool.append(make_record(0, size=100))
    assert spool.depth == len(places)
    assert spool.bytes <= 65536
    for place in places:
        spool.acknowledge(place)
    spool.append(make_record(1, size=100))
    assert spool.depth == 1


def test_a_full_spool_drops_its_oldest_records_and_counts_them(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids
) -> None:
    spool = make_spool(max_bytes=65536, when_full="dropOldest")
    for number in range(2000):
        spool.append(make_record(number))
        assert spool.bytes <= 65536
    assert spool.discarded + spool.depth == 2000
    assert ids(spool) == list(range(spool.discarded, 2000))


def test_dropped_records_can_still_be_told_apart(
    make_spool: MakeSpool, make_record: MakeRecord
) -> None:
    spool = make_spool(max_bytes=65536, when_full="dropOldest")
    number = 0
    while not spool.discarded:
        spool.append(make_record(number))
        number += 1
    spool.sync()
    told = spool.take_discarded(5) + spool.take_discarded(10_000)
    assert [int(record.event_id) for record in told] == list(range(spool.discarded))
    assert spool.take_discarded(1) == []


def test_a_file_that_is_let_go_of_while_it_is_read_is_told_or_counted_but_not_both(
    make_spool: MakeSpool, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make_spool(max_bytes=65536, when_full="dropOldest")
    number = 0

    def drop_more() -> None:
        nonlocal number
        before = spool.discarded
        while spool.discarded == before:
            spool.append(make_record(number))
            number += 1

    drop_more()
    really_read = Record.from_body
    read: list[Record] = []

    def read_and_be_overtaken(body: bytes) -> Record:
        read.append(really_read(body))
        if len(read) == 5:
            for _ in range(3):
                drop_more()
        return read[-1]

    with monkeypatch.context() as patched:
        patched.setattr(Record, "from_body", staticmethod(read_and_be_overtaken))
        told = spool.take_discarded(10_000)
    assert len({record.event_id for record in told}) == len(told)
    assert len(told) + spool.untold == spool.discarded


def test_a_record_that_a_caller_has_is_not_counted_as_dropped(
    make_spool: MakeSpool, make_record: MakeRecord
) -> None:
    spool = make_spool(max_bytes=65536, when_full="dropOldest")
    spool.append(make_record(0))
    [(place, _)] = spool.next_batch(1)
    number = 1
    while not spool.discarded:
        spool.append(make_record(number))
        number += 1
    assert not spool.release(place)
    assert not spool.acknowledge(place)
    assert spool.discarded + spool.depth == number - 1


@pytest.mark.parametrize("passed", [False, True])
def test_a_record_that_was_given_back_and_then_dropped_is_counted_and_told(
    make_spool: MakeSpool, make_record: MakeRecord, passed: bool
) -> None:
    spool = make_spool(max_bytes=65536, when_full="dropOldest")
    places = [spool.append(make_record(number), passed=passed) for number in range(3)]
    if not passed:
        spool.next_batch(3)
    assert all(spool.release(place) for place in places)
    number = 3
    while not spool.discarded:
        spool.append(make_record(number))
        number += 1
    assert spool.discarded + spool.depth == number
    told = [int(record.event_id) for record in spool.take_discarded(10_000)]
    assert told == list(range(spool.discarded))
    assert spool.next_batch(1)[0][1].event_id == str(spool.discarded)


def test_what_waits_is_what_nobody_has(make_spool: MakeSpool, make_record: MakeRecord) -> None:
    spool = make_spool(max_bytes=65536, when_full="dropOldest")
    passed = [spool.append(make_record(number), passed=True) for number in range(10)]
    for number in range(10, 20):
        spool.append(make_record(number))
    assert spool.waiting == 10
    handed_out = [place for place, _ in spool.next_batch(4)]
    assert spool.waiting == 6
    spool.release(handed_out[0])
    spool.release(passed[0])
    assert spool.waiting == 8
    spool.acknowledge_all([handed_out[0], handed_out[1], passed[1]])
    assert spool.waiting == 7
    while not spool.discarded:
        spool.append(make_record(0))
    assert spool.waiting == spool.depth == len(spool.next_batch(10_000))
    assert spool.waiting == 0


@pytest.mark.parametrize("others", [0, 1])
def test_a_file_that_cannot_be_opened_now_costs_no_record(
    make_spool: MakeSpool,
    make_record: MakeRecord,
    monkeypatch: pytest.MonkeyPatch,
    others: int,
) -> None:
    spool = make_spool(segment_bytes=1)
    places = [spool.append(make_record(number)) for number in range(3)]
    spool.next_batch(3)
    for place in places:
        spool.release(place)
    real, opened = os.open, []

    def open_few(path: str, *arguments: int) -> int:
        if str(path).endswith(".segment"):
            opened.append(path)
            if len(opened) > others:
                raise OSError(errno.EMFILE, "too many open files")
        return real(path, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", open_few)
        if others:
            assert len(spool.next_batch(3)) == others
        else:
            with pytest.raises(SpoolError, match="too many open files"):
                spool.next_batch(3)
    assert len(spool.next_batch(3)) == 3 - others


def test_a_record_that_can_never_fit_is_refused_as_too_large(
    make_spool: MakeSpool, make_record: MakeRecord
) -> None:
    spool = make_spool(max_bytes=65536, when_full="dropOldest")
    spool.append(make_record(1))
    with pytest.raises(RecordTooLargeError):
        spool.append(make_record(2, size=70_000))
    assert (spool.depth, spool.discarded) == (1, 0)


def test_a_record_larger_than_a_segment_gets_one_of_its_own(
    make_spool: MakeSpool, make_record: MakeRecord
) -> None:
    spool = make_spool(segment_bytes=4096)
    records = [make_record(number, size=size) for number, size in enumerate((10, 600_000, 10))]
    for record in records:
        spool.append(record)
    assert [record for _, record in spool.pending()] == records


def test_files_are_for_their_owner_only(
    make_spool: MakeSpool, make_record: MakeRecord, directory: Path
) -> None:
    spool = make_spool(segment_bytes=4096)
    for number in range(100):
        spool.acknowledge(spool.append(make_record(number), passed=True))
        spool.append(make_record(number))
    spool.sync()
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in directory.rglob("*")}
    assert {modes[path] for path in modes if path.is_file()} == {0o600}
    assert {modes[path] for path in modes if path.is_dir()} == {0o700}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("fsync", ["group", "always", "never"])
def test_every_policy_keeps_what_was_appended(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, fsync: str
) -> None:
    spool = make_spool(fsync=fsync, segment_bytes=4096)
    for number in range(150):
        spool.append(make_record(number))
    spool.sync()
    spool.close()
    assert ids(make_spool(fsync=fsync)) == list(range(150))


def test_no_thread_runs_before_the_first_record_nor_after_the_close(
    make_spool: MakeSpool, make_record: MakeRecord
) -> None:
    before = set(threading.enumerate())
    spool = make_spool()
    assert set(threading.enumerate()) <= before
    spool.append(make_record(1))
    [thread] = set(threading.enumerate()) - before
    assert thread.name == "experiment-spool"
    spool.close()
    thread.join(5)
    assert not thread.is_alive()


def test_a_spool_that_is_not_open_says_so(directory: Path, make_record: MakeRecord) -> None:
    spool = Spool(directory, max_bytes=2**20, when_full="reject", fsync="never")
    assert not directory.exists()
    with pytest.raises(SpoolError, match="not open"):
        spool.append(make_record(1))


def test_a_spool_that_was_closed_opens_again_with_what_was_left(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids
) -> None:
    spool = make_spool()
    spool.append(make_record(1))
    spool.close()
    spool.close()
    again = make_spool()
    assert (again.recovered, again.depth) == (1, 1)
    assert ids(again) == [1]


def test_threads_append_hand_out_and_acknowledge_at_once(
    make_spool: MakeSpool, make_record: MakeRecord
) -> None:
    spool = make_spool(segment_bytes=16384)
    done = threading.Event()
    seen: list[str] = []

    def publish(first: int) -> None:
        for number in range(first, first + 2000):
            spool.append(make_record(number))

    def replay() -> None:
        while not done.is_set() or spool.depth:
            for place, record in spool.next_batch(50):
                seen.append(record.event_id)
                spool.acknowledge(place)

    publishers = [threading.Thread(target=publish, args=(n * 10_000,)) for n in range(4)]
    reader = threading.Thread(target=replay)
    for thread in (reader, *publishers):
        thread.start()
    for thread in publishers:
        thread.join(60)
    done.set()
    reader.join(60)
    assert sorted(map(int, seen)) == [n * 10_000 + m for n in range(4) for m in range(2000)]
    for n in range(4):
        own = [int(number) for number in seen if int(number) // 10_000 == n]
        assert own == sorted(own)
    assert (spool.depth, spool.corrupt) == (0, 0)


def test_records_that_are_older_come_before_those_that_wait(
    make_spool: MakeSpool, make_record: MakeRecord
) -> None:
    spool = make_spool()
    oldest, older, late, younger = (make_record(number) for number in range(4))
    spool.append(younger)
    spool.append(oldest, before=True)
    spool.append(older, before=True)
    assert [record for _, record in spool.pending()] == [oldest, older, younger]
    spool.append(late, before=True)
    assert [record for _, record in spool.pending()] == [late]
    spool.close()
    assert [record for _, record in make_spool().pending()] == [oldest, older, late, younger]


class Crowded:
    """A spool's lock: when the reader lets go of it for the nth time, others append meanwhile."""

    def __init__(self, spool: Spool, append: Callable[[], object], turn: int) -> None:
        self._lock = spool.lock
        self._append = append
        self._turns_left = turn

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        self._turns_left -= 1
        if not self._turns_left:
            self._append()


@pytest.mark.parametrize("turn", range(1, 6))
def test_a_segment_that_is_filled_while_it_is_looked_at_is_not_overtaken_by_the_next_one(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, turn: int
) -> None:
    spool = make_spool(segment_bytes=4096)

    def fill_more_than_a_segment() -> None:
        for number in range(1, 50):
            spool.append(make_record(number))

    spool.append(make_record(0))
    seen = ids(spool)
    spool._hand_out._lock = Crowded(spool, fill_more_than_a_segment, turn)
    seen += [int(record.event_id) for _ in range(20) for _, record in spool.next_batch(5)]
    assert seen == list(range(50))

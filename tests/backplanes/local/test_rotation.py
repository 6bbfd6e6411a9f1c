from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from experiment_framework.envelope import Record
from experiment_framework.plugin import Query, Retryable
from experiment_framework_local import FileBackplane

OpenFile = Callable[..., FileBackplane]
Records = Callable[[int], list[Record]]

ROTATED = re.compile(r"events-(\d{8})T\d{6}\.\d{6}Z\.jsonl")


def rotated(path: Path) -> list[Path]:
    return sorted(file for file in path.parent.iterdir() if ROTATED.fullmatch(file.name))


def bodies(*files: Path) -> list[bytes]:
    return [line for file in files for line in file.read_bytes().splitlines()]


def set_written(path: Path, moment: datetime) -> None:
    os.utime(path, (time.time(), moment.timestamp()))


def test_no_file_is_larger_than_it_may_be(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    written = records(30)
    limit = 3 * (len(written[-1].body) + 1)
    backplane = open_file(rotate_bytes=limit)
    backplane.write_batch(written[:25])
    backplane.write_batch(written[25:])
    files = [*rotated(path), path]
    assert len(files) == 10
    assert all(file.stat().st_size <= limit for file in files)
    assert bodies(*files) == [record.body for record in written]
    assert backplane.health().details["rotations"] == 9


def test_an_event_larger_than_a_file_may_be_gets_one_of_its_own(
    open_file: OpenFile, path: Path, record: Callable[..., Record]
) -> None:
    small, large, other = record("a"), record("b", attributes={"note": "x" * 5000}), record("c")
    open_file(rotate_bytes=1000).write_batch([small, large, other])
    assert [bodies(file) for file in [*rotated(path), path]] == [
        [small.body],
        [large.body],
        [other.body],
    ]


def test_without_a_limit_there_is_one_file(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    open_file(rotate_bytes=None).write_batch(records(100))
    assert rotated(path) == []


def test_a_new_day_begins_a_new_file_named_after_the_old_day(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    backplane = open_file(rotate_daily=True)
    first, second, third = records(3)
    backplane.write_batch([first])
    backplane.write_batch([second])
    assert rotated(path) == []
    yesterday = datetime.now(UTC) - timedelta(days=1)
    set_written(path, yesterday)
    backplane.write_batch([third])
    (old,) = rotated(path)
    match = ROTATED.fullmatch(old.name)
    assert match
    assert match[1] == yesterday.strftime("%Y%m%d")
    assert bodies(old) == [first.body, second.body]
    assert bodies(path) == [third.body]


def test_an_empty_file_is_not_rotated(open_file: OpenFile, path: Path, records: Records) -> None:
    path.touch()
    set_written(path, datetime.now(UTC) - timedelta(days=3))
    open_file(rotate_daily=True).write_batch(records(1))
    assert rotated(path) == []


def test_the_oldest_files_beyond_the_number_to_keep_are_deleted(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    written = records(6)
    open_file(rotate_bytes=1, keep_files=2).write_batch(written)
    assert bodies(*rotated(path), path) == [record.body for record in written[-3:]]


def test_names_sort_by_age_even_when_the_clock_is_set_back(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    backplane = open_file(rotate_bytes=1)
    first, second, third = records(3)
    backplane.write_batch([first])
    set_written(path, datetime.now(UTC) + timedelta(days=400))
    backplane.write_batch([second])
    set_written(path, datetime.now(UTC) - timedelta(days=400))
    backplane.write_batch([third])
    assert bodies(*rotated(path), path) == [record.body for record in (first, second, third)]
    assert all(
        file.name < f"events-{datetime.now(UTC) + timedelta(days=1):%Y%m%d}"
        for file in rotated(path)
    )


def test_a_path_without_a_suffix_rotates_too(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    plain = path.with_name("events")
    backplane = open_file(path=str(plain), rotate_bytes=1)
    written = records(3)
    backplane.write_batch(written)
    assert [stored.body for stored in backplane.read(Query())] == [item.body for item in written]


def test_files_of_another_series_are_left_alone(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    others = [
        path.with_name(name)
        for name in (
            "events-20200101.jsonl",
            "events-20200101T000000.000000Z.jsonl.bak",
            "other-20200101T000000.000000Z.jsonl",
            "my-events-20200101T000000.000000Z.jsonl",
        )
    ]
    for other in others:
        other.write_text("mine\n")
    backplane = open_file(rotate_bytes=1, keep_files=1)
    written = records(4)
    backplane.write_batch(written)
    assert all(other.read_text() == "mine\n" for other in others)
    assert [stored.body for stored in backplane.read(Query())] == [
        item.body for item in written[-2:]
    ]


def test_a_file_that_somebody_moved_away_is_begun_again(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    backplane = open_file()
    first, second = records(2)
    backplane.write_batch([first])
    path.rename(path.with_name("archived"))
    backplane.write_batch([second])
    assert bodies(path) == [second.body]


@pytest.mark.skipif(os.name == "nt", reason="a reader is in the way of a rename on Windows")
def test_the_active_name_is_never_absent_for_longer_than_one_write(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    backplane = open_file(rotate_bytes=1)
    for record in records(5):
        backplane.write_batch([record])
        assert bodies(path) == [record.body]


def test_what_was_written_before_the_disk_refused_is_not_asked_for_again(
    open_file: OpenFile, path: Path, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = records(9)
    limit = 3 * (len(written[-1].body) + 1)
    backplane = open_file(rotate_bytes=limit)
    rotate, left = backplane._series.rotate, [None, None]

    def rotate_twice() -> None:
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left.pop()
        rotate()

    monkeypatch.setattr(backplane._series, "rotate", rotate_twice)
    with pytest.raises(Retryable) as caught:
        backplane.write_batch([*written, written[0]])
    assert caught.value.records == (written[0],)
    assert bodies(*rotated(path), path) == [record.body for record in written]

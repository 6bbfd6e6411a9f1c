from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from experiment_framework.envelope import Record
from experiment_framework.plugin import DeliveryError, Query
from experiment_framework_local import FileBackplane, reading

OpenFile = Callable[..., FileBackplane]
Records = Callable[[int], list[Record]]

FOLLOW = Query(follow=True, idle_timeout=10)
NEW_ONLY = Query(follow=True, from_start=False, idle_timeout=10)


def test_rotated_files_come_first_and_each_record_says_where_it_is(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    written = records(5)
    backplane = open_file(rotate_bytes=2 * (len(written[0].body) + 1))
    backplane.write_batch(written)
    stored = list(backplane.read(Query()))
    assert [item.body for item in stored] == [record.body for record in written]
    places = [item.place.rpartition(":") for item in stored]
    assert [place[2] for place in places] == ["1", "2", "1", "2", "1"]
    assert places[-1][0] == "events.jsonl"
    assert places[0][0].startswith("events-")
    assert stored[0].headers == dict(written[0].headers())


def test_a_query_filters(open_file: OpenFile, record: Callable[..., Record]) -> None:
    backplane = open_file()
    outcome, other = record(metric_name="bought"), record(experiment_name="search")
    backplane.write_batch([outcome, other])

    def read(**query: object) -> list[bytes]:
        return [stored.body for stored in backplane.read(Query(**query))]

    assert read(event_types=frozenset({"Outcome"})) == [outcome.body]
    assert read(experiment_name="search") == [other.body]
    assert read(from_start=False) == []


def test_a_follower_sees_what_is_written_after_it_began(
    open_file: OpenFile, records: Records
) -> None:
    backplane = open_file()
    before, first, second = records(3)
    backplane.write_batch([before])
    stored = backplane.read(NEW_ONLY)
    backplane.write_batch([first])
    found = next(stored)
    assert (found.body, found.place) == (first.body, "events.jsonl:2")
    backplane.write_batch([second])
    assert next(stored).body == second.body
    stored.close()


def test_a_follower_waits_for_a_file_that_is_not_there_yet(
    open_file: OpenFile, records: Records
) -> None:
    backplane = open_file()
    stored = backplane.read(NEW_ONLY)
    written = records(2)
    writer = threading.Thread(target=backplane.write_batch, args=(written,))
    writer.start()
    assert [next(stored).body for _ in written] == [record.body for record in written]
    writer.join(5)
    stored.close()


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_follower_goes_on_across_rotations(
    open_file: OpenFile, path: Path, records: Records, compression: str
) -> None:
    written = records(30)
    backplane = open_file(rotate_bytes=1, compression=compression)
    backplane.write_batch(written[:3])
    stored = backplane.read(FOLLOW)
    found = [next(stored).body for _ in range(2)]
    for start in range(3, 30, 9):  # several rotations between two looks
        backplane.write_batch(written[start : start + 9])
        found += [next(stored).body for _ in range(7)]
    while len(found) < len(written):
        found.append(next(stored).body)
    assert found == [record.body for record in written]
    stored.close()


def test_a_follower_that_was_overtaken_by_compression_misses_nothing(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    written = records(6)
    backplane = open_file(rotate_bytes=1, compression="gzip")
    backplane.write_batch(written[:1])
    stored = backplane.read(FOLLOW)
    assert next(stored).body == written[0].body
    backplane.write_batch(written[1:])
    deadline = time.monotonic() + 20
    while len(list(path.parent.glob("*.gz"))) < 5 or list(path.parent.glob("events-*.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert [next(stored).body for _ in range(5)] == [record.body for record in written[1:]]
    stored.close()


def test_a_follower_ends_when_the_backplane_is_closed_after_all_that_is_there(
    open_file: OpenFile, records: Records
) -> None:
    backplane = open_file()
    written = records(3)
    stored = backplane.read(Query(follow=True))
    backplane.write_batch(written)
    backplane.close(1)
    assert [item.body for item in stored] == [record.body for record in written]


def test_a_follower_ends_after_its_idle_timeout_even_while_others_are_written(
    open_file: OpenFile, record: Callable[..., Record]
) -> None:
    backplane = open_file(fsync="never")
    wanted = record(metric_name="bought")
    backplane.write_batch([wanted])
    done = threading.Event()

    def write_others() -> None:
        while not done.wait(0.02):
            backplane.write_batch([record()])

    writer = threading.Thread(target=write_others)
    writer.start()
    try:
        query = Query(follow=True, idle_timeout=0.3, event_types=frozenset({"Outcome"}))
        assert [stored.body for stored in backplane.read(query)] == [wanted.body]
    finally:
        done.set()
        writer.join(5)


def test_a_line_is_read_only_once_its_line_break_is_there(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    backplane = open_file()
    first, second = records(2)
    stored = backplane.read(FOLLOW)
    path.write_bytes(first.body + b"\n" + second.body[:50])
    assert next(stored).body == first.body
    assert [item.body for item in backplane.read(Query())] == [first.body]
    with path.open("ab") as file:
        file.write(second.body[50:] + b"\n")
    assert next(stored).body == second.body
    assert backplane.health().details["linesSkipped"] == 0
    stored.close()


def test_a_follower_survives_an_append_that_was_taken_back(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    backplane = open_file()
    first, taken_back, second = records(3)
    path.write_bytes(first.body + b"\n" + taken_back.body + b"\n")
    stored = backplane.read(FOLLOW)
    assert [next(stored).body for _ in range(2)] == [first.body, taken_back.body]
    threading.Timer(0.3, backplane.write_batch, args=([second],)).start()
    with path.open("r+b") as file:
        file.truncate(len(first.body) + 1)
    assert next(stored).body == second.body
    stored.close()


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"\xff\xfe\x00",
        b"[1, 2]",
        b'{"eventId": 1}',
        b'{"eventId":"a","payload":' + b"[" * 50_000,
        b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        (
            b'{"eventId":"a","timestamp":"0001-01-01T00:00:00+05:00","eventType":"Exposure",'
            b'"schemaVersion":"1.0.0","payload":{}}'
        ),
    ],
    ids=["text", "bytes", "list", "number", "deep", "deeper", "ancient"],
)
def test_a_line_that_is_no_envelope_is_skipped_and_counted(
    open_file: OpenFile,
    path: Path,
    records: Records,
    caplog: pytest.LogCaptureFixture,
    line: bytes,
) -> None:
    first, second = records(2)
    path.write_bytes(first.body + b"\n" + line + b"\n" + line + b"\r\n\n" + second.body + b"\r\n")
    backplane = open_file()
    with caplog.at_level(logging.WARNING):
        stored = list(backplane.read(Query()))
    assert [item.body for item in stored] == [first.body, second.body]
    assert stored[-1].place == "events.jsonl:5"
    assert backplane.health().details["linesSkipped"] == 2
    (complaint,) = caplog.messages
    assert complaint.startswith(f"{path}:2 ")


def test_a_line_longer_than_any_record_is_skipped_in_bounded_pieces(
    open_file: OpenFile, path: Path, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_LONGEST_LINE", 1000)
    first, second = records(2)
    path.write_bytes(first.body + b"\n" + b"x" * 10_500 + b"\n" + second.body + b"\n" + b"y" * 2000)
    backplane = open_file()
    assert [item.body for item in backplane.read(Query())] == [first.body, second.body]
    assert backplane.health().details["linesSkipped"] == 1


def test_a_torn_line_at_the_end_of_a_rotated_file_is_counted(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    written = records(3)
    backplane = open_file(rotate_bytes=1)
    backplane.write_batch(written)
    first = min(path.parent.glob("events-*.jsonl"))
    first.write_bytes(written[0].body + b"\n" + b'{"eventId":"')
    assert [item.body for item in backplane.read(Query())] == [record.body for record in written]
    assert backplane.health().details["linesSkipped"] == 1


def test_files_that_cannot_be_opened_are_named(open_file: OpenFile, path: Path) -> None:
    path.mkdir()
    with pytest.raises(DeliveryError, match=f"cannot read {path}"):
        open_file().read(Query())


def test_a_reader_that_is_given_up_leaves_no_file_open(
    open_file: OpenFile, records: Records
) -> None:
    backplane = open_file(rotate_bytes=1)
    backplane.write_batch(records(3))
    for query in (Query(), FOLLOW, NEW_ONLY):
        unused = backplane.read(query)
        del unused  # an open file would warn, and warnings are errors
        half_read = backplane.read(Query())
        next(half_read)
        del half_read


def test_a_read_goes_on_in_each_file_behind_the_line_where_one_was(
    open_file: OpenFile, records: Records
) -> None:
    backplane = open_file(rotate_bytes=1000, compression="gzip")
    written = records(30)
    for one in written:
        backplane.write_batch([one])
    stored = list(backplane.read(Query()))
    positions = [item.position for item in stored if item.position is not None]
    assert len(positions) == len(written)
    assert len({part for part, _ in positions}) > 5

    for seen in (1, 2, 15, 29, 30):
        rest = backplane.read(Query(after=dict(positions[:seen]), from_start=False))
        assert [item.body for item in rest] == [record.body for record in written[seen:]]


def test_two_files_that_begin_with_the_same_line_are_told_apart(
    open_file: OpenFile, records: Records
) -> None:
    backplane = open_file(rotate_bytes=1)
    (one,) = records(1)
    for _ in range(3):
        backplane.write_batch([one])
    first, *_ = backplane.read(Query())
    assert first.position is not None
    assert len(list(backplane.read(Query(after=dict([first.position]))))) == 2

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from databases import Target
from experiment_framework.envelope import Record
from experiment_framework.plugin import DeliveryError, Query, Stored
from experiment_framework_sql import SqlBackplane, reading
from experiment_framework_sql.gaps import Gaps

MakeBackplane = Callable[..., SqlBackplane]
MakeRecord = Callable[..., Record]
MakeRecords = Callable[[int], list[Record]]

START = datetime(2026, 1, 1, tzinfo=UTC)


def ids(found: Iterator[Stored]) -> list[str]:
    return [json.loads(stored.body)["eventId"] for stored in found]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAGE", 3)
    monkeypatch.setattr(reading, "LOOK", 2)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("count", [0, 2, 3, 10])
def test_everything_is_read_page_by_page_in_order(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords, count: int
) -> None:
    backplane = make_backplane(target)
    batch = records(count)
    backplane.write_batch(batch)
    assert ids(backplane.read(Query())) == [record.event_id for record in batch]


@pytest.mark.usefixtures("small_pages")
def test_a_query_gets_what_it_matches(
    target: Target, make_backplane: MakeBackplane, record: MakeRecord
) -> None:
    backplane = make_backplane(target)
    made = [
        record(
            f"user-{number}",
            experiment_name="checkout" if number % 2 else "search",
            variant_key="a" if number % 3 else "b",
            metric_name="clicks" if number % 5 == 0 else None,
            timestamp=START + timedelta(hours=number),
        )
        for number in range(20)
    ]
    backplane.write_batch(made)
    for query in (
        Query(experiment_name="search"),
        Query(variant_key="b"),
        Query(event_types=frozenset({"Outcome"})),
        Query(event_types=frozenset({"Outcome", "Exposure"}), experiment_name="checkout"),
        Query(event_types=frozenset()),
        Query(since=START + timedelta(hours=7)),
        Query(since=(START + timedelta(hours=7)).astimezone(), variant_key="a"),
        Query(experiment_name="nothing"),
    ):
        wanted = [each.event_id for each in made if query.matches(each)]
        assert ids(backplane.read(query)) == wanted


def test_a_record_says_where_it_was_and_what_travels_beside_it(
    target: Target, make_backplane: MakeBackplane, record: MakeRecord
) -> None:
    backplane = make_backplane(target)
    made = record()
    backplane.write_batch([made])
    (stored,) = backplane.read(Query())
    assert stored.place == "experiment_events:1"
    assert stored.headers == dict(made.headers())


@pytest.mark.usefixtures("small_pages")
def test_what_follows_sees_what_is_written_later_and_ends_when_it_is_closed(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    reader, writer = make_backplane(target), make_backplane(target)
    before, after = records(4), records(9)
    writer.write_batch(before)
    from_start = reader.read(Query(follow=True))
    from_now = reader.read(Query(follow=True, from_start=False))
    writer.write_batch(after)
    wanted = [record.event_id for record in (*before, *after)]
    assert ids(next(from_start) for _ in wanted) == wanted
    assert ids(next(from_now) for _ in after) == wanted[4:]
    reader.close(5)
    assert list(from_start) == []


def test_what_follows_ends_after_its_idle_time(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    backplane = make_backplane(target)
    backplane.write_batch(records(2))
    assert len(list(backplane.read(Query(follow=True, idle_timeout=0.3)))) == 2


@pytest.mark.usefixtures("small_pages")
def test_a_transaction_that_ends_late_is_not_passed_over(
    postgresql: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    backplane = make_backplane(postgresql)
    insert = (
        "INSERT INTO experiment_events (event_id, timestamp, occurred_at, event_type, "
        "schema_version, payload, metadata) SELECT 'late-' || n, now(), now(), 'Exposure', "
        "'1.0.0', '{}', '{}' FROM generate_series(1, 7) n"
    )
    with closing(psycopg.connect(postgresql.url)) as slow:
        slow.execute(insert.encode())
        batch = records(8)
        backplane.write_batch(batch)
        followed = backplane.read(Query(follow=True))
        assert ids(next(followed) for _ in batch) == [record.event_id for record in batch]
        later = records(2)
        found: list[str] = []
        with closing(followed):
            reading_on = threading.Thread(
                target=lambda: found.extend(ids(next(followed) for _ in range(9)))
            )
            reading_on.start()
            slow.commit()
            backplane.write_batch(later)
            reading_on.join(20)
    wanted = {f"late-{n}" for n in range(1, 8)} | {record.event_id for record in later}
    assert len(found) == 9
    assert set(found) == wanted


def test_a_table_that_cannot_be_read_is_an_error_that_names_it(
    target: Target, make_backplane: MakeBackplane
) -> None:
    backplane = make_backplane(target, provision=False)
    with pytest.raises(DeliveryError, match=r"cannot read experiment_events: .*provision"):
        backplane.read(Query())


def test_gaps_are_what_is_missing_until_it_turns_up() -> None:
    gaps = Gaps(patience=60)
    gaps.note(10, 20, [11, 12, 15, 18])
    assert gaps.ranges() == [(13, 14), (16, 17), (19, 20)]
    gaps.fill([13, 17, 20, 99])
    assert gaps.ranges() == [(14, 14), (16, 16), (19, 19)]
    gaps.fill([14, 16, 19])
    assert gaps.ranges() == []
    gaps.note(20, 20 + 5000, range(22, 20 + 5000, 2))
    assert len(gaps.ranges()) == 500


def test_gaps_are_forgotten_after_a_while() -> None:
    gaps = Gaps(patience=0)
    gaps.note(0, 5, [])
    assert gaps.ranges() == []

"""Where a read goes on that was ended."""

from __future__ import annotations

import json
from collections.abc import Callable

import psycopg
import pytest
from databases import Target
from experiment_framework.envelope import Record
from experiment_framework.plugin import Query, Stored
from experiment_framework_sql import SqlBackplane, reading

MakeBackplane = Callable[..., SqlBackplane]
MakeRecords = Callable[[int], list[Record]]


def read(backplane: SqlBackplane, after: dict[str, str] | None = None) -> list[Stored]:
    return list(backplane.read(Query(after=after, from_start=after is None)))


def after(stored: Stored) -> dict[str, str]:
    assert stored.position is not None
    return dict([stored.position])


def ids(found: list[Stored]) -> list[str]:
    return [json.loads(stored.body)["eventId"] for stored in found]


def age(target: Target) -> None:
    """Make it look as if all rows had been there for a day."""
    moment = "datetime('now', '-1 day')" if target.kind == "sqlite" else "now() - interval '1 day'"
    target.query(f"UPDATE experiment_events SET created_at = {moment}")  # noqa: S608  # ours


def test_it_goes_on_behind_rows_that_are_settled(
    target: Target,
    make_backplane: MakeBackplane,
    records: MakeRecords,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "PAGE", 3)
    backplane, batch = make_backplane(target), records(10)
    backplane.write_batch(batch)
    age(target)
    stored = read(backplane)

    for number in range(10):
        expected = [record.event_id for record in batch[number + 1 :]]
        assert ids(read(backplane, after(stored[number]))) == expected


def test_a_row_whose_transaction_ended_late_is_not_passed_over(
    postgresql: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    backplane = make_backplane(postgresql)
    first, late, last = records(3)
    backplane.write_batch([first])
    age(postgresql)
    with psycopg.connect(postgresql.url) as connection:
        # It takes its number now, and is seen by others only when the transaction ends.
        connection.execute("SELECT nextval(pg_get_serial_sequence('experiment_events', 'id'))")
        backplane.write_batch([last])
        stored = read(backplane)
        connection.commit()
    backplane.write_batch([late])
    postgresql.query("UPDATE experiment_events SET id = 2 WHERE id = 4")

    assert ids(stored) == [first.event_id, last.event_id]
    assert ids(read(backplane, after(stored[-1]))) == [late.event_id, last.event_id]


def test_a_table_that_was_made_anew_is_read_from_its_start(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    backplane, batch = make_backplane(target), records(3)
    backplane.write_batch(batch)

    assert ids(read(backplane, {"": "1000"})) == [record.event_id for record in batch]

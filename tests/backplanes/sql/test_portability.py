"""The way of databases that have none of their own, tried out on those that are here."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest
from databases import Target
from experiment_framework.envelope import Record
from experiment_framework.plugin import Query
from experiment_framework_sql import SqlBackplane
from experiment_framework_sql.errors import explain
from experiment_framework_sql.inserting import inserter
from experiment_framework_sql.rows import row_maker
from experiment_framework_sql.tables import EVENT_COLUMNS
from experiment_framework_sql.writing import Writer
from sqlalchemy.dialects import mysql

MakeBackplane = Callable[..., SqlBackplane]
MakeRecords = Callable[[int], list[Record]]


def portable_writer(backplane: SqlBackplane, *, idempotent: bool = True) -> Writer:
    insert = inserter(backplane._tables, mysql.dialect(), idempotent=idempotent)
    # SQLAlchemy takes moments as SQLite's driver does not.
    moments = "mysql" if backplane._database.dialect_name == "sqlite" else "postgresql"
    return Writer(backplane._database, insert, row_maker(moments), batch_size=1000)


def test_rows_are_written_by_sqlalchemy_alone(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    backplane = make_backplane(target)
    writer = portable_writer(backplane)
    first, second = records(3), records(1100)
    writer.write([*first, first[1]])
    writer.write([*second, first[0], second[5]])
    batch = [*first, *second]
    assert target.event_ids() == [record.event_id for record in batch]
    assert (writer.rows, writer.repeats) == (1103, 3)
    assert [each.body for each in backplane.read(Query())] == [record.body for record in batch]


def test_without_idempotency_it_looks_nothing_up(
    sqlite: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    backplane = make_backplane(sqlite, enable_idempotency=False)
    writer = portable_writer(backplane, idempotent=False)
    batch = records(3)
    writer.write(batch)
    writer.write(batch)
    assert len(sqlite.event_ids()) == 6


class DriverError(Exception):
    """An error of a driver that is not here."""


@pytest.mark.parametrize(
    ("code", "kind"), [(1406, "row"), (1146, "schema"), (2013, "connection"), (1205, "connection")]
)
def test_mysql_s_numbers_are_understood(code: int, kind: str) -> None:
    trouble = explain(DriverError(code, "text with a canary in it"))
    assert trouble.kind == kind
    assert "canary" not in trouble.reason


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("22001", "row"),
        ("23502", "row"),
        ("54000", "row"),
        ("42P01", "schema"),
        ("42703", "schema"),
        ("3F000", "schema"),
        ("42501", "connection"),
        ("40001", "connection"),
        ("40P01", "connection"),
        ("53100", "connection"),
        ("55P03", "connection"),
        ("57014", "connection"),
        ("57P01", "connection"),
        ("08006", "connection"),
        ("25006", "connection"),
        ("XX000", "connection"),
    ],
)
def test_sqlstates_are_understood(state: str, kind: str) -> None:
    error = DriverError("text with a canary in it")
    error.sqlstate = state  # type: ignore[attr-defined]  # as drivers do
    trouble = explain(error)
    assert trouble.kind == kind
    assert "canary" not in trouble.reason
    assert state in trouble.reason


@pytest.mark.parametrize("text", ["database is locked", "disk I/O error", "unable to open"])
def test_a_file_in_trouble_is_no_fault_of_a_row(text: str) -> None:
    assert explain(sqlite3.OperationalError(text)).kind == "connection"


def test_columns_of_a_row_are_those_of_the_table(
    sqlite: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    columns = [column.name for column in make_backplane(sqlite)._tables.events.columns]
    assert tuple(columns) == ("id", *EVENT_COLUMNS, "created_at")
    assert len(row_maker("sqlite")(records(1)[0])) == len(EVENT_COLUMNS)

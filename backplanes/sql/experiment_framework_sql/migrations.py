"""Numbered migrations, and the table that says which of them a database has.

A migration that was published is never changed: what is new gets the next number.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
from experiment_framework.plugin import Provisioned
from sqlalchemy import Connection, Dialect, func, insert, inspect, literal, select
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.compiler import DDLCompiler

from experiment_framework_sql.tables import EventTables
from experiment_framework_sql.views import view_queries

__all__ = ["LATEST", "MIGRATIONS", "Migration", "applied_version", "migrate", "script"]


@attrs.frozen
class Migration:
    """One step.

    Attributes:
        version: Its number; they follow one another without a gap.
        name: What it makes.
        statements: Writes its statements for a database.
    """

    version: int
    name: str
    statements: Callable[[EventTables, Dialect], Iterator[str]]


def _events(tables: EventTables, dialect: Dialect) -> Iterator[str]:
    yield _compiled(CreateTable(tables.events), dialect)
    for index in sorted(tables.events.indexes, key=lambda each: str(each.name)):
        yield _compiled(CreateIndex(index), dialect)


def _views(tables: EventTables, dialect: Dialect) -> Iterator[str]:
    preparer = dialect.identifier_preparer
    for name, query in view_queries(tables):
        quoted = preparer.quote(name)
        if tables.schema is not None:
            quoted = f"{preparer.quote_schema(tables.schema)}.{quoted}"
        selected = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        yield f"CREATE VIEW {quoted} AS\n{selected}"


MIGRATIONS: Final = (
    Migration(1, "table of events and its indexes", _events),
    Migration(2, "views exposures, outcomes, experiment_summary", _views),
)
LATEST: Final = MIGRATIONS[-1].version


def applied_version(connection: Connection, tables: EventTables) -> int:
    """Say which migration a database has got to; 0 where it has none."""
    versions = tables.versions
    if not inspect(connection).has_table(versions.name, schema=versions.schema):
        return 0
    found = connection.scalar(select(func.max(versions.c.version)))
    return int(found or 0)


def migrate(connection: Connection, tables: EventTables) -> list[Provisioned]:
    """Apply what is missing, in the transaction that is open; several processes may try at once."""
    dialect = connection.dialect
    if dialect.name == "postgresql":
        key = zlib.crc32(f"experiment-framework {tables.full_name}".encode())
        connection.execute(select(func.pg_advisory_xact_lock(key)))
    applied = applied_version(connection, tables)
    if applied == 0 and not _has_versions(connection, tables):
        connection.execute(CreateTable(tables.versions))
    return [_apply(connection, tables, each, applied) for each in MIGRATIONS]


def _has_versions(connection: Connection, tables: EventTables) -> bool:
    inspector = inspect(connection)
    return inspector.has_table(tables.versions.name, schema=tables.versions.schema)


def _apply(
    connection: Connection, tables: EventTables, migration: Migration, applied: int
) -> Provisioned:
    name = f"{tables.full_name}, migration {migration.version}"
    if migration.version <= applied:
        return Provisioned(name=name, action="exists", detail=migration.name)
    for statement in migration.statements(tables, connection.dialect):
        # The driver's own parameter style would see a parameter in each percent sign.
        connection.exec_driver_sql(
            statement.replace("%", "%%") if _doubles(connection) else statement
        )
    row = insert(tables.versions).values(version=migration.version, name=migration.name)
    connection.execute(row)
    return Provisioned(name=name, action="created", detail=migration.name)


def _doubles(connection: Connection) -> bool:
    return connection.dialect.paramstyle in ("format", "pyformat")


def script(tables: EventTables, dialect: Dialect) -> str:
    """Write everything from an empty database on as one script, offline."""
    ends = {"mssql": ";\nGO\n"}.get(dialect.name, ";\n")
    parts = [
        f"-- Tables and views of experiment-framework for {dialect.name}",
        f"{_compiled(CreateTable(tables.versions), dialect)}{ends}",
    ]
    for migration in MIGRATIONS:
        parts.append(f"-- Migration {migration.version}: {migration.name}")
        parts += [f"{each}{ends}" for each in migration.statements(tables, dialect)]
        row = insert(tables.versions).values(
            version=literal(migration.version), name=literal(migration.name)
        )
        parts.append(f"{_compiled(row, dialect)}{ends}")
    return "\n".join(parts)


def _compiled(element: Any, dialect: Dialect) -> str:
    arguments = {} if isinstance(element, CreateTable | CreateIndex) else {"literal_binds": True}
    compiled = element.compile(dialect=dialect, compile_kwargs=arguments)
    if isinstance(compiled, DDLCompiler):
        return str(compiled).strip()
    return str(compiled)

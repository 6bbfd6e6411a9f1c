"""The tables and views, as SQLAlchemy knows them: one declaration for every database."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Float,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Unicode,
    UnicodeText,
    func,
    text,
)
from sqlalchemy.dialects import mssql, mysql, postgresql
from sqlalchemy.types import TypeEngine, UserDefinedType

from experiment_framework_sql.options import SqlOptions

__all__ = ["DEFAULT_LENGTH", "EVENT_COLUMNS", "EventTables", "current_moment"]

DEFAULT_LENGTH: Final = 255
"""Most characters of an id or a name where a database does not index text of any length."""

EVENT_COLUMNS: Final = (
    "event_id",
    "timestamp",
    "occurred_at",
    "event_type",
    "schema_version",
    "experiment_name",
    "variant_key",
    "subject_id",
    "subject_type",
    "tenant_id",
    "metric_name",
    "value",
    "correlation_id",
    "payload",
    "metadata",
    "extra",
)
"""The columns that a row is written with, in its order."""


def _name() -> TypeEngine[Any]:
    # Ids differ where their case does: the default collations of some databases do not think so.
    binary = mysql.VARCHAR(DEFAULT_LENGTH, charset="utf8mb4", collation="utf8mb4_bin")
    return (
        UnicodeText()
        .with_variant(binary, "mysql", "mariadb")
        .with_variant(Unicode(DEFAULT_LENGTH, collation="Latin1_General_100_BIN2"), "mssql")
    )


def _moment() -> TypeEngine[Any]:
    return (
        DateTime()
        .with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
        .with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
        .with_variant(mssql.DATETIME2(6), "mssql")  # type: ignore[no-untyped-call]  # theirs
    )


class _Json(UserDefinedType[str]):
    """PostgreSQL's json, given and taken as text.

    Its jsonb would refuse U+0000 and write numbers anew: events are kept as they were.
    """

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"


def _document() -> TypeEngine[Any]:
    return (
        UnicodeText()
        .with_variant(_Json(), "postgresql")
        .with_variant(mysql.LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")
    )


def current_moment(dialect: str) -> Any:
    """Give the expression for the moment of now, in UTC where the database keeps no zones."""
    if dialect == "sqlite":
        return text("(strftime('%Y-%m-%d %H:%M:%f', 'now'))")
    if dialect in ("mysql", "mariadb"):
        return text("(UTC_TIMESTAMP(6))")
    if dialect == "mssql":
        return text("SYSUTCDATETIME()")
    return func.now()


class EventTables:
    """The table of events, the table of migrations, and the names of the views.

    Args:
        options: The names.
        dialect: The database's name in SQLAlchemy, such as ``postgresql``.
    """

    def __init__(self, options: SqlOptions, dialect: str) -> None:
        self.schema = options.schema
        self.view_prefix = options.view_prefix
        self.events = _events(options, dialect)
        self.versions = Table(
            f"{options.table_name}_migrations",
            MetaData(schema=options.schema),
            Column("version", Integer, primary_key=True, autoincrement=False),
            Column("name", String(100), nullable=False),
            Column("applied_at", _moment(), nullable=False, server_default=current_moment(dialect)),
        )

    @property
    def full_name(self) -> str:
        """The table of events, with its schema where one is declared."""
        return str(self.events.fullname)


def _events(options: SqlOptions, dialect: str) -> Table:
    name = options.table_name
    optional = ("experiment_name", "variant_key", "subject_id", "subject_type", "tenant_id")
    with_tenant = text("tenant_id IS NOT NULL")
    return Table(
        name,
        MetaData(schema=options.schema),
        Column("id", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True),
        Column("event_id", _name(), nullable=False),
        Column("timestamp", _moment(), nullable=False),
        Column("occurred_at", _moment(), nullable=False),
        Column("event_type", _name(), nullable=False),
        Column("schema_version", _name(), nullable=False),
        *(Column(column, _name()) for column in optional),
        Column("metric_name", UnicodeText()),
        Column("value", Float(53)),
        Column("correlation_id", UnicodeText()),
        Column("payload", _document(), nullable=False),
        Column("metadata", _document(), nullable=False),
        Column("extra", _document()),
        Column("created_at", _moment(), nullable=False, server_default=current_moment(dialect)),
        Index(f"ix_{name}_event_id", "event_id", unique=options.enable_idempotency),
        Index(f"ix_{name}_experiment", "experiment_name", "variant_key", "event_type"),
        Index(f"ix_{name}_subject", "subject_id", "experiment_name"),
        Index(
            f"ix_{name}_tenant",
            "tenant_id",
            postgresql_where=with_tenant,
            sqlite_where=with_tenant,
            mssql_where=with_tenant,
        ),
        Index(f"ix_{name}_occurred_at", "occurred_at"),
    )

"""An independent look at the databases that tests write to."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import psycopg

__all__ = ["Target"]


@attrs.frozen
class Target:
    """A database of a test's own.

    Attributes:
        url: What a configuration has.
        kind: ``sqlite`` or ``postgresql``.
    """

    url: str
    kind: str

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask it with its own driver, past everything of ours."""
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
                found = connection.execute(statement).fetchall()
                connection.commit()
                return found
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def bodies(self) -> list[bytes]:
        """Put the envelopes together from the columns; none where the table is not there."""
        if not self.has_events():
            return []
        texts = ", ".join(f"CAST({each} AS TEXT)" for each in ("payload", "metadata"))
        columns = f"event_id, timestamp, event_type, schema_version, correlation_id, {texts}"
        rows = self.query(f"SELECT {columns} FROM experiment_events ORDER BY id")  # noqa: S608  # ours
        return [_body(*row) for row in rows]

    def has_events(self, table: str = "experiment_events") -> bool:
        """Whether the table is there."""
        if self.kind == "sqlite":
            path = Path(self.url.removeprefix("sqlite:///"))
            tables = "SELECT name FROM sqlite_master"
            return path.exists() and (table,) in self.query(tables)
        return self.query(f"SELECT to_regclass('{table}')") != [(None,)]  # a test's own table

    def event_ids(self, table: str = "experiment_events") -> list[str]:
        return [row[0] for row in self.query(f"SELECT event_id FROM {table} ORDER BY id")]  # noqa: S608  # a test's own table


def _body(
    event_id: str,
    timestamp: Any,
    event_type: str,
    schema_version: str,
    correlation_id: str | None,
    payload: str,
    metadata: str,
) -> bytes:
    published = datetime.fromisoformat(str(timestamp))
    if published.tzinfo is None:
        published = published.replace(tzinfo=UTC)
    head = {
        "eventId": event_id,
        "timestamp": published.isoformat(),
        "eventType": event_type,
        "schemaVersion": schema_version,
        "correlationId": correlation_id,
    }
    text = json.dumps(head)[:-1]
    return f'{text}, "payload": {payload}, "metadata": {metadata}}}'.encode()

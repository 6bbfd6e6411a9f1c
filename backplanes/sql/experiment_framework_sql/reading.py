"""Reads events back, a page at a time, in the order in which they were written."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from experiment_framework.plugin import DeliveryError, Query, Stored
from sqlalchemy import ColumnElement, Connection, Select, Text, and_, cast, func, or_, select

from experiment_framework_sql.database import Database
from experiment_framework_sql.gaps import Gaps
from experiment_framework_sql.rows import body_of
from experiment_framework_sql.tables import EventTables, current_moment

__all__ = ["EventReader"]

PAGE: Final = 1000
LOOK: Final = 20_000
"""Numbers that are looked through at once."""

POLL: Final = 0.2
"""Seconds between two looks at a table that is followed."""

PART: Final = ""
"""A table is one part."""

_DOCUMENTS: Final = ("payload", "metadata", "extra")
_TEXTS: Final = ("event_id", "event_type", "schema_version", "correlation_id")
_MOMENTS: Final = ("timestamp", "occurred_at")


class EventReader:
    """Reads what a query asks for.

    Args:
        database: Where it is read.
        tables: From which table.
        query: What is asked for.
        stop: Ends what follows.
        patience: Seconds for which a number that was passed over may still be written.
    """

    def __init__(
        self,
        database: Database,
        tables: EventTables,
        query: Query,
        *,
        stop: threading.Event,
        patience: float,
    ) -> None:
        self._database = database
        self._tables = tables
        self._query = query
        self._stop = stop
        self._gaps = Gaps(patience)
        self._patience = patience
        self._settled = 0
        self._last_record = time.monotonic()

    def records(self) -> Iterator[Stored]:
        """Settle where to begin and end, then give the records.

        Raises:
            DeliveryError: The table cannot be read.
        """
        newest = self._newest()
        position = 0 if self._query.from_start else newest
        if self._query.after is not None:
            known = int(self._query.after.get(PART, 0))
            position = known if known <= newest else 0  # else it is another table now
        return self._follow(position) if self._query.follow else self._pages(position, newest)

    def _pages(self, position: int, newest: int) -> Iterator[Stored]:
        while position < newest:
            rows = self._page(self._tables.events.c.id.between(position + 1, newest))
            self._settle(rows)
            self._gaps.fill([row["id"] for row in rows])
            yield from map(self._stored, rows)
            position = rows[-1]["id"] if len(rows) == PAGE else newest

    def _follow(self, position: int) -> Iterator[Stored]:
        self._last_record = time.monotonic()
        while True:
            yield from map(self._stored, self._late())
            newest = self._newest()
            # Before they are read: what is committed in between is read, and taken out again.
            self._note_gaps(position, newest)
            yield from self._pages(position, newest)
            position = max(position, newest)
            if self._is_over():
                return

    def _late(self) -> list[Mapping[str, Any]]:
        """Give what was written under a number that was passed over."""
        ranges = self._gaps.ranges()
        if not ranges:
            return []
        id_ = self._tables.events.c.id
        inside = or_(*(id_.between(first, last) for first, last in ranges))
        with self._connected() as connection:
            found = connection.scalars(select(id_).where(inside).order_by(id_).limit(PAGE)).all()
        self._gaps.fill(found)
        rows = self._page(id_.in_(found)) if found else []
        self._settle(rows)
        return rows

    def _settle(self, rows: list[Mapping[str, Any]]) -> None:
        """Find the number up to which no transaction that is under way may add a row.

        A row took its number before those of rows after it, so that of a transaction that may not
        last that long any more is among the rows, or never will be.
        """
        if not rows or rows[-1]["id"] <= self._settled or self._database.dialect_name == "sqlite":
            return
        c, now = self._tables.events.c, current_moment(self._database.dialect_name)
        newest_first = select(c.id).order_by(c.id.desc()).limit(1)
        with self._connected() as connection:
            moment: datetime = connection.execute(select(cast(now, c.created_at.type))).scalar_one()
            before = moment - timedelta(seconds=self._patience)
            found = connection.scalar(newest_first.where(c.created_at < before))
        self._settled = int(found or 0)

    def _position(self, id_: int) -> str:
        """Give the number after which an interrupted read goes on and misses nothing."""
        is_settled = self._database.dialect_name == "sqlite" or id_ <= self._settled
        return str(id_ if is_settled else self._settled)

    def _note_gaps(self, position: int, newest: int) -> None:
        """Note which numbers are missing: their transactions may be under way."""
        if self._database.dialect_name == "sqlite":
            return  # there one transaction ends before the next one begins
        id_ = self._tables.events.c.id
        with self._connected() as connection:
            while position < newest:
                page = select(id_).where(id_.between(position + 1, newest))
                found = connection.scalars(page.order_by(id_).limit(LOOK)).all()
                end = found[-1] if len(found) == LOOK else newest
                self._gaps.note(position, end, found)
                position = end

    def _newest(self) -> int:
        with self._connected() as connection:
            return int(connection.scalar(select(func.max(self._tables.events.c.id))) or 0)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._database.transaction() as connection:
                yield connection
        except Exception as error:  # noqa: BLE001  # a driver may raise anything
            reason = self._database.explain(error).reason
            raise DeliveryError(f"cannot read {self._tables.full_name}: {reason}") from None

    def _page(self, where: ColumnElement[bool]) -> list[Mapping[str, Any]]:
        with self._connected() as connection:
            return [*connection.execute(self._select(where)).mappings()]

    def _select(self, where: ColumnElement[bool]) -> Select[Any]:
        c = self._tables.events.c
        # As text: the events are wanted as they were written, not as a driver would decode them.
        documents = (cast(c[name], Text).label(name) for name in _DOCUMENTS)
        columns = (c.id, *(c[name] for name in (*_TEXTS, *_MOMENTS)), *documents)
        return select(*columns).where(and_(where, *self._conditions())).order_by(c.id).limit(PAGE)

    def _conditions(self) -> Iterator[ColumnElement[bool]]:
        c, query = self._tables.events.c, self._query
        if query.event_types is not None:
            yield c.event_type.in_(sorted(query.event_types))
        if query.experiment_name is not None:
            yield c.experiment_name == query.experiment_name
        if query.variant_key is not None:
            yield c.variant_key == query.variant_key
        if query.since is not None:
            yield c.occurred_at >= self._moment(query.since)
        if query.until is not None:
            yield c.occurred_at < self._moment(query.until)

    def _moment(self, given: datetime) -> datetime:
        moment = given.astimezone(UTC)
        has_zones = self._database.dialect_name == "postgresql"
        return moment if has_zones else moment.replace(tzinfo=None)

    def _stored(self, row: Mapping[str, Any]) -> Stored:
        self._last_record = time.monotonic()
        headers = {
            "event-id": row["event_id"],
            "event-type": row["event_type"],
            "schema-version": row["schema_version"],
        }
        if row["correlation_id"] is not None:
            headers["correlation-id"] = row["correlation_id"]
        return Stored(
            body=body_of(row),
            place=f"{self._tables.full_name}:{row['id']}",
            headers=headers,
            position=(PART, self._position(row["id"])),
        )

    def _is_over(self) -> bool:
        """Wait a little; whether there is nothing more to wait for."""
        idle = self._query.idle_timeout
        left = POLL if idle is None else self._last_record + idle - time.monotonic()
        return left <= 0 or self._stop.wait(min(left, POLL))

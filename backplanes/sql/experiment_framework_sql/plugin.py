"""The SQL backplane, as the data plane sees it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

from experiment_framework.plugin import (
    Backplane,
    DeliveryError,
    Health,
    Permanent,
    Problem,
    Provisioned,
    Query,
    Record,
    Retryable,
    Stored,
)
from sqlalchemy import Dialect

from experiment_framework_sql.checks import check_options
from experiment_framework_sql.database import GRACE, Database
from experiment_framework_sql.health import Pulse
from experiment_framework_sql.inserting import inserter
from experiment_framework_sql.migrations import applied_version, migrate, script
from experiment_framework_sql.options import SqlOptions
from experiment_framework_sql.places import parse_url
from experiment_framework_sql.reading import EventReader
from experiment_framework_sql.rows import row_maker
from experiment_framework_sql.tables import EventTables
from experiment_framework_sql.writing import Writer

__all__ = ["SqlBackplane"]

_log = logging.getLogger("experiment_framework_sql")

ADVICE: Final = "run `experiment provision`, or set `autoMigrate: true`"


class SqlBackplane(Backplane[SqlOptions]):
    """Appends events to one table of a database, a row for each.

    An event whose id is in the table already is left out: what is delivered again is there once. A
    row that the database refuses is given up alone; a database that cannot be used is tried again.
    """

    def __init__(self, options: SqlOptions) -> None:
        super().__init__(options)
        self._closed = threading.Event()
        self._not_made: str | None = None

    def check(self, options: SqlOptions) -> Iterator[Problem]:
        """Find a URL that cannot work, a driver that is not installed, contradictions."""
        return check_options(options)

    def client_settings(self, options: SqlOptions) -> Mapping[str, str]:
        """Say what SQLAlchemy is given, secrets masked."""
        url = parse_url(options)
        place = {
            "database": url.get_backend_name(),
            "driver": url.get_driver_name(),
            "host": url.host,
            "port": None if url.port is None else str(url.port),
            "name": url.database,
            "user": url.username,
        }
        return {key: value for key, value in place.items() if value is not None}

    def open(self) -> None:
        """Look whether the table is there, within ``connectTimeoutMs``, and say where it is not.

        A database that cannot be reached now may be there for the first event, so that is no error;
        nor is a missing table, for whoever provisions it has to get past this.
        """
        _ = self._writer  # made here, not by two threads at once
        trouble = self._pulse.ask() if not self.options.auto_migrate else self._migrate_quietly()
        self._database.dispose()  # nothing is open that a fork would inherit
        if trouble is not None:
            _log.warning("%s cannot be used: %s", self._place, trouble)
        elif self._pulse.version == 0:
            _log.error("%s is not there: %s", self._place, self._advice)

    def write_batch(self, records: Sequence[Record]) -> None:
        """Write a row for each record, in transactions of at most ``batchSize`` rows.

        Raises:
            Permanent: The database refuses some rows, and why; all others are written.
            Retryable: It cannot be used now, or the table is not there.
            ExceptionGroup: Of both.
        """
        try:
            self._see_that_it_is_there()
            self._writer.write(records)
        except Permanent:
            self._pulse.wrote()
            raise
        except (Retryable, ExceptionGroup) as failure:
            parts = failure.exceptions if isinstance(failure, ExceptionGroup) else (failure,)
            self._pulse.failed(next(str(each) for each in parts if isinstance(each, Retryable)))
            self._pulse.version = None  # what comes back may be another database
            raise
        self._pulse.wrote()

    def health(self) -> Health:
        """Say how the database is doing, from what is known; what is old is asked anew aside."""
        if self._closed.is_set():
            return Health.judge(unhealthy=("the backplane is closed",))
        self._pulse.ask_aside()
        writer = self._writer
        figures = {
            "database": self._database.shown,
            "table": self._tables.full_name,
            "rowsWritten": writer.rows,
            "repeatsLeftOut": writer.repeats,
        }
        return self._pulse.judge(self._place, self._advice, figures)

    def close(self, timeout: float) -> None:
        """End what follows and close all connections."""
        self._closed.set()
        self._pulse.wait(timeout)
        self._database.dispose()

    def after_fork(self) -> None:
        """Leave the parent process its connections; this process makes its own."""
        if not self._closed.is_set():
            self._closed = threading.Event()  # whose lock somebody may have held
        self._database.after_fork()
        # What they hold belongs to the parent: threads, counts, the answers that it was given.
        for name in ("_pulse", "_writer"):
            vars(self).pop(name, None)
        _ = self._pulse, self._writer

    def provision(self) -> list[Provisioned]:
        """Apply the migrations that are missing: table, indexes, views.

        Raises:
            DeliveryError: The database cannot be used, or refuses.
        """
        done, trouble = self._migrated()
        if trouble is not None:
            raise DeliveryError(f"{self._place} cannot be provisioned: {trouble}")
        return done

    def provision_script(self) -> str:
        """Write what `provision` does to an empty database as SQL, offline."""
        return script(self._tables, self._dialect)

    def read(self, query: Query) -> Iterator[Stored]:
        """Give the events that a query asks for, in the order in which they were written.

        Raises:
            DeliveryError: The table cannot be read.
        """
        reader = EventReader(
            self._database,
            self._tables,
            query,
            stop=self._closed,
            patience=self.options.statement_timeout_ms / 1000 + GRACE,
        )
        return reader.records()

    @cached_property
    def _database(self) -> Database:
        return Database(self.options)

    @cached_property
    def _dialect(self) -> Dialect:
        return self._database.url.get_dialect()()

    @cached_property
    def _tables(self) -> EventTables:
        return EventTables(self.options, self._database.dialect_name)

    @cached_property
    def _pulse(self) -> Pulse:
        return Pulse(self._version, self._database.explain)

    @cached_property
    def _writer(self) -> Writer:
        options = self.options
        return Writer(
            self._database,
            inserter(self._tables, self._dialect, idempotent=options.enable_idempotency),
            row_maker(self._database.dialect_name),
            batch_size=options.batch_size,
        )

    @property
    def _place(self) -> str:
        return f"table {self._tables.full_name} of {self._database.shown}"

    def _version(self) -> int:
        if not self._database.exists():
            return 0
        with self._database.transaction() as connection:
            return applied_version(connection, self._tables)

    @property
    def _advice(self) -> str:
        """What to do where the table is missing or old."""
        if not self.options.auto_migrate:
            return ADVICE
        return self._not_made or "`autoMigrate` sees to it with the next event"

    def _migrated(self) -> tuple[list[Provisioned], str | None]:
        """Apply the migrations that are missing; give what was done, or what is wrong."""
        try:
            self._database.create()
            with self._database.transaction(writes=True) as connection:
                done = migrate(connection, self._tables)
        except Exception as error:  # noqa: BLE001  # a driver may raise anything
            return [], self._database.explain(error).reason
        self._pulse.ask()
        return done, None

    def _migrate_quietly(self) -> str | None:
        _, trouble = self._migrated()
        self._not_made = None if trouble is None else f"`autoMigrate` cannot make it: {trouble}"
        if self._not_made is not None:
            self._pulse.failed(self._not_made)
        return self._not_made

    def _see_that_it_is_there(self) -> None:
        """Ask, or migrate, where nobody has seen the table in this process.

        Raises:
            Retryable: It is not there, or the database cannot be used.
        """
        if self._pulse.version:
            return
        migrates = self.options.auto_migrate
        trouble = self._migrate_quietly() if migrates else self._pulse.ask()
        if trouble is not None:
            raise Retryable(trouble)
        if not self._pulse.version:
            raise Retryable(f"{self._place} is not there: {self._advice}")

"""The connections of one process: made when they are needed, bounded, never shared over a fork."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final

from experiment_framework.plugin import DeliveryError
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from experiment_framework_sql.errors import PROVISION, Trouble, explain
from experiment_framework_sql.options import SqlOptions
from experiment_framework_sql.places import database_url, parse_url, password_of, shown_place
from experiment_framework_sql.watchdog import Watchdog

__all__ = ["Database"]

POOLED: Final = 2
RECYCLE: Final = 1800
"""Seconds after which a connection is made anew: what stands between may forget it."""

GRACE: Final = 2.0
"""Seconds that the server has to end a statement by itself before it is cut off."""

BRIEFLY: Final = 0.01
"""Seconds before asking again for what another process has locked."""

_inherited: Final[list[object]] = []


class Database:
    """One database, from this process.

    Args:
        options: Where it is, and how long it may take.
    """

    def __init__(self, options: SqlOptions) -> None:
        self._options = options
        self.url = parse_url(options)
        self.shown = shown_place(self.url)
        self.dialect_name = self.url.get_backend_name()
        is_file = self.dialect_name == "sqlite"
        self._file = Path(self.url.database or "") if is_file else None
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._watchdog = Watchdog()
        self._connecting = threading.local()

    @contextmanager
    def transaction(self, *, writes: bool = False) -> Iterator[Connection]:
        """Open a transaction that is committed at the end of the block, within the time limits.

        Args:
            writes: Whether it is to write: on SQLite, it then waits for its turn at once.
        """
        seconds = self._options.statement_timeout_ms / 1000
        with self._connected() as connection, self._bounded(connection, seconds + GRACE):
            connection.execution_options(experiment_writes=writes)
            with connection.begin():
                if self.dialect_name == "postgresql":
                    limit = self._options.statement_timeout_ms
                    connection.execute(text(f"SET LOCAL statement_timeout = {limit:d}"))
                yield connection

    def exists(self) -> bool:
        """Whether there is something to connect to, as far as is known without trying."""
        return self._file is None or self._file.exists()

    def create(self) -> None:
        """Make the file of a database that is one, for its owner only.

        Raises:
            DeliveryError: It cannot be made.
        """
        if self._file is None:
            return
        try:
            # SQLite would make it as the umask says; its other files take their mode from it.
            os.close(os.open(self._file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise DeliveryError(f"cannot open {self._file}: {error.strerror}") from error

    def explain(self, error: BaseException) -> Trouble:
        """Tell what an error means, without the password."""
        secret = self.url.password
        with suppress(DeliveryError):
            secret = password_of(self._options) or secret
        return explain(error, str(secret) if secret else None)

    def dispose(self) -> None:
        """Close what is open; what is asked for later is opened again."""
        with self._lock:
            engine, self._engine = self._engine, None
        self._watchdog.stop()
        if engine is not None:
            engine.dispose()

    def after_fork(self) -> None:
        """Leave the parent process its connections: closing them here would end them there."""
        if self._engine is not None:
            _keep_for_ever(self._engine)
        self._begin()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        connection = self._connect()
        try:
            yield connection
        except BaseException:
            # Whatever state it is in, the next one is a new one.
            with suppress(SQLAlchemyError):
                connection.invalidate()
            raise
        finally:
            with suppress(SQLAlchemyError):
                connection.close()

    def _connect(self) -> Connection:
        try:
            return self._opened().connect()
        finally:
            for own in vars(self._connecting).pop("watched", ()):
                self._watchdog.release(own)

    def _opened(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = _make_engine(self._options)
                event.listen(self._engine, "connect", self._watch_first_questions, insert=True)
            return self._engine

    def _watch_first_questions(self, connection: Any, _record: Any) -> None:
        """Bound what SQLAlchemy asks a server of its own accord, when the first connection is made.

        The driver's limit is over then, and a transaction's has not begun.
        """
        if self.url.get_driver_name() == "psycopg":
            seconds = self._options.connect_timeout_ms / 1000
            own = self._watchdog.watch(connection.fileno(), seconds)
            vars(self._connecting).setdefault("watched", []).append(own)

    @contextmanager
    def _bounded(self, connection: Connection, seconds: float) -> Iterator[None]:
        with (
            nullcontext()
            if (socket := _socket_of(connection)) is None
            else self._watchdog.watching(socket, seconds)
        ):
            yield


def _make_engine(options: SqlOptions) -> Engine:
    url = database_url(options)
    seconds = options.connect_timeout_ms / 1000
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=POOLED,
        max_overflow=POOLED,
        pool_timeout=seconds,
        pool_recycle=RECYCLE,
        connect_args=_connect_arguments(url, options),
    )
    if url.get_backend_name() == "sqlite":
        _prepare_sqlite(engine, options)
    elif options.password_file is not None:

        @event.listens_for(engine, "do_connect")
        def _read_password(_dialect: Any, _record: Any, _args: Any, given: dict[str, Any]) -> None:
            given["password"] = password_of(options)

    return engine


def _connect_arguments(url: URL, options: SqlOptions) -> dict[str, Any]:
    """Give the driver its time limits, under the names that it has for them."""
    connect = max(1, round(options.connect_timeout_ms / 1000))
    answer = max(1, round(options.statement_timeout_ms / 1000))
    named = {"application_name": "experiment-framework"} | {
        key: value for key, value in url.query.items() if key == "application_name"
    }
    known: dict[str, dict[str, Any]] = {
        "psycopg": {
            "connect_timeout": connect,
            "tcp_user_timeout": options.statement_timeout_ms,
            # Behind a pooler the next statement may go to a server that has not prepared it.
            "prepare_threshold": None,
            **named,
        },
        "psycopg2": {"connect_timeout": connect, **named},
        "pymysql": {"connect_timeout": connect, "read_timeout": answer, "write_timeout": answer},
        "mysqldb": {"connect_timeout": connect, "read_timeout": answer, "write_timeout": answer},
        "pyodbc": {"timeout": connect},
        "pysqlite": {"timeout": options.statement_timeout_ms / 1000},
    }
    return known.get(url.get_driver_name(), {})


def _prepare_sqlite(engine: Engine, options: SqlOptions) -> None:
    path = Path(engine.url.database or "")

    @event.listens_for(engine, "do_connect")
    def _see_that_it_is_there(_dialect: Any, _record: Any, _args: Any, _given: Any) -> None:
        _identity(path)  # SQLite would make an empty one

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        record.info["file"] = _identity(path)
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {options.statement_timeout_ms:d}")
        _write_ahead(cursor, options.statement_timeout_ms / 1000)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA cache_size = -32768")  # KiB: the indexes' recent parts
        cursor.execute("PRAGMA wal_autocheckpoint = 10000")  # 40 MB in place of 4
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A file that was removed goes on taking rows that nobody will ever see.
        if connection.info["file"] != _identity(path):
            raise DeliveryError(f"another file is at {path} than before")
        # A transaction that reads first and then writes fails where another one wrote in between.
        writes = connection.get_execution_options().get("experiment_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _write_ahead(cursor: sqlite3.Cursor, seconds: float) -> None:
    """Have a database keep a write-ahead log, within so many seconds.

    SQLite does not wait for others with this: it says at once that the database is locked.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(BRIEFLY)
        else:
            return


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise DeliveryError(f"cannot open {path}: {error.strerror}; {PROVISION}") from error
    return found.st_dev, found.st_ino


def _socket_of(connection: Connection) -> int | None:
    driver: Any = connection.connection.driver_connection
    if connection.dialect.driver == "psycopg":
        return int(driver.fileno())
    return None


def _keep_for_ever(engine: object) -> None:
    _inherited.append(engine)
    if sys.implementation.name == "cpython":
        # Not even when the interpreter ends and lets go of what modules hold.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine))

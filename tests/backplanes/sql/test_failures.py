"""A database that is away, stands still, comes back; what health says meanwhile."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from databases import Target
from experiment_framework.envelope import Record
from experiment_framework.plugin import Retryable
from experiment_framework_sql import SqlBackplane
from postgresql import PostgreSQL
from waiting import wait_until

MakeBackplane = Callable[..., SqlBackplane]
MakeRecords = Callable[[int], list[Record]]


@pytest.fixture
def black_hole() -> Iterator[Target]:
    """What accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        yield Target(f"postgresql://user@127.0.0.1:{port}/db", "postgresql")


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def test_a_black_hole_is_waited_for_no_longer_than_declared(
    black_hole: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    with at_most(6):
        backplane = make_backplane(black_hole, provision=False, connect_timeout_ms=1000)
    batch = records(3)
    with at_most(6), pytest.raises(Retryable) as caught:
        backplane.write_batch(batch)
    assert caught.value.records in (None, tuple(batch))
    with at_most(0.5):
        for _ in range(20):
            assert backplane.health().status == "UNHEALTHY"


@pytest.fixture
def silent_server() -> Iterator[Target]:
    """What lets everybody in, as PostgreSQL does, and answers no question."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)

        def serve() -> None:
            inside = []
            while not stop.is_set():
                with suppress(TimeoutError):
                    connection, _ = listener.accept()
                    inside.append(connection)
                    if connection.recv(8)[4:] == b"\x04\xd2\x16\x2f":  # may it be encrypted?
                        connection.sendall(b"N")
                    connection.sendall(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I")
            for connection in inside:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        yield Target(f"postgresql://user@127.0.0.1:{port}/db?gssencmode=disable", "postgresql")
        stop.set()
        thread.join()


def test_a_server_that_lets_in_and_says_nothing_is_cut_off(
    silent_server: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    limits = {"connect_timeout_ms": 1000, "statement_timeout_ms": 1000}
    with at_most(10):
        backplane = make_backplane(silent_server, provision=False, **limits)
    with at_most(10), pytest.raises(Retryable):
        backplane.write_batch(records(1))
    assert backplane.health().status == "UNHEALTHY"


def test_a_connection_that_is_refused_says_so(
    make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    away = Target("postgresql://user:canary-word@127.0.0.1:9/db", "postgresql")
    backplane = make_backplane(away, provision=False)
    with pytest.raises(Retryable, match=r"(?i)refused"):
        backplane.write_batch(records(1))
    health = backplane.health()
    assert health.status == "UNHEALTHY"
    assert health.details["answered"] is False
    assert "refused" in health.message.lower()
    assert "canary" not in repr(health)


def test_a_server_that_stands_still_is_cut_off(
    postgresql: Target,
    postgresql_server: PostgreSQL,
    make_backplane: MakeBackplane,
    records: MakeRecords,
) -> None:
    backplane = make_backplane(postgresql, statement_timeout_ms=500)
    first, second = records(2), records(200)
    backplane.write_batch(first)
    postgresql_server.pause()
    try:
        with at_most(10), pytest.raises(Retryable) as caught:
            backplane.write_batch(second)
        assert caught.value.records == tuple(second)
        with at_most(0.5):
            assert backplane.health().status == "UNHEALTHY"
    finally:
        postgresql_server.resume()
    wait_until(lambda: backplane.health().is_healthy, timeout=20, what="it is well again")
    backplane.write_batch(second)
    assert postgresql.event_ids() == [record.event_id for record in (*first, *second)]


def test_a_server_that_was_killed_is_found_again(
    postgresql: Target,
    postgresql_server: PostgreSQL,
    make_backplane: MakeBackplane,
    records: MakeRecords,
) -> None:
    backplane = make_backplane(postgresql)
    first, second = records(2), records(2)
    backplane.write_batch(first)
    postgresql_server.kill()
    try:
        with pytest.raises(Retryable):
            backplane.write_batch(second)
        # Nobody writes: health finds out by itself.
        wait_until(lambda: backplane.health().status == "UNHEALTHY", timeout=10, what="it is away")
    finally:
        postgresql_server.start()
    wait_until(lambda: backplane.health().is_healthy, timeout=10, what="it is back")
    backplane.write_batch(second)
    assert postgresql.event_ids() == [record.event_id for record in (*first, *second)]


def test_an_idle_database_that_goes_away_shows_in_health(
    postgresql: Target, postgresql_server: PostgreSQL, make_backplane: MakeBackplane
) -> None:
    backplane = make_backplane(postgresql)
    assert backplane.health().is_healthy
    postgresql_server.kill()
    try:
        wait_until(lambda: backplane.health().status == "UNHEALTHY", timeout=15, what="it is away")
    finally:
        postgresql_server.start()


def test_a_lock_of_another_process_is_waited_for_no_longer_than_declared(
    sqlite: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    backplane = make_backplane(sqlite, statement_timeout_ms=300)
    backplane.write_batch(records(1))
    with closing(sqlite3.connect(sqlite.url.removeprefix("sqlite:///"))) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        with at_most(5), pytest.raises(Retryable, match="locked"):
            backplane.write_batch(records(1))
        other.execute("ROLLBACK")
    backplane.write_batch(records(1))
    assert backplane.health().is_healthy


def test_a_lock_of_another_client_is_waited_for_no_longer_than_declared(
    postgresql: Target,
    postgresql_server: PostgreSQL,
    make_backplane: MakeBackplane,
    records: MakeRecords,
) -> None:
    backplane = make_backplane(postgresql, statement_timeout_ms=300)
    with closing(postgresql_server.connect("experiments")) as other, other.transaction():
        other.execute("LOCK TABLE experiment_events IN EXCLUSIVE MODE")
        with at_most(5), pytest.raises(Retryable, match="57014"):
            backplane.write_batch(records(1))
    backplane.write_batch(records(1))


def test_a_folder_that_was_taken_away_is_named(
    tmp_path: Path, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    backplane = make_backplane(Target(f"sqlite:///{folder}/x.db", "sqlite"), provision=False)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with pytest.raises(Retryable, match=r"x\.db"):
        backplane.write_batch(records(1))
    assert backplane.health().status == "UNHEALTHY"

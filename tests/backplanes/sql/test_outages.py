"""PostgreSQL dies under load, again and again: nothing is lost and nothing is there twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from accounts import is_balanced
from databases import Target
from experiment_framework import DataPlane, Exposure, Receipt
from experiment_framework_sql import SqlBackplane
from postgresql import PostgreSQL
from waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

Treatment = Callable[[PostgreSQL], None]


def make_plane(target: Target, spool: Path) -> DataPlane:
    return DataPlane.from_config(
        {
            "experimentFramework": {
                "dataPlane": {
                    "failureMode": "spool",
                    "spool": {"directory": str(spool)},
                    "batchSize": 200,
                    "flushIntervalMs": 20,
                    "retryBackoffMs": 20,
                    "retryBackoffMaxMs": 200,
                    "backplane": {
                        "type": "sql",
                        "options": {"url": target.url, "statementTimeoutMs": 1000},
                    },
                }
            }
        }
    )


class Publisher:
    """Publishes on a thread until it is told to stop."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.receipts: list[Receipt] = []
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            for _ in range(25):
                number = len(self.receipts)
                event = Exposure(
                    experiment_name="checkout", variant_key="b", subject_id=f"user-{number % 50}"
                )
                self.receipts.append(self._plane.publish(event, event_id=f"{number:08}"))
            self._stop.wait(0.005)


def kill(server: PostgreSQL) -> None:
    server.kill()
    server.start()


def stop(server: PostgreSQL) -> None:
    server.restart()


def freeze(server: PostgreSQL) -> None:
    server.pause()
    threading.Event().wait(4)  # longer than a batch may take
    server.resume()


def cut(server: PostgreSQL) -> None:
    with server.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'experiment-framework'"
        )


@pytest.mark.parametrize("treatment", [kill, stop, freeze, cut])
def test_nothing_is_lost_and_nothing_is_there_twice(
    postgresql: Target,
    postgresql_server: PostgreSQL,
    make_backplane: Callable[..., SqlBackplane],
    tmp_path: Path,
    treatment: Treatment,
) -> None:
    make_backplane(postgresql).close(5)
    with make_plane(postgresql, tmp_path / "spool") as plane:
        publisher = Publisher(plane)
        try:
            for _ in range(3):
                before = plane.stats().delivered
                treatment(postgresql_server)
                wait_until(
                    lambda before=before: plane.stats().delivered > before + 500,  # type: ignore[misc]  # bound now
                    timeout=30,
                    what="it delivers again",
                )
        finally:
            publisher.stop()
        result = plane.flush(60)
        stats = plane.stats()
    assert {receipt.status for receipt in publisher.receipts} <= {"accepted", "spooled"}
    assert (result.pending, result.failed, result.dropped, result.spooled) == (0, 0, 0, 0)
    assert is_balanced(stats)
    found = postgresql.event_ids()
    assert Counter(found) == Counter(receipt.event_id for receipt in publisher.receipts)


def test_what_a_process_could_not_deliver_is_there_after_the_next_one(
    postgresql: Target,
    postgresql_server: PostgreSQL,
    make_backplane: Callable[..., SqlBackplane],
    tmp_path: Path,
) -> None:
    make_backplane(postgresql).close(5)
    event = Exposure(experiment_name="checkout", variant_key="b", subject_id="user-1")
    postgresql_server.kill()
    try:
        with make_plane(postgresql, tmp_path / "spool") as plane:
            for number in range(300):
                plane.publish(event, event_id=f"{number:08}")
            kept = plane.close(3)
    finally:
        postgresql_server.start()
    assert kept.spooled == 300
    with make_plane(postgresql, tmp_path / "spool") as plane:
        wait_until(lambda: plane.flush(5).spooled == 0, timeout=30, what="it is sent again")
    assert postgresql.event_ids() == [f"{number:08}" for number in range(300)]

from __future__ import annotations

import gc
import threading

from experiment_framework._ledger import Ledger
from hypothesis import given
from hypothesis import strategies as st

COUNTERS = ["accepted", "sampled_out", "disabled", "refused", "delivered", "failed"]


@given(st.lists(st.sampled_from(COUNTERS)), st.integers(0, 50))
def test_the_terms_add_up_to_what_was_offered(counted: list[str], extra: int) -> None:
    ledger = Ledger(None)
    cell = ledger.cell()
    cell.offered = len(counted) + extra
    for name in counted:
        setattr(cell, name, getattr(cell, name) + 1)
    stats = ledger.stats()
    settled = stats.refused + stats.disabled + stats.sampled_out + stats.failed + stats.delivered
    assert stats.pending == stats.offered - settled >= 0


def test_the_counts_of_threads_that_have_ended_are_kept() -> None:
    ledger = Ledger(None)

    def count() -> None:
        cell = ledger.cell()
        cell.offered += 1
        cell.dropped["queue_full"] += 1

    for _ in range(20):
        thread = threading.Thread(target=count)
        thread.start()
        thread.join()
    gc.collect()
    stats = ledger.stats()
    assert (stats.offered, stats.dropped) == (20, {"queue_full": 20})
    assert len(ledger._cells) == 0


def test_deliveries_follow_from_what_is_outstanding_where_only_failures_are_reported() -> None:
    waiting = 3
    ledger = Ledger(lambda: waiting)
    cell = ledger.cell()
    cell.offered = cell.accepted = 10
    cell.failed = 2
    stats = ledger.stats()
    assert (stats.delivered, stats.failed, stats.pending) == (5, 2, 3)


def test_delivered_never_runs_backwards() -> None:
    outstanding = iter([0, 4, 0])
    ledger = Ledger(lambda: next(outstanding))
    ledger.cell().offered = ledger.cell().accepted = 10
    assert [ledger.stats().delivered for _ in range(3)] == [10, 10, 10]


def test_two_readers_of_one_thread_share_its_counts() -> None:
    ledger = Ledger(None)
    assert ledger.cell() is ledger.cell()

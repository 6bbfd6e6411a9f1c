from __future__ import annotations

import gc
import threading

import pytest
from experiment_framework import Envelope, Exposure
from experiment_framework._ledger import MOST_KINDS, Cell, Ledger
from experiment_framework.envelope import Record, encode
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
        cell.note_dropped_unmade("queue_full")

    for _ in range(20):
        thread = threading.Thread(target=count)
        thread.start()
        thread.join()
    gc.collect()
    stats = ledger.stats()
    assert (stats.offered, stats.dropped) == (20, {"queue_full": 20})
    assert ledger._books.running == ()


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


def test_who_looks_in_the_midst_of_a_look_finds_every_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = Ledger(None)

    def count() -> None:
        ledger.cell().offered += 1
        ledger.cell().delivered += 1

    for _ in range(3):
        thread = threading.Thread(target=count)
        thread.start()
        thread.join()
    gc.collect()
    seen: list[tuple[int, int]] = []
    interruptions = [1, 2]
    really_add = Cell.add

    def add_and_be_interrupted(cell: Cell, other: Cell) -> None:
        really_add(cell, other)
        if not interruptions:
            return
        interruptions.pop()  # as by a signal handler or a finalizer
        stats = ledger.stats()
        seen.append((stats.offered, stats.delivered))
        ledger.cell().offered += 1

    monkeypatch.setattr(Cell, "add", add_and_be_interrupted)
    ledger.stats()
    stats = ledger.stats()
    assert sorted(seen) == [(3, 3), (4, 3)]
    assert (stats.offered, stats.delivered) == (5, 3)


def test_ctrl_c_at_a_threads_first_count_costs_no_later_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(_: Ledger) -> None:
        raise KeyboardInterrupt

    ledger = Ledger(None)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_fold_ended", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ledger.cell()
    ledger.cell().offered += 1
    assert ledger.stats().offered == 1


def variant(name: str) -> Record:
    return encode(
        Envelope.around(Exposure(experiment_name="checkout", variant_key=name, subject_id="u"))
    )


def test_losses_are_counted_for_each_variant() -> None:
    ledger = Ledger(None)
    cell = ledger.cell()
    for name in ("control", "treatment", "treatment"):
        cell.note_offered(variant(name))
    cell.note_dropped(variant("treatment"), "queue_full")
    cell.note_failed(variant("treatment"))
    found = {one.variant_key: (one.offered, one.dropped, one.failed) for one in ledger.breakdown()}
    assert found == {"treatment": (2, 1, 1), "control": (1, 0, 0)}


def test_the_variants_that_are_told_apart_are_bounded_and_none_is_left_out() -> None:
    ledger = Ledger(None)

    def count() -> None:
        for number in range(MOST_KINDS):
            ledger.cell().note_offered(variant(f"{threading.get_ident()}-{number}"))

    count()
    other = threading.Thread(target=count)
    other.start()
    other.join()
    breakdown = ledger.breakdown()
    assert len(breakdown) <= MOST_KINDS + 1
    assert sum(one.offered for one in breakdown) == 2 * MOST_KINDS
    assert breakdown[0].variant_key is None

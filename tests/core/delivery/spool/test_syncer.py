"""The thread that syncs what appends and acknowledgements leave to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from experiment_framework._delivery.spool.syncer import Syncer

DEADLINE = 10.0


class Syncs:
    """Counts syncs; each one wakes the syncer again, as the appends of a busy process do."""

    def __init__(self, wakes_again: int) -> None:
        self.count = 0
        self.is_through = threading.Event()
        self.syncer = Syncer(self._sync)
        self._left = wakes_again

    def _sync(self) -> None:
        self.count += 1
        if self._left:
            self._left -= 1
            self.syncer.wake()
            self.syncer.wake()
        else:
            self.is_through.set()


@pytest.fixture
def syncs() -> Iterator[Syncs]:
    found = Syncs(wakes_again=2)
    yield found
    found.syncer.stop()


def test_wakes_within_an_interval_make_one_sync(
    monkeypatch: pytest.MonkeyPatch, syncs: Syncs
) -> None:
    monkeypatch.setattr("experiment_framework._delivery.spool.syncer.INTERVAL", 0.2)
    for _ in range(1000):
        syncs.syncer.wake()
    assert syncs.is_through.wait(DEADLINE)
    assert syncs.count == 3


def test_a_hurry_does_not_wait_for_the_interval(
    monkeypatch: pytest.MonkeyPatch, syncs: Syncs
) -> None:
    monkeypatch.setattr("experiment_framework._delivery.spool.syncer.INTERVAL", 10 * DEADLINE)
    syncs._left = 0
    syncs.syncer.wake()
    syncs.syncer.hurry()
    assert syncs.is_through.wait(DEADLINE)

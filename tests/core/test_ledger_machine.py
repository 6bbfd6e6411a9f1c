"""The accounts of a data plane against an independent count, through any order of what happens.

What arrived and what was given up is counted by the sink, what was promised by the receipts. No
figure that is expected here is derived from another one of the accounts.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from crashes import crash
from experiment_framework import (
    DataPlane,
    DataPlaneOptions,
    ErrorEvent,
    EventError,
    Exposure,
    Receipt,
    Stats,
    _lifetime,
)
from experiment_framework._delivery import delivery, replay
from experiment_framework.dataplane_options import SpoolOptions
from experiment_framework.plugin import Backplane, DeliveryError, QueueFullError, Record, options
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

ROOM = 20
PATIENCE = 5.0
NEVER_FALL = ("offered", "recovered", "refused", "disabled", "sampled_out", "failed", "delivered")
Mode = Literal["overflow", "writeAhead"] | None


@options
class NoOptions:
    """Nothing to say."""


class Steered(Backplane[NoOptions]):
    """A sink that does what a test says.

    Args:
        loses: Whether a record that it gives up for a passing reason is lost all the same.
    """

    def __init__(self, *, loses: bool) -> None:
        super().__init__(NoOptions())
        self._loses = loses
        self._changed = threading.Condition()
        self._arrived: list[str] = []
        self._given_up: list[str] = []
        self._is_open = False
        self._is_dead = False


class ReportsEach(Steered):
    """Queues by itself, and reports each delivery."""

    def __init__(self, *, loses: bool) -> None:
        super().__init__(loses=loses)
        self._queue: deque[Record] = deque()

    def publish(self, record: Record) -> None:
        with self._changed:
            if self._is_dead:
                raise DeliveryError("the process is no more")
            if len(self._queue) >= ROOM:
                raise QueueFullError("no room")
            self._queue.append(record)
        if self._is_open:
            self._deliver(1)

    def flush(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue, timeout)

    def close(self, timeout: float) -> None:
        self._fail(ROOM, retryable=True)
        self._is_dead = True

    def _deliver(self, most: int) -> None:
        with self._changed:
            while self._queue and most and not self._is_dead:
                self._arrived.append(self._queue[0].event_id)
                self._tell_delivery(self._queue[0])
                self._let_go()
                most -= 1

    def _tell_delivery(self, record: Record) -> None:
        self.context.delivered(record)

    def _fail(self, most: int, *, retryable: bool) -> None:
        with self._changed:
            while self._queue and most and not self._is_dead:
                if self._loses or not retryable:
                    self._given_up.append(self._queue[0].event_id)
                # Told before it leaves: a record is never neither outstanding nor failed.
                self.context.failed(self._queue[0], "as the test says", retryable=retryable)
                self._let_go()
                most -= 1

    def _let_go(self) -> None:
        self._queue.popleft()
        self._changed.notify_all()


class ReportsFailures(ReportsEach):
    """Queues by itself, and reports failures only where the data plane wants no more."""

    def outstanding(self) -> int:
        return len(self._queue)

    def _tell_delivery(self, record: Record) -> None:
        if self.context.report_each:
            super()._tell_delivery(record)


class Blocks(Steered):
    """Holds each batch until a test says what becomes of it."""

    def __init__(self, *, loses: bool) -> None:
        super().__init__(loses=loses)
        self._verdicts: deque[bool] = deque()

    def write_batch(self, records: Sequence[Record]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_dead or self._verdicts or self._is_open)
            ids = [record.event_id for record in records]
            if self._is_dead:
                raise ConnectionError("the process is no more")
            if self._verdicts and not self._verdicts.popleft():
                if self._loses:
                    self._given_up += ids
                raise ConnectionError("as the test says")
            self._arrived += ids

    def close(self, timeout: float) -> None:
        with self._changed:
            self._is_dead = True
            self._changed.notify_all()


class Hand:
    """What a test does to a sink, without becoming one of its hooks."""

    def __init__(self, sink: Steered) -> None:
        self._sink = sink

    @property
    def arrived(self) -> list[str]:
        """The ids of what arrived, repeats too."""
        return list(self._sink._arrived)

    @property
    def given_up(self) -> list[str]:
        """The ids of what was given up and will not come again."""
        return list(self._sink._given_up)

    def deliver(self, count: int) -> None:
        if isinstance(self._sink, ReportsEach):
            self._sink._deliver(count)
        elif isinstance(self._sink, Blocks):
            self._judge(self._sink, delivers=True)

    def fail(self, count: int, *, retryable: bool) -> None:
        if isinstance(self._sink, ReportsEach):
            self._sink._fail(count, retryable=retryable)
        elif isinstance(self._sink, Blocks):
            self._judge(self._sink, delivers=False)

    def open(self) -> None:
        with self._sink._changed:
            self._sink._is_open = True
            self._sink._changed.notify_all()
        if isinstance(self._sink, ReportsEach):
            self._sink._deliver(ROOM)

    def shut(self) -> None:
        self._sink._is_open = False

    def die(self) -> None:
        with self._sink._changed:
            self._sink._is_dead = True
            self._sink._changed.notify_all()

    @staticmethod
    def _judge(sink: Blocks, *, delivers: bool) -> None:
        with sink._changed:
            sink._verdicts.append(delivers)
            sink._changed.notify_all()


class LedgerMachine(RuleBasedStateMachine):
    """Counts by itself, over the lives of several data planes on one spool.

    Attributes:
        owed: Ids that the disk must have had when this life began.
        calls: Publishes of this life, and what had to come of some of them.
        receipts: What publish answered in this life.
    """

    plane: DataPlane

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="ledger-"))
        self.owed: set[str] = set()

    @initialize(
        kind=st.sampled_from([ReportsEach, ReportsFailures, Blocks]),
        mode=st.sampled_from([None, "overflow", "writeAhead"]),
    )
    def begin(self, kind: type[Steered], mode: Mode) -> None:
        self.kind, self.mode = kind, mode
        self.open()

    def open(self) -> None:
        spool = self.mode and SpoolOptions(directory=self.directory, mode=self.mode, fsync="never")
        sink = self.kind(loses=spool is None)
        self.hand = Hand(sink)
        self.plane = DataPlane(
            sink,
            DataPlaneOptions(
                enable_error_events=False,
                failure_mode="drop" if spool is None else "spool",
                spool=spool,
                max_queue_size=ROOM,
                batch_size=3,
                retry_deadline_ms=0,  # what fails is lost: the model knows of no second try
                flush_interval_ms=1,
            ),
        )
        self.calls: Counter[str] = Counter()
        self.receipts: list[Receipt] = []
        self.seen = self.plane.stats()
        self.recovered = self.seen.recovered

    @rule(count=st.integers(1, 10))
    def publish(self, count: int) -> None:
        self.calls["offered"] += count
        self.receipts += self.publish_some(count)

    @rule()
    def publish_a_mistake(self) -> None:
        self.calls.update(offered=1, refused=1)
        with pytest.raises(EventError):
            self.plane.publish("no event")  # type: ignore[arg-type]  # that is the mistake

    @rule()
    def publish_what_is_switched_off(self) -> None:
        self.calls.update(offered=1, disabled=1)
        assert self.plane.publish(ErrorEvent(error_type="e", message="m")).status == "disabled"

    @rule(threads=st.integers(2, 4), count=st.integers(1, 10), delivers=st.booleans())
    def publish_on_threads(self, threads: int, count: int, delivers: bool) -> None:
        answers: list[list[Receipt]] = []
        publishers = [
            threading.Thread(target=lambda: answers.append(self.publish_some(count)))
            for _ in range(threads)
        ]
        for publisher in publishers:
            publisher.start()
        while any(publisher.is_alive() for publisher in publishers):
            self.look()
            if delivers:
                self.hand.deliver(2)
        self.calls["offered"] += threads * count
        self.receipts += [receipt for answer in answers for receipt in answer]

    @rule(count=st.integers(1, 10))
    def deliver(self, count: int) -> None:
        self.hand.deliver(count)

    @rule(count=st.integers(1, 10), retryable=st.booleans())
    def fail(self, count: int, retryable: bool) -> None:
        self.hand.fail(count, retryable=retryable)

    @rule()
    def open_the_way_out(self) -> None:
        self.hand.open()

    @rule()
    def shut_the_way_out(self) -> None:
        self.hand.shut()

    @rule()
    def drain(self) -> None:
        self.hand.open()
        self.plane.flush(PATIENCE)
        stats = self.look()
        assert (stats.pending, stats.spooled) == (0, 0)
        assert self.is_exact(stats)
        assert self.promised() <= {*self.hand.arrived, *self.hand.given_up}

    @rule()
    def close_and_open(self) -> None:
        self.hand.shut()
        self.plane.close(0.02)
        stats = self.look()
        left = self.count_left()
        if self.mode is None:  # what a batch sink did not get to see is given up by core
            assert stats.failed == len(self.hand.given_up) + left
            left = 0
        assert (stats.delivered, stats.spooled) == (len(self.hand.arrived), left)
        assert stats.pending == balance(stats) == 0
        assert self.plane.publish(exposure()).reason == "closed"
        self.owed = self.still_owed(self.promised())
        self.open()
        assert self.recovered == left

    @rule()
    def crash_and_open(self) -> None:
        self.hand.shut()
        self.the_accounts_are_those_of_the_sink()
        most = self.recovered + len(self.accepted())
        self.crash()
        self.owed = self.still_owed(self.promised(survives_a_crash=True))
        self.open()
        assert len(self.owed) <= self.recovered <= (most if self.mode else 0)

    def crash(self) -> None:
        """Leave the data plane as a process does that is killed."""
        _lifetime.discard(self.plane)
        parts = self.plane._delivery
        if parts._spooling is not None:
            parts._spooling.stop()
            if parts._spooling._replay._thread is not None:
                parts._spooling._replay._thread.join(PATIENCE)
            crash(parts._spooling._spool)
        self.hand.die()
        parts.outlet.close(0.0)  # to have its thread gone; what it says is not heard any more

    @invariant()
    def the_accounts_are_those_of_the_sink(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.is_exact(self.look()):
            assert time.monotonic() < deadline, (self.plane.stats(), self.expected())
            time.sleep(0.001)

    def is_exact(self, stats: Stats) -> bool:
        found = {
            "offered": stats.offered,
            "refused": stats.refused,
            "disabled": stats.disabled,
            "dropped": stats.dropped,
            "delivered": stats.delivered,
            "failed": stats.failed,
            "left": stats.pending + stats.spooled,
        }
        return found == self.expected() and balance(stats) == 0

    def expected(self) -> dict[str, Any]:
        return {
            "offered": self.calls["offered"],
            "refused": self.calls["refused"],
            "disabled": self.calls["disabled"],
            "dropped": Counter(each.reason for each in self.receipts if each.status == "dropped"),
            "delivered": len(self.hand.arrived),
            "failed": len(self.hand.given_up),
            "left": self.count_left(),
        }

    def look(self) -> Stats:
        """Find no term negative, none that has run backwards, and nothing told too early."""
        stats = self.plane.stats()
        terms = {name: getattr(stats, name) for name in (*NEVER_FALL, "pending", "spooled")}
        assert min(terms.values()) >= 0, stats
        for name in NEVER_FALL:
            assert terms[name] >= getattr(self.seen, name), (name, self.seen, stats)
        for reason, count in self.seen.dropped.items():
            assert stats.dropped[reason] >= count
        assert stats.delivered <= len(self.hand.arrived)
        self.seen = stats
        return stats

    def publish_some(self, count: int) -> list[Receipt]:
        return [self.plane.publish(exposure()) for _ in range(count)]

    def accepted(self) -> set[str]:
        return {each.event_id for each in self.receipts if each.status in {"accepted", "spooled"}}

    def promised(self, *, survives_a_crash: bool = False) -> set[str]:
        """Give the ids that must arrive in this life or a later one."""
        if not survives_a_crash or self.mode == "writeAhead":
            return self.owed | self.accepted()
        if self.mode is None:
            return set()
        return self.owed | {each.event_id for each in self.receipts if each.status == "spooled"}

    def still_owed(self, promised: set[str]) -> set[str]:
        if self.mode is None:
            return set()
        return promised.difference(self.hand.arrived, self.hand.given_up)

    def count_left(self) -> int:
        settled = len(self.hand.arrived) + len(self.hand.given_up)
        return self.recovered + len(self.accepted()) - settled

    def teardown(self) -> None:
        if hasattr(self, "plane"):
            self.drain()
            self.plane.close(PATIENCE)
        shutil.rmtree(self.directory)


def balance(stats: Stats) -> int:
    """Give what one side of the equation has too much; zero where it adds up."""
    ends = (
        stats.refused,
        stats.disabled,
        stats.sampled_out,
        stats.dropped_total,
        stats.failed,
        stats.delivered,
        stats.pending,
        stats.spooled,
    )
    return stats.offered + stats.recovered - sum(ends)


def exposure() -> Exposure:
    return Exposure(experiment_name="checkout", variant_key="b", subject_id="user-1")


@pytest.mark.timeout(300)
def test_the_accounts_are_right_whatever_happens_in_whatever_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "SLICE", 0.005)
    monkeypatch.setattr(replay, "SLICE", 0.005)
    monkeypatch.setattr(replay, "LONGEST_PAUSE", 0.02)
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )

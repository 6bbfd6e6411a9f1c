"""Everything behind the intake of one data plane, in one process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from experiment_framework._delivery.breaker import Breaker
from experiment_framework._delivery.callbacks import Callbacks
from experiment_framework._delivery.dead_letters import DeadLetterFile, DeadLetters
from experiment_framework._delivery.direct import Direct
from experiment_framework._delivery.fence import open_backplane
from experiment_framework._delivery.handover import Handover
from experiment_framework._delivery.settlement import Settlement
from experiment_framework._delivery.shared_flush import SharedFlush
from experiment_framework._delivery.verdict import Verdict
from experiment_framework._interrupts import interrupts_intact
from experiment_framework._ledger import Ledger
from experiment_framework.errors import HookError
from experiment_framework.results import FlushResult, Stats

if TYPE_CHECKING:
    from collections.abc import Callable

    from experiment_framework._delivery.callbacks import OnDelivery, OnDrop
    from experiment_framework._delivery.outlet import Outlet
    from experiment_framework._delivery.settlement import Observer
    from experiment_framework._delivery.spool import Spool
    from experiment_framework._delivery.spooling import Spooling
    from experiment_framework._delivery.throttle import ThrottledLog
    from experiment_framework._registry import Hooks
    from experiment_framework.dataplane_options import DeliveryOptions
    from experiment_framework.health import Health

__all__ = ["Delivery"]

SLICE: Final = 0.1
"""Longest wait in seconds before looking again at what is left."""


class Delivery:
    """Owns the way out, its disk, its accounts and its callbacks.

    Args:
        hooks: The backplane.
        options: What stands before it.
        block_timeout: Seconds to wait for room where ``failureMode`` is ``block``.
        observer: Told the fate of each record at once, in the thread that reports it.
        on_drop: Told each record that was not accepted.
        on_delivery: Told the fate of each accepted record.
        log: Where trouble is reported.

    Attributes:
        ledger: The accounts.
        settlement: Where fates are reported.
        handover: Takes records.
        outlet: The way out.
        shared_flush: One flush for all coroutines that await a fate.
        breaker: Whether a wait for delivery is worth it.
        reports_each: Whether each delivery is reported.

    Raises:
        ExperimentError: The backplane cannot be opened, or the disk not be used.
    """

    def __init__(
        self,
        hooks: Hooks,
        options: DeliveryOptions,
        *,
        block_timeout: float = 0.0,
        observer: Observer | None = None,
        on_drop: OnDrop | None = None,
        on_delivery: OnDelivery | None = None,
        log: ThrottledLog,
    ) -> None:
        self._hooks = hooks
        self._options = options
        self._block_timeout = block_timeout
        self._on_drop = on_drop
        self._on_delivery = on_delivery
        self._log = log
        writes_ahead = options.spool is not None and options.spool.mode == "writeAhead"
        self.settlement = Settlement(
            max_queue_size=options.max_queue_size,
            max_queue_bytes=options.max_queue_bytes,
            report_each=on_delivery is not None or observer is not None or writes_ahead,
            log=log,
            observer=observer,
        )
        self._spool = _opened_spool(options)
        self._connect()
        try:
            open_backplane(hooks, self.settlement)
        except BaseException:
            if self._spool is not None:
                self._spool.close()
            raise
        if self._spooling is not None:
            self._spooling.start(
                self.outlet, self.settlement, self.ledger, reports_each=self.reports_each
            )

    def _connect(self) -> None:
        """Make everything that belongs to this process, and connect it."""
        hooks, options = self._hooks, self._options
        self._callbacks = Callbacks(self._on_drop, self._on_delivery, self._log)
        self._spooling = spooling = self._around(self._spool)
        self.reports_each = (
            self.settlement.report_each or hooks.publish is None or hooks.outstanding is None
        )
        self.ledger = Ledger(
            None if self.reports_each else hooks.outstanding,
            spooled=spooling.waiting if spooling else lambda: 0,
            recovered=spooling.recovered if spooling else lambda: 0,
            lost_on_disk=spooling.lost if spooling else dict,
        )
        self._dead_letters = self._letters()
        self.settlement.connect(
            self.ledger, self._callbacks, disk=spooling, dead_letters=self._dead_letters
        )
        self.outlet = _outlet(hooks, self.settlement, options, spooling)
        self.handover = Handover(
            self.outlet,
            self.settlement,
            mode_of=options.failure_mode_of,
            block_timeout=self._block_timeout,
            spooling=spooling,
        )
        self.shared_flush = SharedFlush(self.outlet.flush)
        self.breaker = Breaker()
        declared = options.spool
        self._verdict = Verdict(
            self.outlet,
            self._callbacks,
            self.breaker,
            dead_letters=self._dead_letters,
            spooling=spooling,
            drops_oldest=declared is not None and declared.when_full == "dropOldest",
            keeps_all=all(options.failure_mode_of(kind) == "spool" for kind in _EVENT_TYPES),
        )

    def _letters(self) -> DeadLetters | None:
        declared, hook = self._options.dead_letters, self._hooks.dead_letter
        if declared is None and hook is None:
            return None
        file = DeadLetterFile(declared.path, declared.max_bytes) if declared is not None else None
        return DeadLetters(file, hook, self._log)

    def _around(self, spool: Spool | None) -> Spooling | None:
        declared = self._options.spool
        if declared is None or spool is None:
            return None
        from experiment_framework._delivery.spooling import Spooling

        return Spooling(
            spool,
            writes_ahead=declared.mode == "writeAhead",
            keeps=lambda kind: self._options.failure_mode_of(kind) == "spool",
            isolates=self._hooks.write_batch is not None,
            replay_per_second=declared.replay_per_second,
            log=self._log,
        )

    @interrupts_intact()
    def flush(self, timeout: float) -> None:
        """Wait until everything has its fate and nothing waits on disk, at most ``timeout`` s."""
        deadline = time.monotonic() + timeout
        while True:
            left = max(deadline - time.monotonic(), 0.0)
            is_behind = self._spooling is not None and self._spooling.is_behind
            self.outlet.flush(min(left, SLICE) if is_behind else left)
            if self._spooling is None or left <= 0:
                return
            if not (is_behind or self._spooling.is_behind):  # what came back meanwhile waits there
                return
            self._spooling.wait(min(left, SLICE))

    @interrupts_intact()
    def close(self, timeout: float) -> None:
        """Deliver what is left within ``timeout`` seconds, keep or count the rest, let go."""
        deadline = time.monotonic() + timeout
        self.handover.is_closed = True
        try:
            self.flush(timeout)
        except BaseException:
            deadline = 0.0  # Ctrl-C: whoever asks to stop does not want to wait
            raise
        finally:
            if self._spooling is not None:
                self._spooling.stop()
            self.outlet.close(max(0.0, deadline - time.monotonic()))
            if self._spooling is not None:
                self._spooling.close(max(0.0, deadline - time.monotonic()))
            self._callbacks.close(max(0.0, deadline - time.monotonic()))

    def hold(self, timeout: float) -> Callable[[], None] | None:
        """Keep batches from being written during a fork; None where one takes longer.

        A sink that is in the midst of writing may hold locks, such as that of a stream, which
        nobody would ever let go of in the child.

        Returns:
            What lets them be written again.
        """
        outlet = self.outlet
        return outlet.go_on if outlet.hold(timeout) else None

    def after_fork(self) -> None:
        """Start clean in a forked child: nothing of the parent's is sent, kept or counted here."""
        try:
            if self._hooks.after_fork is not None:
                self._hooks.after_fork()
        finally:
            if self._spool is not None:
                self._spool.after_fork()
            self._connect()
        if self._spooling is not None:
            self._spooling.start(
                self.outlet, self.settlement, self.ledger, reports_each=self.reports_each
            )

    @property
    def is_calling_back_here(self) -> bool:
        """Whether a callback of the application runs in this very thread."""
        return self._callbacks.is_called_here

    def stats(self) -> Stats:
        """Account for every event so far."""
        skipped = self._callbacks.skipped
        stats = self.ledger.stats()
        if self._on_drop is not None:
            skipped += sum(stats.dropped.get(reason, 0) for reason in _WITHOUT_RECORD)
            if self._spooling is not None:
                skipped += self._spooling.untold()
        return msgspec.structs.replace(
            stats,
            callback_errors=self._callbacks.errors,
            callbacks_skipped=skipped,
            members={} if self._hooks.members is None else dict(self._hooks.members()),
        )

    def result(self) -> FlushResult:
        """Give the part of the accounts that a flush answers."""
        stats = self.ledger.stats()
        return FlushResult(
            delivered=stats.delivered,
            failed=stats.failed,
            pending=stats.pending,
            dropped=stats.dropped_total,
            spooled=stats.spooled,
        )

    def why_on_disk(self) -> str:
        """Say why records came back to the disk, as the end of a sentence; "" where none did."""
        reason = "" if self._spooling is None else self._spooling.last_reason
        return f"; the last one came back because: {reason}" if reason else ""

    def health(self) -> Health:
        """Say how the way out, its disk and its callbacks are doing."""
        return self._verdict.health()


_WITHOUT_RECORD: Final = ("step_failed", "spool_corrupt")
"""Reasons of drops of which no record can be shown: there is none yet, or none any more."""

_EVENT_TYPES: Final = ("Exposure", "Assignment", "Outcome", "AnalysisSignal", "Error")


def _outlet(
    hooks: Hooks,
    settlement: Settlement,
    options: DeliveryOptions,
    disk: Spooling | None,
) -> Outlet:
    if hooks.write_batch is not None:
        # It knows what plugins may raise; not every program has plugins that it batches for.
        from experiment_framework._delivery.worker import BatchWorker

        return BatchWorker(hooks.write_batch, hooks, settlement, options, disk=disk)
    if hooks.publish is not None:
        return Direct(hooks.publish, hooks)
    raise HookError(hooks.name, f"the backplane {hooks.name} has no way to take records")


def _opened_spool(options: DeliveryOptions) -> Spool | None:
    declared = options.spool
    if declared is None:
        return None
    from experiment_framework._delivery.spool import Spool

    spool = Spool(
        declared.directory,
        max_bytes=declared.max_bytes,
        when_full=declared.when_full,
        fsync=declared.fsync,
    )
    spool.open()
    return spool

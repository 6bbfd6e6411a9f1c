"""One of several backplanes, and everything that stands before it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from experiment_framework._composite.fates import Fates
from experiment_framework._composite.options import MemberOptions
from experiment_framework._delivery import Delivery, ThrottledLog
from experiment_framework._registry import Hooks
from experiment_framework.envelope import Record

__all__ = ["Lane"]

_PAUSE: Final = 0.01


class Lane:
    """Takes the records that a member is meant for, and tells their fates.

    Nothing in it waits: where there is no room the failure mode of the member decides at once.

    Args:
        name: What the member is called.
        bit: The member as a bit.
        hooks: The member.
        options: What was said about it.
        fates: Told what becomes of the records.
        log: Where trouble is reported.

    Attributes:
        asks_for_experiments: Whether it gets the events of some experiments only.
        delivery: Its queue, its disk and its accounts.

    Raises:
        ExperimentError: It cannot be opened.
    """

    def __init__(
        self,
        name: str,
        bit: int,
        hooks: Hooks,
        options: MemberOptions,
        *,
        fates: Fates,
        log: ThrottledLog,
    ) -> None:
        self.name = name
        self.bit = bit
        self.hooks = hooks
        self.is_required = options.required
        self._event_types = None if options.event_types is None else frozenset(options.event_types)
        self._experiments = None if options.experiments is None else frozenset(options.experiments)
        self.asks_for_experiments = self._experiments is not None
        self._fates = fates
        self.delivery = Delivery(hooks, options, observer=self, log=log)
        self._connect()

    def _connect(self) -> None:
        """Bind the hot path to what belongs to this process."""
        self._cell = self.delivery.ledger.cell
        self._give = self.delivery.handover.give

    def takes(self, record: Record) -> bool:
        """Whether the member is to have this record."""
        return (self._event_types is None or record.event_type in self._event_types) and (
            self._experiments is None or record.experiment_name in self._experiments
        )

    def give(self, record: Record) -> None:
        """Hand a record over."""
        cell = self._cell()
        cell.offered += 1
        if self._give(cell, record).status == "spooled":
            self.kept(record)

    def delivered(self, records: Sequence[Record]) -> None:
        """Tell that the member has these records."""
        self._fates.delivered(self.bit, records)

    def failed(self, record: Record, reason: str, *, retryable: bool) -> None:
        """Tell that the member will not have this record."""
        self._fates.failed(self.bit, record, f"{self.name}: {reason}", retryable=retryable)

    def kept(self, record: Record) -> None:
        """Tell that the member has this record on its disk."""
        self._fates.kept(self.bit, record)

    def flush(self, timeout: float) -> bool:
        """Wait for the member for some seconds; say whether nothing of it is left."""
        ends = time.monotonic() + min(timeout, _PAUSE)
        self.delivery.flush(timeout)
        result = self.delivery.result()
        is_done = not (result.pending or result.spooled)
        if not is_done:
            # A flush that cannot wait comes back at once: it is not asked without a pause.
            time.sleep(max(0.0, ends - time.monotonic()))
        return is_done

    def after_fork(self, fates: Fates) -> None:
        """Start clean in a forked child."""
        self._fates = fates
        self.delivery.after_fork()
        self._connect()

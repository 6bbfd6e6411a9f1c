"""Asks a backplane how it is doing, so that nobody waits for one that is stuck."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from experiment_framework._delivery.fence import health_of
from experiment_framework._delivery.threads import LazyThread
from experiment_framework.health import Health

if TYPE_CHECKING:
    from experiment_framework._registry import Hooks

__all__ = ["HealthWatch"]

PATIENCE: Final = 0.01
"""Seconds that an answer is waited for, once for each question."""

SILENT: Final = 5.0
"""Seconds without an answer after which a backplane is unhealthy."""


class HealthWatch:
    """The health of one backplane, as it is now or as it last said.

    A hook that is marked ``@at_hand`` is called directly. Any other one may touch a network: it is
    called on a thread of its own, which starts with the first question.

    Args:
        hooks: The backplane.
    """

    def __init__(self, hooks: Hooks) -> None:
        from experiment_framework.plugin.hookspecs import is_at_hand  # it loads pluggy and attrs

        self._hooks = hooks
        self._is_direct = hooks.health is None or is_at_hand(hooks.health)
        self._changed = threading.Condition()
        self._latest: Health | None = None
        self._asked_at: float | None = None
        self._is_closed = False
        self._thread = LazyThread(self._run, "experiment-health")

    def health(self) -> Health:
        """Give the answer, if it comes at once; else the last one, unless that is too old."""
        if self._is_direct:
            return health_of(self._hooks)
        with self._changed:
            if self._asked_at is None and not self._is_closed:
                self._ask()
            return self._judged(self._latest)

    def close(self) -> None:
        """Ask no more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _ask(self) -> None:
        """Put the question, and wait a moment for the answer; called under the lock."""
        self._thread.start()
        if not self._thread.is_there:  # the process ends: what was known is all there is
            return
        self._asked_at = time.monotonic()
        self._changed.notify_all()
        self._changed.wait_for(lambda: self._asked_at is None, PATIENCE)

    def _judged(self, latest: Health | None) -> Health:
        silent = 0.0 if self._asked_at is None else time.monotonic() - self._asked_at
        if latest is not None and silent < SILENT:
            return latest
        reason = f"the backplane {self._hooks.name} has not said for {silent:.0f} s how it is doing"
        if latest is None:
            is_late = silent >= SILENT
            return Health.judge(
                unhealthy=(reason,) if is_late else (),
                degraded=() if is_late else (reason,),
                details={"answered": False},
            )
        return Health.judge(unhealthy=(reason, *latest.reasons), details=latest.details)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._asked_at is not None)
                if self._is_closed:
                    return
            try:
                answer = health_of(self._hooks)
            except BaseException as error:  # noqa: BLE001  # SystemExit too: the thread lives on
                answer = Health.judge(unhealthy=(f"its health is not known: {error!r}",))
            with self._changed:
                self._latest = answer
                self._asked_at = None
                self._changed.notify_all()

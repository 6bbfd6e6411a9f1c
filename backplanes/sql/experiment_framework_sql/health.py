"""What is known of the database, and the questions that find it out, never in the caller's time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from experiment_framework.plugin import Health

from experiment_framework_sql.errors import Trouble
from experiment_framework_sql.migrations import LATEST

__all__ = ["Pulse"]

CALM: Final = 5.0
"""Seconds for which an answer is good enough not to ask again."""

PATIENCE: Final = 0.5
"""Seconds between two questions to a database that is in trouble."""


class Pulse:
    """Keeps what writes and questions have found out.

    Args:
        ask: Asks the database which migration it has got to; raises, or waits, as long as it likes.
        explain: Tells what an error of that means.
    """

    def __init__(self, ask: Callable[[], int], explain: Callable[[BaseException], Trouble]) -> None:
        self._ask = ask
        self._explain = explain
        self._asking: threading.Thread | None = None
        self._asked_at = float("-inf")
        self._answered_at: float | None = None
        self._written_at: float | None = None
        self._trouble: tuple[str, float] | None = None
        self.version: int | None = None

    def wrote(self) -> None:
        """Note that a batch was written."""
        self._written_at = self._answered_at = time.monotonic()
        self._trouble = None

    def failed(self, reason: str) -> None:
        """Note that the database could not be used."""
        since = time.monotonic() if self._trouble is None else self._trouble[1]
        self._trouble = (reason, since)

    def ask(self) -> str | None:
        """Ask now, in the caller's time; give what is wrong."""
        self._asked_at = time.monotonic()
        try:
            self.version = self._ask()
        except Exception as error:  # noqa: BLE001  # a driver may raise anything
            reason = self._explain(error).reason
            self.failed(reason)
            return reason
        self._answered_at = time.monotonic()
        self._trouble = None
        return None

    def ask_aside(self) -> None:
        """Ask on a thread of its own where what is known is old."""
        now = time.monotonic()
        last = max(self._asked_at, self._answered_at or self._asked_at)
        pause = CALM if self._trouble is None else PATIENCE
        if now - last < pause or (self._asking is not None and self._asking.is_alive()):
            return
        self._asking = threading.Thread(target=self.ask, name="experiment-sql-health", daemon=True)
        with suppress(RuntimeError):  # the interpreter ends: nobody needs the answer
            self._asking.start()

    def wait(self, timeout: float) -> None:
        """Wait for a question that is being asked."""
        asking = self._asking
        if asking is not None and asking.ident is not None:
            asking.join(timeout)

    def judge(self, place: str, advice: str, figures: dict[str, Any]) -> Health:
        """Say how the database is doing, from what is known.

        Args:
            place: The database and table, for messages.
            advice: What to do where the table is missing or old.
            figures: More details.
        """
        now = time.monotonic()
        unhealthy: list[str] = []
        degraded: list[str] = []
        if self._trouble is not None:
            reason, since = self._trouble
            unhealthy.append(f"{place} cannot be used for {now - since:.1f} s: {reason}")
        elif self.version == 0:
            unhealthy.append(f"{place} is not there: {advice}")
        elif self.version is None:
            degraded.append(f"{place} has not answered yet")
        elif self.version < LATEST:
            degraded.append(f"{place} has got to migration {self.version} of {LATEST}: {advice}")
        return Health.judge(
            unhealthy=tuple(unhealthy),
            degraded=tuple(degraded),
            details={
                "answered": self._answered_at is not None,
                "answerAgeSeconds": _age(self._answered_at, now),
                "lastWriteAgeSeconds": _age(self._written_at, now),
                "migration": self.version,
                **figures,
            },
        )


def _age(moment: float | None, now: float) -> float | None:
    return None if moment is None else round(now - moment, 3)

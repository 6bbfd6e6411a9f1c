"""The one shape in which the data plane sees every backplane."""

from __future__ import annotations

from typing import Protocol

from experiment_framework.envelope import Record
from experiment_framework.health import Health

__all__ = ["Outlet"]


class Outlet(Protocol):
    """Takes records without blocking and reports their fates to the context."""

    def publish(self, record: Record) -> None:
        """Queue one record.

        Raises:
            QueueFullError: There is no room now.
            RecordTooLargeError: It can never be taken.
            DeliveryError: It cannot be taken for another reason, such as being closed.
        """

    def republish(self, record: Record) -> None:
        """Queue one record from disk: those that wait there are behind it.

        Raises:
            QueueFullError: As `publish`, and the others too.
        """

    def hold(self, timeout: float) -> bool:
        """Keep still for a fork, within so many seconds; False where that is not needed or had."""

    def go_on(self) -> None:
        """Go on after `hold` said True."""

    def flush(self, timeout: float) -> bool:
        """Wait until nothing is outstanding, at most ``timeout`` seconds.

        Returns:
            Whether everything that was taken before this call is settled now.
        """

    def close(self, timeout: float) -> None:
        """Let go of everything; what is left after ``timeout`` seconds is reported as failed."""

    def health(self) -> Health:
        """Say how the way out is doing, without blocking."""

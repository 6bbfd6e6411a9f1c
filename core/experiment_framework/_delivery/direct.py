"""The way out for backplanes that queue by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from experiment_framework._delivery.fence import close_backplane, flush_backplane
from experiment_framework._delivery.health_watch import HealthWatch
from experiment_framework.envelope import Record
from experiment_framework.health import Health

if TYPE_CHECKING:
    from experiment_framework._registry import Hooks

__all__ = ["Direct"]


class Direct:
    """Calls the hooks of a backplane that implements ``publish``.

    Attributes:
        publish: The hook itself: no call of ours stands around it.
        republish: The same.
    """

    def __init__(self, publish: Callable[[Record], None], hooks: Hooks) -> None:
        self.publish = self.republish = publish
        self._hooks = hooks
        self._watch = HealthWatch(hooks)

    def hold(self, timeout: float) -> bool:  # noqa: ARG002  # see `Outlet.hold`
        """Hold nothing still: it looks after its own forks."""
        return False

    def go_on(self) -> None:
        """Have nothing to go on with."""

    def flush(self, timeout: float) -> bool:
        """Let the backplane wait; see `Outlet.flush`."""
        if flush_backplane(self._hooks, timeout) or self._hooks.outstanding is None:
            return True
        return self._hooks.outstanding() == 0

    def close(self, timeout: float) -> None:
        """Let the backplane go."""
        self._watch.close()
        close_backplane(self._hooks, timeout)

    def health(self) -> Health:
        """Ask the backplane."""
        return self._watch.health()

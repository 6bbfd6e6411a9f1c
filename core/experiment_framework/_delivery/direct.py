"""The way out for backplanes that queue by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from experiment_framework.envelope import Record
from experiment_framework.health import Health

if TYPE_CHECKING:
    from experiment_framework._registry import Hooks

__all__ = ["Direct"]


class Direct:
    """Calls the hooks of a backplane that implements ``publish``."""

    publish: Callable[[Record], None]

    def __init__(self, publish: Callable[[Record], None], hooks: Hooks) -> None:
        self.publish = publish  # the hook itself: no call of ours around it
        self._hooks = hooks

    def outstanding(self) -> int:
        """Ask the backplane; one that cannot say reports every fate before ``publish`` returns."""
        return self._hooks.outstanding() if self._hooks.outstanding else 0

    def flush(self, timeout: float) -> None:
        """Let the backplane wait."""
        if self._hooks.flush:
            self._hooks.flush(timeout)

    def close(self, timeout: float) -> None:
        """Let the backplane go."""
        if self._hooks.close:
            self._hooks.close(timeout)

    def health(self) -> Health:
        """Ask the backplane."""
        return self._hooks.health() if self._hooks.health else Health()

"""A command that is ended before its time sums up all the same, and exits as shells expect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from experiment_framework._cli.help import INTERRUPTED
from experiment_framework._interrupts import interrupts_intact
from experiment_framework._termination import TERMINATED, Terminated

__all__ = ["Ending"]


class Ending:
    """Whether Ctrl-C or SIGTERM has ended a command.

    Attributes:
        cause: The interrupt; the first one where there were several.
    """

    def __init__(self) -> None:
        self.cause: BaseException | None = None

    @property
    def is_early(self) -> bool:
        """Whether one came."""
        return self.cause is not None

    @contextmanager
    def contained(self) -> Iterator[None]:
        """Let an interrupt end the block, and no more."""
        try:
            with interrupts_intact():
                yield
        except (KeyboardInterrupt, Terminated) as cause:
            self.cause = self.cause or cause

    def exit_code(self, *, is_success: bool) -> int:
        """Give the exit code; how it went counts where nothing ended it."""
        if isinstance(self.cause, Terminated):
            return TERMINATED
        if self.is_early:
            return INTERRUPTED
        return 0 if is_success else 1

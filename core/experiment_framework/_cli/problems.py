"""How the problems of a configuration are shown."""

from __future__ import annotations

from experiment_framework._cli.terminal import errors
from experiment_framework.errors import ConfigError

__all__ = ["show_problems"]


def show_problems(error: ConfigError) -> None:
    """Show every problem where it stands, as the configuration's loader wrote it down."""
    errors().print(str(error), soft_wrap=True)
    count = len(error.problems)
    errors().print(f"{count} problem{'s' if count != 1 else ''}", style="bold red")

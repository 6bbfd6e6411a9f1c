"""How the problems of a configuration are shown."""

from __future__ import annotations

from rich.text import Text

from experiment_framework._cli.terminal import errors
from experiment_framework.errors import ConfigError

__all__ = ["show_problems"]


def show_problems(error: ConfigError) -> None:
    """Show every problem as the configuration's loader wrote it down, on standard error."""
    text = Text(str(error))
    text.highlight_regex(r"(?m)^\S.*$", "bold")
    text.highlight_regex(r"(?m)^ *\d* \| ", "dim")
    text.highlight_regex(r"(?m)(?<=\|) +\^+.*$", "bold red")
    text.highlight_regex(r"(?m)^ +(found|expected|note|help):", "cyan")
    errors().print(text, soft_wrap=True)

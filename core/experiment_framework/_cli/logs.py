"""What is logged while a command runs, told once."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.text import Text

from experiment_framework._cli.terminal import clean

__all__ = ["logs_to"]

_MOST: Final = 20


class _OnceHandler(logging.Handler):
    """Prints warnings of different wording, each once: a broker that is down repeats itself."""

    def __init__(self, notes: Console) -> None:
        super().__init__(logging.WARNING)
        self._notes = notes
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if hasattr(record, "event_id"):  # of a backplane that logs events: none repeats another
            self._notes.print(Text(clean(message)))
            return
        wording = re.sub(r"\d+", "", message)
        if wording in self._told or len(self._told) >= _MOST:
            return
        self._told.add(wording)
        self._notes.print(Text(f"{record.levelname.lower()}: {clean(message)}", style="yellow"))


@contextmanager
def logs_to(notes: Console | None) -> Iterator[None]:
    """Print warnings to a console inside the block; None swallows them.

    They are swallowed where the command's own answer says it all.
    """
    handler = logging.NullHandler() if notes is None else _OnceHandler(notes)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)

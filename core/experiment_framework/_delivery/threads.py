"""Threads that begin with their first work, and none any more once the process ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["refuse_threads", "start_thread"]


class _Process:
    is_ending = False


def refuse_threads(*, refuse: bool) -> None:
    """Start none from now on: the process ends, and what is left is done by who ends it."""
    _Process.is_ending = refuse


def start_thread(run: Callable[[], object], name: str) -> threading.Thread | None:
    """Start a thread that does not keep the process alive; None where the process ends."""
    if _Process.is_ending:
        return None
    thread = threading.Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is going down
        return None
    return thread

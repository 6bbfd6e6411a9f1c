"""Making a client, in the midst of which no process is forked."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from experiment_framework_kafka.client_call import client_call

__all__ = ["making_client"]

PATIENCE: Final = 2.0
"""Longest time in seconds that a fork waits for a client that another thread makes."""


SETTLING: Final = 0.05
"""Seconds in which a new client looks up its brokers, on threads that nobody can hold up."""


class _Turn:
    """Whose turn it is, to make a client or to fork.

    A client that is new holds locks of the C libraries below it, for encryption and for looking up
    addresses. A process that is forked meanwhile finds them held for ever, and its clients hang: of
    a hundred one does. Later a client looks up an address only when it connects again.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.settled_at = 0.0
        self._is_held = False

    def before_fork(self) -> None:
        self._is_held = self.lock.acquire(timeout=PATIENCE)
        time.sleep(max(self.settled_at - time.monotonic(), 0.0))

    def after_fork_in_parent(self) -> None:
        if self._is_held:
            self.lock.release()

    def after_fork_in_child(self) -> None:
        self.lock = threading.RLock()


_turn: Final = _Turn()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_turn.before_fork,
        after_in_parent=_turn.after_fork_in_parent,
        after_in_child=_turn.after_fork_in_child,
    )


@contextmanager
def making_client() -> Iterator[None]:
    """Mark this thread as being inside a client's call, and keep other threads from forking."""
    with _turn.lock, client_call():
        try:
            yield
        finally:
            _turn.settled_at = time.monotonic() + SETTLING

"""Servers and pools whose processes begin or end in a way of their own.

None is imported here: what a program does not use is not loaded.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Final, Protocol, cast

__all__ = ["call_at_end", "notice_forks"]

EXIT_PRIORITY: Final = 100
"""Of multiprocessing's finalizers, those with higher numbers run first; its own have less."""

_CELERY_ID: Final = "experiment_framework"


class _Process:
    """For which process the end of a worker is taken care of."""

    id = 0


class _Signal(Protocol):
    """A signal of Celery."""

    def connect(self, receiver: Callable[..., object], *, weak: bool, dispatch_uid: str) -> None:
        """Have a function called."""


def call_at_end(close: Callable[[], None]) -> None:
    """Have a function called when a worker ends that runs no exit handlers.

    To be called in the worker itself, which forgets what its parent had asked for.
    """
    if _Process.id == os.getpid():
        return
    _Process.id = os.getpid()
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, close, exitpriority=EXIT_PRIORITY)
    signals = sys.modules.get("celery.signals")
    if signals is not None:

        def worker_ends(**_: object) -> None:
            close()

        cast("_Signal", signals.worker_process_shutdown).connect(
            worker_ends, weak=False, dispatch_uid=_CELERY_ID
        )


def notice_forks(start_clean: Callable[[], None]) -> None:
    """Have a function called in processes that uWSGI forks: it tells Python nothing by default."""
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None:
        return
    previous = getattr(uwsgi, "post_fork_hook", None)
    if isinstance(previous, _PostFork):
        return
    try:
        # It would put its own hook in the place of ours where it is imported later.
        chain = importlib.import_module("uwsgidecorators").postfork_chain
    except Exception:  # noqa: BLE001  # it raises a bare one where there is no master process
        uwsgi.post_fork_hook = _PostFork(start_clean, previous)  # type: ignore[attr-defined]  # it is made so
    else:
        if not any(isinstance(each, _PostFork) for each in chain):
            chain.insert(0, _PostFork(start_clean, None))


class _PostFork:
    """What uWSGI calls in a worker: ours first, so that the others find a clean data plane."""

    def __init__(
        self, start_clean: Callable[[], None], previous: Callable[[], object] | None
    ) -> None:
        self._start_clean = start_clean
        self._previous = previous

    def __call__(self) -> None:
        self._start_clean()
        if self._previous is not None:
            self._previous()

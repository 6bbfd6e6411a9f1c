"""The mark on a thread that runs below a librdkafka call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["client_call", "forget_client_calls", "is_inside_client_call"]


class _Inside(threading.local):
    client_call = False


_inside = _Inside()


@contextmanager
def client_call() -> Iterator[None]:
    """Mark this thread as being inside a librdkafka call, under which nothing of ours polls.

    A nested poll, for example by a delivery callback or a signal handler that publishes, would
    abort the process.
    """
    before = _inside.client_call
    _inside.client_call = True
    try:
        yield
    finally:
        _inside.client_call = before


def is_inside_client_call() -> bool:
    """Whether this thread runs below a librdkafka call."""
    return _inside.client_call


def forget_client_calls() -> None:
    """Take the mark from this thread in a forked process: the call was to the parent's client."""
    _inside.client_call = False

"""A wait that ends in time, for a client whose waits may not."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Flusher"]


class Flusher:
    """Waits inside librdkafka, so that nobody else has to.

    Only while somebody does, librdkafka sends without regard to ``linger.ms``. But it waits until a
    time of the wall clock: where that is set back by an hour, it waits for an hour more, and lets
    no Ctrl-C through. Then it holds up the thread that this is for, and those who flush go on by
    monotonic time.

    Args:
        flush: Waits inside librdkafka for some seconds, and contains what goes wrong there.
    """

    def __init__(self, flush: Callable[[float], object]) -> None:
        self._flush = flush
        self._changed = threading.Condition()
        self._wanted = 0.0
        self._is_stopping = False
        self._thread = threading.Thread(
            target=self._serve, name="experiment-kafka-flush", daemon=True
        )
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Have the client flush; return when it may have done so, after ``seconds`` at the latest.

        Whether it has is to be seen by asking the client.
        """
        with self._changed:
            self._wanted = max(self._wanted, seconds)
            self._changed.notify_all()
            self._changed.wait(seconds)

    def _serve(self) -> None:
        while (seconds := self._next_wait()) is not None:
            self._flush(seconds)
            with self._changed:
                self._changed.notify_all()

    def _next_wait(self) -> float | None:
        """Wait until somebody wants a flush, and say how long a one; None when it is over."""
        with self._changed:
            while not self._wanted and not self._is_stopping:
                self._changed.wait()
            seconds, self._wanted = self._wanted, 0.0
            return None if self._is_stopping else seconds

    def stop(self, timeout: float) -> None:
        """End the thread; one that is held up ends as soon as it can."""
        with self._changed:
            self._is_stopping = True
            self._flush = _do_nothing  # whose object refers to this one
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)


def _do_nothing(_seconds: float) -> None:
    """Stand for a client that is let go of."""

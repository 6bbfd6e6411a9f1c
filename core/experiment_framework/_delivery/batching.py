"""Cuts what waits into batches that a sink takes at once."""

from __future__ import annotations

from collections import deque

from experiment_framework.envelope import Record

__all__ = ["Cutter"]

GROWS_AFTER = 100
"""Batches in a row that were not too large before larger ones are tried again."""


class Cutter:
    """Takes batches off the head of a queue, in order, within limits that the sink may narrow.

    Args:
        most_records: Most records in one batch.
        most_bytes: Most bytes in one batch; a single larger record is a batch of its own.
    """

    def __init__(self, most_records: int, most_bytes: int) -> None:
        self._most_records = most_records
        self._most_bytes = most_bytes
        self._limit = most_records
        self._fitting = 0

    @property
    def limit(self) -> int:
        """Most records in the next batch."""
        return self._limit

    def is_full(self, records: int, size: int) -> bool:
        """Whether so many records with so many bytes are a whole batch."""
        return records >= self._limit or size >= self._most_bytes

    def cut(self, queue: deque[Record]) -> tuple[list[Record], int]:
        """Take the next batch; give it and its bytes. Others may append to the queue meanwhile."""
        batch: list[Record] = []
        size = 0
        for _ in range(min(self._limit, len(queue))):
            grown = size + len(queue[0].body)
            if batch and grown > self._most_bytes:
                break
            size = grown
            batch.append(queue.popleft())
        return batch, size

    def fitted(self) -> None:
        """Note that a batch was not too large; after many, try larger ones again."""
        if self._limit < self._most_records:
            self._fitting += 1
            if self._fitting >= GROWS_AFTER:
                self._fitting = 0
                self._limit = min(self._limit * 2, self._most_records)

    def did_not_fit(self, records: int) -> None:
        """Note that so many records were too many: the next batches have half of them."""
        self._fitting = 0
        self._limit = max(1, min(self._limit, records // 2))

"""Writes batches, and finds the rows that a database refuses so that the others arrive."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain

from experiment_framework.plugin import BatchFailure, Permanent, Record, Retryable

from experiment_framework_sql.database import Database
from experiment_framework_sql.inserting import Insert
from experiment_framework_sql.rows import Row

__all__ = ["Writer"]


class Writer:
    """Writes records in order, a transaction for each part of a batch.

    Attributes:
        rows: How many rows were written.
        repeats: How many records were left out because they were there.

    Args:
        database: Where to.
        insert: How.
        make_row: What makes a row of a record.
        batch_size: Most rows in a transaction.
    """

    def __init__(
        self,
        database: Database,
        insert: Insert,
        make_row: Callable[[Record], Row],
        *,
        batch_size: int,
    ) -> None:
        self._database = database
        self._insert = insert
        self._make_row = make_row
        self._batch_size = batch_size
        self.rows = 0
        self.repeats = 0

    def write(self, records: Sequence[Record]) -> None:
        """Write them; a part with a row that is refused is written in halves, down to that row.

        Raises:
            Permanent: Some can never be written; all others are.
            Retryable: The database cannot be used now; it names those that are not written.
            ExceptionGroup: Of both.
        """
        size = self._batch_size
        parts = deque(records[start : start + size] for start in range(0, len(records), size))
        refused: dict[str, list[Record]] = {}
        while parts:
            part = parts.popleft()
            try:
                self._write_part(part)
            except Exception as error:  # noqa: BLE001  # a driver may raise anything
                trouble = self._database.explain(error)
            else:
                continue
            if trouble.kind != "row":
                left = [*part, *chain.from_iterable(parts)]
                _raise(refused, Retryable(trouble.reason, left))
            if len(part) == 1:
                refused.setdefault(trouble.reason, []).extend(part)
            else:
                middle = len(part) // 2
                parts.extendleft([part[middle:], part[:middle]])
        if refused:
            _raise(refused)

    def _write_part(self, records: Sequence[Record]) -> None:
        make_row = self._make_row
        rows = [make_row(record) for record in records]
        with self._database.transaction(writes=True) as connection:
            written = self._insert(connection, rows)
        # Some drivers do not know; -1 is what they say then.
        written = len(rows) if written < 0 else written
        self.rows += written
        self.repeats += len(rows) - written


def _raise(refused: dict[str, list[Record]], interruption: Retryable | None = None) -> None:
    failures: list[BatchFailure] = [Permanent(reason, lost) for reason, lost in refused.items()]
    if interruption is not None:
        failures.append(interruption)
    # Not chained: the database's own error quotes the rows.
    if len(failures) == 1:
        raise failures[0] from None
    raise ExceptionGroup("some records could not be written", failures) from None

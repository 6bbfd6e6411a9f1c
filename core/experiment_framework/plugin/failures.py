"""What a ``write_batch`` raises to say which records it could not write, and whether ever.

Any other exception stands for a `Retryable` about the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from experiment_framework.envelope import Record
from experiment_framework.errors import DeliveryError

__all__ = ["BatchFailure", "BatchTooLarge", "Permanent", "Retryable"]


class BatchFailure(DeliveryError):  # noqa: N818  # as those below, which say what may be done
    """Base of what a ``write_batch`` says about records that it could not write.

    Raise one of the classes below, or an ``ExceptionGroup`` of several of them where some records
    may be tried again and others not.

    Args:
        reason: Why, in a few words.
        records: Those of the batch that it is about, the very objects that were given; all others
            count as delivered. None for the whole batch.

    Attributes:
        reason: As given.
        records: As given, as a tuple.
    """

    def __init__(self, reason: str, records: Sequence[Record] | None = None) -> None:
        self.reason = reason
        self.records = None if records is None else tuple(records)
        super().__init__(reason)


class Retryable(BatchFailure):  # it says what may be done, and reads so where raised
    """These records may well be written later: core tries again, in order."""


class Permanent(BatchFailure):  # it says what may be done, and reads so where raised
    """These records can never be written: core gives them up and goes on with the others."""


class BatchTooLarge(BatchFailure):  # it says what may be done, and reads so where raised
    """So many records, or bytes, cannot be written at once: core tries with halves.

    A single record that is too large is given up, as with `Permanent`.
    """

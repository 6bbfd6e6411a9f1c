"""What was lost and what came twice, by a look at the topic that shares no code with ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import attrs
from kafka_audit import stored_records
from publishers import Note

__all__ = ["Found", "Row", "accepted", "balance", "found_in", "judge"]

ACCEPTED = ("accepted", "spooled")


@attrs.frozen
class Found:
    """How often each event id is in a topic."""

    counts: Counter[str]

    @property
    def duplicates(self) -> int:
        """Records beyond the first of each id."""
        return self.counts.total() - len(self.counts)


@attrs.frozen
class Row:
    """One fault, and what it cost.

    Attributes:
        fault: What was done.
        events: Ids that were accepted.
        lost: Accepted ids that are neither in the topic nor accounted for.
        accounted: Accepted ids that are not in the topic, for a known reason.
        duplicates: Records in the topic beyond the first of each id.
        seconds: How long it took.
    """

    fault: str
    events: int
    lost: int
    accounted: int
    duplicates: int
    seconds: float


def found_in(servers: str, topic: str) -> Found:
    """Read a topic, whole."""
    stored = stored_records(servers, topic, timeout=60)
    return Found(Counter(record.headers["event-id"].decode() for record in stored))


def accepted(notes: Iterable[Note]) -> set[str]:
    """Give the ids that publish has promised something about."""
    return {note.event_id for note in notes if note.status in ACCEPTED}


def judge(
    fault: str,
    *,
    notes: Iterable[Note],
    found: Found,
    seconds: float,
    explained: Collection[str] = (),
    failed: int = 0,
) -> Row:
    """Compare what was promised with what is there.

    Args:
        fault: What was done.
        notes: What all publishers noted.
        found: What is in the topic.
        seconds: How long it took.
        explained: Ids that may be missing, because the test itself has destroyed them.
        failed: How many more the publishers' own accounts say will never arrive.
    """
    promised = accepted(notes)
    missing = promised - found.counts.keys()
    unexplained = len(missing.difference(explained))
    lost = max(unexplained - failed, 0)
    return Row(
        fault=fault,
        events=len(promised),
        lost=lost,
        accounted=len(missing) - lost,
        duplicates=found.duplicates,
        seconds=seconds,
    )


def balance(stats: dict[str, Any]) -> int:
    """Give what an account of stats has too much on one side; zero where it adds up."""
    ends = ("refused", "disabled", "sampledOut", "failed", "delivered", "pending", "spooled")
    right: int = sum(stats[end] for end in ends) + sum(stats["dropped"].values())
    left: int = stats["offered"] + stats["recovered"]
    return left - right

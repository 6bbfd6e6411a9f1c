"""What was published against what arrived."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec

__all__ = ["Arrival", "Audit", "Findings", "Tally"]


class Arrival(msgspec.Struct, frozen=True):
    """A message as a consumer found it; each partition's arrive in the order of their offsets."""

    key: bytes | None
    partition: int
    headers: dict[str, str]
    body: bytes


class Findings(msgspec.Struct, frozen=True, rename="camel"):
    """What is wrong; all zero where nothing is.

    Attributes:
        missing: Event ids that were accepted and did not arrive.
        duplicated: Messages beyond the first with their event id.
        unexpected: Messages that nobody published, or not with their key.
        keys_out_of_order: Keys whose events did not arrive in the order they were published in.
        keys_on_several_partitions: Keys that the partitioner did not keep together.
        wrong_headers: Messages whose headers do not say what their body says.
    """

    missing: int
    duplicated: int
    unexpected: int
    keys_out_of_order: int
    keys_on_several_partitions: int
    wrong_headers: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not any(msgspec.structs.astuple(self))


class Tally(msgspec.Struct, frozen=True):
    """What the messages say of one variant: subjects exposed, and those of them who converted."""

    exposures: int
    conversions: int


class Audit:
    """Keeps what was published, takes what arrives, and compares.

    It reads the messages by itself: nothing of it relies on the code that wrote them.
    """

    def __init__(self) -> None:
        self._published: dict[bytes, list[str]] = {}
        self._key_of: dict[str, bytes] = {}
        self._arrived: dict[bytes, list[str]] = {}
        self._seen: set[str] = set()
        self._partitions: dict[bytes, set[int]] = {}
        self._counts: Counter[str] = Counter()
        self._exposed: dict[str, set[str]] = {}
        self._converted: dict[str, set[str]] = {}
        self.arrivals = 0

    @property
    def published(self) -> int:
        """How many events were accepted."""
        return len(self._key_of)

    @property
    def keys(self) -> int:
        """How many keys they have."""
        return len(self._published)

    @property
    def partitions(self) -> int:
        """How many partitions messages arrived from."""
        return len(set().union(*self._partitions.values()))

    def expect(self, key: str, event_id: str) -> None:
        """Note that an event with this key was accepted."""
        self._published.setdefault(key.encode(), []).append(event_id)
        self._key_of[event_id] = key.encode()

    def take(self, arrival: Arrival) -> None:
        """Check one message by itself and remember where it belongs."""
        self.arrivals += 1
        envelope = _envelope(arrival.body)
        event_id = envelope.get("eventId", "")
        if arrival.key is None or self._key_of.get(event_id) != arrival.key:
            self._counts["unexpected"] += 1
            return
        if arrival.headers != _expected_headers(envelope):
            self._counts["wrong_headers"] += 1
        if event_id in self._seen:
            self._counts["duplicated"] += 1
            return
        self._seen.add(event_id)
        self._arrived.setdefault(arrival.key, []).append(event_id)
        self._partitions.setdefault(arrival.key, set()).add(arrival.partition)
        self._count(envelope["eventType"], envelope["payload"])

    def findings(self) -> Findings:
        """Compare everything that arrived with everything that was published."""
        return Findings(
            missing=len(self._key_of) - len(self._seen),
            duplicated=self._counts["duplicated"],
            unexpected=self._counts["unexpected"],
            keys_out_of_order=sum(
                arrived != self._published_and_seen(key) for key, arrived in self._arrived.items()
            ),
            keys_on_several_partitions=sum(len(found) > 1 for found in self._partitions.values()),
            wrong_headers=self._counts["wrong_headers"],
        )

    def tally(self, variant: str) -> Tally:
        """Sum up a variant out of what arrived, each subject once."""
        exposed = self._exposed.get(variant, set())
        return Tally(len(exposed), len(exposed & self._converted.get(variant, set())))

    def _published_and_seen(self, key: bytes) -> list[str]:
        return [event_id for event_id in self._published[key] if event_id in self._seen]

    def _count(self, event_type: str, payload: dict[str, Any]) -> None:
        if event_type == "Exposure":
            group = self._exposed
        elif event_type == "Outcome" and payload["value"]:
            group = self._converted
        else:
            return
        group.setdefault(payload["variantKey"], set()).add(payload["subjectId"])


def _envelope(body: bytes) -> dict[str, Any]:
    try:
        envelope = json.loads(body)
    except ValueError:
        return {}
    return envelope if isinstance(envelope, dict) else {}


def _expected_headers(envelope: dict[str, Any]) -> dict[str, str]:
    headers = {
        "event-id": envelope["eventId"],
        "event-type": envelope["eventType"],
        "schema-version": envelope["schemaVersion"],
    }
    if envelope["correlationId"] is not None:
        headers["correlation-id"] = envelope["correlationId"]
    return headers

"""JSON behind the id of its schema, as Confluent's own clients read and write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from experiment_framework.events import EVENT_TYPES
from experiment_framework.plugin import (
    Encoded,
    Encoder,
    EncodingError,
    Health,
    Problem,
    QueueFullError,
    Record,
)

from experiment_framework_kafka.schema_registry.checks import check_options
from experiment_framework_kafka.schema_registry.options import SchemaRegistryOptions
from experiment_framework_kafka.schema_registry.registration import Registration

__all__ = ["SchemaRegistryJsonEncoder"]

_FRAMES: Final = {0: 5, 1: 17}
"""By their first byte, how long the frames are: before an id of 4 bytes, before one of 16."""


class SchemaRegistryJsonEncoder(Encoder[SchemaRegistryOptions]):
    """Puts the id of our published JSON Schema before each record's JSON.

    The schemas are registered when the data plane is made, and the registry is not needed any more
    once it has answered for all event types. Until then there is no room for events.
    """

    def __init__(self, options: SchemaRegistryOptions) -> None:
        super().__init__(options)
        self._registration: Registration | None = None
        self._prefixes: Mapping[tuple[str, str], bytes] = {}

    def check(self) -> Iterator[Problem]:
        """Find contradictions, unreadable files, a library that is missing."""
        return check_options(self.options)

    def open(self, destinations: Mapping[str, str]) -> None:
        """Begin to register, and wait for it as long as ``startTimeoutMs`` says."""
        known = {kind: topic for kind, topic in destinations.items() if kind in EVENT_TYPES}
        self._registration = Registration(self.options, known)
        self._prefixes = self._registration.prefixes
        self._registration.wait(self.options.start_timeout_ms / 1000)

    def encode(self, record: Record, destination: str) -> Encoded:
        """Put the frame before a record's JSON.

        Raises:
            QueueFullError: The registry has not given the id of its schema yet.
            EncodingError: There is no schema of its type.
        """
        prefix = self._prefixes.get((record.event_type, destination))
        if prefix is not None:
            return Encoded(prefix + record.body)
        if record.event_type not in EVENT_TYPES:
            raise EncodingError(f"there is no schema of the event type {record.event_type}")
        trouble = "" if self._registration is None else self._registration.trouble
        raise QueueFullError(trouble or "the encoder is not open")

    def decode(self, body: bytes) -> bytes:
        """Take the frame away; what has none was written before there was a registry.

        Raises:
            EncodingError: The frame is of a kind that is not known.
        """
        if body[:1] == b"{":
            return body
        length = _FRAMES.get(body[0]) if body else None
        if length is None or len(body) < length:
            raise EncodingError("neither JSON nor in the framing of a schema registry")
        return body[length:]

    def health(self) -> Health:
        """Say what the registry has not answered for."""
        registration = self._registration
        trouble = "" if registration is None else registration.trouble
        return Health.judge(
            unhealthy=(trouble,) if trouble else (),
            details={
                "schemaIds": {
                    kind: int.from_bytes(prefix[1:5], "big")
                    for (kind, _), prefix in tuple(self._prefixes.items())
                }
            },
        )

    def close(self, timeout: float) -> None:
        """Ask the registry no more."""
        if self._registration is not None:
            self._registration.stop(timeout)

    def after_fork(self) -> None:
        """Keep the ids that are known; ask for the others from this process."""
        if self._registration is not None:
            self._registration = self._registration.in_this_process()
            self._prefixes = self._registration.prefixes

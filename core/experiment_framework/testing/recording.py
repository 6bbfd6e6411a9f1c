"""A backplane that remembers, and a data plane over it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from experiment_framework.dataplane import DataPlane
from experiment_framework.plugin import Backplane, Envelope, Health, Record, decode, options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from experiment_framework.dataplane_options import DataPlaneOptions
    from experiment_framework.events import Event
    from experiment_framework.plugin import Step
    from experiment_framework.results import DeliveryReport

__all__ = ["RecordedPlane", "RecordingBackplane"]


@options
class RecordingOptions:
    """A recording backplane has no options."""


class RecordingBackplane(Backplane[RecordingOptions]):
    """Keeps every record in memory, in the order of publication, and delivers at once."""

    def __init__(self, options: RecordingOptions | None = None) -> None:
        super().__init__(options or RecordingOptions())
        self._records: list[Record] = []
        self._lock = threading.Lock()

    @property
    def records(self) -> tuple[Record, ...]:
        """All records so far, oldest first."""
        with self._lock:
            return tuple(self._records)

    @property
    def envelopes(self) -> tuple[Envelope, ...]:
        """All records so far, decoded: ``payload`` is the typed event."""
        return tuple(decode(record.body) for record in self.records)

    def publish(self, record: Record) -> None:
        """Keep a record."""
        with self._lock:
            self._records.append(record)
        self.context.delivered(record)

    def health(self) -> Health:
        """Say how many there are."""
        return Health(details={"records": len(self._records)})

    def after_fork(self) -> None:
        """Begin anew: the parent's events are the parent's."""
        self._records = []
        self._lock = threading.Lock()


class RecordedPlane(DataPlane):
    """A data plane that remembers what was published, for the tests of an application.

    The fixture ``recorded_plane`` gives one that is closed when the test ends.

    Args:
        options: As of `DataPlane`.
        steps: As of `DataPlane`.
        on_drop: As of `DataPlane`.
        on_delivery: As of `DataPlane`.

    Attributes:
        recording: Its backplane.
    """

    def __init__(
        self,
        options: DataPlaneOptions | None = None,
        *,
        steps: Sequence[Step[Any]] = (),
        on_drop: Callable[[Record, str], object] | None = None,
        on_delivery: Callable[[DeliveryReport], object] | None = None,
    ) -> None:
        self.recording = RecordingBackplane()
        super().__init__(
            self.recording, options, steps=steps, on_drop=on_drop, on_delivery=on_delivery
        )

    @property
    def envelopes(self) -> tuple[Envelope, ...]:
        """What was published and left by no step, in order."""
        return self.recording.envelopes

    @property
    def events(self) -> tuple[Event, ...]:
        """The typed events of `envelopes`."""
        return tuple(
            envelope.payload
            for envelope in self.envelopes
            if not isinstance(envelope.payload, dict)  # of a newer version: published as a dict
        )

"""What takes records somewhere durable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from experiment_framework.envelope import Record
from experiment_framework.errors import HookError
from experiment_framework.plugin.options import options_argument

__all__ = ["Backplane", "Context", "Provisioned", "Query", "Stored"]

O = TypeVar("O")  # noqa: E741  # the options class


class Context(Protocol):
    """What a backplane is given by the data plane that it serves.

    Attributes:
        max_queue_size: How many records may wait at once (``dataPlane.maxQueueSize``).
        max_queue_bytes: How many bytes may wait at once (``dataPlane.maxQueueBytes``).
        report_each: Whether each delivery has to be reported by `delivered`. Where it is False, a
            backplane may report failures only and count what is `Backplane.outstanding`.
    """

    @property
    def max_queue_size(self) -> int:
        """How many records may wait at once."""

    @property
    def max_queue_bytes(self) -> int:
        """How many bytes may wait at once."""

    @property
    def report_each(self) -> bool:
        """Whether each delivery has to be reported."""

    def delivered(self, record: Record) -> None:
        """Report that a record is durable. Cheap; may be called from any thread."""

    def delivered_all(self, records: Sequence[Record]) -> None:
        """Report that records are durable: what `delivered` does, for less, where several are."""

    def failed(self, record: Record, reason: str, *, retryable: bool = False) -> None:
        """Report that a record was given up, and why. Cheap; from any thread.

        Args:
            record: The record.
            reason: Why, in a few words.
            retryable: Whether it may well arrive if it is sent again later: with a spool, it is.
        """


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which records to read back.

    Attributes:
        event_types: Wire names of the types wanted; None for all.
        experiment_name: Only this experiment.
        variant_key: Only this variant.
        since: Only records whose event happened at or after this moment.
        until: Only records whose event happened before this moment.
        follow: Go on and wait for new records; otherwise end where the data ends.
        idle_timeout: End after this many seconds without a record, even where ``follow`` is set.
        from_start: Begin with the oldest record; otherwise with what arrives from now on.
        after: What an earlier read has given already: for each part the `Stored.position` that was
            seen last there. Only what follows it is wanted, and all of a part that is not named.
            For backplanes that give positions; it stands in place of ``from_start``.
    """

    event_types: frozenset[str] | None = None
    experiment_name: str | None = None
    variant_key: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    follow: bool = False
    from_start: bool = True
    idle_timeout: float | None = None
    after: Mapping[str, str] | None = None

    def matches(self, record: Record) -> bool:
        """Whether a record is one of those asked for, by what a record knows of itself."""
        return (
            (self.event_types is None or record.event_type in self.event_types)
            and (self.experiment_name is None or record.experiment_name == self.experiment_name)
            and (self.variant_key is None or record.variant_key == self.variant_key)
            and (self.since is None or record.timestamp >= self.since)
            and (self.until is None or record.timestamp < self.until)
        )


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it was found where a backplane keeps it.

    Attributes:
        body: The envelope's bytes as stored; possibly not one of ours.
        place: Where, for a person: ``experiment-exposures[2]@17`` or ``events.jsonl:17``.
        headers: What travelled beside the body.
        key: What it was ordered by, where the backplane has such a thing.
        position: Where to go on after this record: the part that it is in (a partition, a file,
            empty where there is but one) and a text that means something to the backplane only,
            for `Query.after`. Going on from there must give all that this read would give, now or
            later; rather again what was given than too little. None where a backplane has none.
    """

    body: bytes
    place: str
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    key: bytes | None = None
    position: tuple[str, str] | None = None


class Provisioned(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that `Backplane.provision` looked after.

    Attributes:
        name: What it is, such as ``topic experiment-exposures``.
        action: ``created``, ``exists`` or ``failed``.
        detail: Partitions, or why it failed.
    """

    name: str
    action: str
    detail: str = ""


class Backplane(Generic[O]):
    """Base of all backplanes that are classes: every public method is a hook.

    Implement `write_batch` for a sink that is a plain blocking call: core gives it the bounded
    queue, the batches and the shutdown. Implement `publish` for a client that queues by itself.
    All other hooks are optional. A subclass names its options class: ``Backplane[MyOptions]``.

    The constructor must not connect, start a thread or touch a file: `open` does.
    """

    options_class: ClassVar[type[Any]]
    api_version: ClassVar[str]
    """The version of the plugin API that a subclass was written for, where it says so."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if (found := options_argument(cls, Backplane)) is not None:
            cls.options_class = found

    def __init__(self, options: O) -> None:
        self.options = options
        self._context: Context | None = None

    @property
    def context(self) -> Context:
        """What the data plane offers; there from `open` on."""
        if self._context is None:
            name = type(self).__name__
            raise HookError(name, f"{name} has no context before it is opened by a data plane")
        return self._context

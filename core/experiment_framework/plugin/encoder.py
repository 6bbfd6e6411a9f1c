"""What makes the bytes on the wire of a record, and reads them back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from experiment_framework._problems import Problem
from experiment_framework.envelope import Record
from experiment_framework.health import Health
from experiment_framework.plugin.options import options_argument

__all__ = ["Encoded", "Encoder"]

O = TypeVar("O")  # noqa: E741  # the options class


class Encoded(NamedTuple):
    """A record as it goes over the wire.

    Attributes:
        body: The bytes.
        headers: What travels beside them, besides the record's own headers.
    """

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Encoder(Generic[O]):
    """Base of all encoders: what ``dataPlane.encoding`` names, other than ``json``.

    A record keeps its envelope as JSON everywhere inside: in the queue, in the spool, in dead
    letters. An encoder is asked when the record is handed to the backplane's client, and again when
    the backplane reads; so what waits on disk can be sent in another encoding later. Only a
    backplane with the hook ``encode_with`` can be used with one.

    A subclass names its options class, ``Encoder[MyOptions]``; what stands beside ``type`` are its
    options. Its entry point is in the group ``experiment_framework.encoders``. The constructor must
    not connect or start a thread: `open` does.
    """

    options_class: ClassVar[type[Any]]
    api_version: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if (found := options_argument(cls, Encoder)) is not None:
            cls.options_class = found

    def __init__(self, options: O) -> None:
        self.options = options

    def check(self) -> Iterable[Problem]:
        """Find what is wrong between the options, offline; paths start at the options."""
        return ()

    def open(self, destinations: Mapping[str, str]) -> None:
        """Get ready, within a time that the options bound; what is not ready then goes on aside.

        Called once, by the backplane, when it is opened.

        Args:
            destinations: For each event type where its records go, such as a topic.
        """

    def encode(self, record: Record, destination: str) -> Encoded:  # noqa: ARG002  # for subclasses
        """Make the bytes of a record, in the thread that publishes: never wait for anything.

        Args:
            record: The record; its ``body`` is the envelope as JSON.
            destination: Where it goes.

        Raises:
            QueueFullError: It cannot be made yet: ``failureMode`` decides what happens.
            EncodingError: It can never be made.
        """
        return Encoded(record.body)

    def decode(self, body: bytes) -> bytes:
        """Give the envelope as JSON; bytes that are not of this encoding as they are.

        Raises:
            EncodingError: They cannot be read.
        """
        return body

    def health(self) -> Health:
        """Say whether records can be encoded, from what is known: never wait."""
        return Health()

    def close(self, timeout: float) -> None:
        """Let go of everything within ``timeout`` seconds; nothing is encoded any more."""

    def after_fork(self) -> None:
        """Let go of the parent process's resources. Called once in the child, never in it."""

"""A step between ``publish`` and the backplane."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from experiment_framework.envelope import Envelope
from experiment_framework.plugin.options import options_argument

__all__ = ["Phase", "SampledOut", "Step"]

O = TypeVar("O")  # noqa: E741  # the options class


class Phase(IntEnum):
    """When a step runs; redaction is last, so that nothing after it sees what it removed."""

    DECIDE = 1
    ENRICH = 2
    DEDUPE = 3
    REDACT = 4


class SampledOut(msgspec.Struct, frozen=True):
    """The answer of a step that leaves an event out on purpose; counted, with its reason."""

    reason: str


class Step(Generic[O]):
    """Base of all pipeline plugins: an envelope in, an envelope out, before it is encoded.

    A subclass names its options class (``Step[SamplingOptions]``), whose fields are the keys it
    owns under ``dataPlane``, and implements ``apply(envelope) -> Envelope | SampledOut``; a changed
    copy is ``msgspec.structs.replace(envelope, metadata=…)``. Each key has an entry point of its
    name in the group ``experiment_framework.plugins``.
    """

    phase: ClassVar[Phase]
    options_class: ClassVar[type[Any]]
    api_version: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if (found := options_argument(cls, Step)) is not None:
            cls.options_class = found

    def __init__(self, options: O) -> None:
        self.options = options

    def is_active(self) -> bool:
        """Whether the step does anything with these options; one that does not costs nothing."""
        return True

    def apply(self, envelope: Envelope) -> Envelope | SampledOut:
        """Take an envelope; give it back, a changed copy, or the reason to leave it out."""
        return envelope

"""A step between ``publish`` and the backplane."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, ClassVar, Generic, TypeVar, get_args

import msgspec

from experiment_framework.events import Event

__all__ = ["Draft", "Phase", "SampledOut", "Step"]

O = TypeVar("O")  # noqa: E741  # the options class


class Phase(IntEnum):
    """When a step runs; redaction is last, so that nothing after it sees what it removed."""

    DECIDE = 1
    ENRICH = 2
    DEDUPE = 3
    REDACT = 4


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way through the pipeline, before it is encoded.

    A step gives a changed copy: ``msgspec.structs.replace(draft, metadata=…)``.
    """

    event: Event
    event_id: str
    correlation_id: str | None
    metadata: dict[str, Any]


class SampledOut(msgspec.Struct, frozen=True):
    """The answer of a step that leaves an event out on purpose; counted, with its reason."""

    reason: str


class Step(Generic[O]):
    """Base of all pipeline plugins.

    The entry point's name is the key under ``dataPlane`` that selects the plugin; one that owns
    several keys has an entry point for each. The fields of the options class are those keys.
    """

    phase: ClassVar[Phase]
    options_class: ClassVar[type[Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type):
                    cls.options_class = argument

    def __init__(self, options: O) -> None:
        self.options = options

    def is_active(self) -> bool:
        """Whether the step does anything with these options; one that does not costs nothing."""
        return True

    def apply(self, draft: Draft) -> Draft | SampledOut:
        """Take a draft, give it back, a changed copy, or the reason to leave it out."""
        raise NotImplementedError

"""The typed facts an application publishes.

Fields are checked where an event is built, so that a mistake shows in the caller's own line.
Each class is the only declaration of its event: the checks, the wire names (camelCase) and the
JSON Schemas come from its annotations, the descriptions in the schemas from its docstring.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, final

import msgspec

from experiment_framework._event_fields import Field, compile_quick_check, fields_of, settle

__all__ = [
    "EVENT_TYPES",
    "AnalysisSignal",
    "Assignment",
    "AssignmentPolicy",
    "ErrorEvent",
    "Event",
    "Exposure",
    "Outcome",
    "OutcomeType",
    "Severity",
    "SignalType",
]

AssignmentPolicy: TypeAlias = Literal[
    "BestEffort", "SessionSticky", "SubjectSticky", "GloballySticky"
]
OutcomeType: TypeAlias = Literal["Binary", "Continuous", "Count", "Duration"]
SignalType: TypeAlias = Literal[
    "SampleRatioMismatch",
    "SequentialCheckpoint",
    "PeekingWarning",
    "MinimumSampleReached",
    "PowerThresholdMet",
    "Custom",
]
Severity: TypeAlias = Literal["Info", "Warning", "Error"]


def _now() -> datetime:
    return datetime.now(UTC)


def _written(default: str) -> Any:
    """Declare a default that is written to the wire, where msgspec leaves a plain one out."""
    return msgspec.field(default_factory=default.__str__)


def _prepare(event: "Event") -> bool:
    """Make the checks of a class when its first event is built: an import does not wait for it."""
    cls = type(event)
    if cls is Event:
        raise TypeError("Event is the base of all events; build an Exposure, Outcome, …")
    cls._fields = fields_of(cls)
    cls._needs_no_settling = compile_quick_check(cls._fields)
    return cls._needs_no_settling(event)


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of all events: immutable, checked when it is built, compared by value.

    A field that is None is left out on the wire. Attributes of an event may hold whatever has a
    JSON form; they are read when the event is published. A changed copy is made by
    ``msgspec.structs.replace``. The event types are the wire format, so there is no subclassing.

    Attributes:
        timestamp: When it happened. By default now; any time zone is taken and turned to UTC.
        extra: Fields that a newer minor version of the wire format has and this one does not, by
            wire name; they are written again as they were read.

    Raises:
        EventError: A value is not of its field's type; ``field`` names it.
    """

    event_type: ClassVar[str]
    _fields: ClassVar[tuple[Field, ...]]
    _needs_no_settling: ClassVar[Callable[[Any], bool]] = _prepare
    _absent: ClassVar[None] = None

    timestamp: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(default_factory=_now)
    extra: dict[str, Any] | None = msgspec.field(default=None, name="$extra")

    def __init_subclass__(cls) -> None:
        if cls.__module__ != __name__:
            raise TypeError(
                f"{cls.__name__}: events cannot be subclassed, their types are the wire format; "
                "put fields of your own into attributes"
            )

    def __post_init__(self) -> None:
        if not self._needs_no_settling():
            settle(self, self._fields)


@final
class Exposure(Event, frozen=True, kw_only=True):
    """A subject saw a variant.

    Attributes:
        experiment_name: The experiment.
        variant_key: The variant that was seen.
        subject_id: Who or what saw it.
        subject_type: What kind of subject that is, such as user, session or device.
        tenant_id: The tenant that the subject belongs to.
        selection_reason: Why this variant was selected.
        rule_path: The rule that selected it, as a path through the rules.
        assignment_policy: How firmly the subject keeps its variant.
        is_repeat_exposure: Whether the subject had seen this variant before.
        attributes: Whatever else is known about the exposure.
    """

    event_type: ClassVar[str] = "Exposure"

    experiment_name: str
    variant_key: str
    subject_id: str
    subject_type: str | None = None
    tenant_id: str | None = None
    selection_reason: str = _written("unspecified")
    rule_path: str | None = None
    assignment_policy: AssignmentPolicy = _written("BestEffort")
    is_repeat_exposure: bool = msgspec.field(default_factory=bool)
    attributes: dict[str, Any] | None = None


@final
class Assignment(Event, frozen=True, kw_only=True):
    """A subject was given a variant, or moved from one to another.

    Attributes:
        experiment_name: The experiment.
        subject_id: Who or what was given a variant.
        subject_type: What kind of subject that is, such as user, session or device.
        tenant_id: The tenant that the subject belongs to.
        previous_variant_key: The variant it had before.
        new_variant_key: The variant it has now.
        change_reason: Why it was given this variant.
        assignment_policy: How firmly the subject keeps its variant.
        attributes: Whatever else is known about the assignment.
    """

    event_type: ClassVar[str] = "Assignment"

    experiment_name: str
    subject_id: str
    subject_type: str | None = None
    tenant_id: str | None = None
    previous_variant_key: str | None = None
    new_variant_key: str
    change_reason: str
    assignment_policy: AssignmentPolicy = _written("BestEffort")
    attributes: dict[str, Any] | None = None


@final
class Outcome(Event, frozen=True, kw_only=True):
    """What a subject did next, as a number.

    Attributes:
        experiment_name: The experiment.
        variant_key: The variant that the subject had, where it is known.
        subject_id: Who or what did it.
        subject_type: What kind of subject that is, such as user, session or device.
        tenant_id: The tenant that the subject belongs to.
        metric_name: What was measured.
        outcome_type: What kind of number it is.
        value: The number, which is finite; seconds for Duration. True and False are taken as 1 and
            0 for Binary, a ``timedelta`` as seconds for Duration.
        attributes: Whatever else is known about the outcome.
    """

    event_type: ClassVar[str] = "Outcome"

    experiment_name: str
    variant_key: str | None = None
    subject_id: str
    subject_type: str | None = None
    tenant_id: str | None = None
    metric_name: str
    outcome_type: OutcomeType
    value: int | float
    attributes: dict[str, Any] | None = None


@final
class AnalysisSignal(Event, frozen=True, kw_only=True):
    """Whether an experiment's numbers can be trusted, or a checkpoint of its analysis.

    Attributes:
        experiment_name: The experiment.
        signal_type: What was found.
        severity: How much it matters.
        message: The finding in a sentence.
        data: The figures behind it.
    """

    event_type: ClassVar[str] = "AnalysisSignal"

    experiment_name: str
    signal_type: SignalType
    severity: Severity = _written("Info")
    message: str
    data: dict[str, Any] | None = None


@final
class ErrorEvent(Event, frozen=True, kw_only=True):
    """Something failed while an experiment ran; its wire name is ``Error``.

    Attributes:
        experiment_name: The experiment, where one was involved.
        variant_key: The variant that failed.
        subject_id: Who or what it failed for.
        tenant_id: The tenant that the subject belongs to.
        error_type: What kind of error it was, such as the name of an exception's class.
        message: What went wrong.
        stack_trace: Where it went wrong.
        fallback_variant_key: The variant that was used instead.
        attributes: Whatever else is known about the error.
    """

    event_type: ClassVar[str] = "Error"

    experiment_name: str | None = None
    variant_key: str | None = None
    subject_id: str | None = None
    tenant_id: str | None = None
    error_type: str
    message: str
    stack_trace: str | None = None
    fallback_variant_key: str | None = None
    attributes: dict[str, Any] | None = None


EVENT_TYPES: dict[str, type[Event]] = {
    cls.event_type: cls for cls in (Exposure, Assignment, Outcome, AnalysisSignal, ErrorEvent)
}
"""Event classes by their wire name."""

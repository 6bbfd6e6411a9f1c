"""What a person may say about the data plane itself, under ``dataPlane``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from experiment_framework._problems import Problem
from experiment_framework.plugin.options import option, options

__all__ = [
    "DataPlaneOptions",
    "DeadLetterOptions",
    "DeliveryOptions",
    "FailureMode",
    "FailureModes",
    "SpoolOptions",
    "check_delivery",
]

FailureMode: TypeAlias = Literal["drop", "block", "spool"]


@options
class FailureModes:
    """What happens to events of each type when there is no room for them."""

    default: FailureMode | None = option(
        default=None,
        help="For every type that is not named; by default `drop`, and `spool` where a spool is "
        "declared.",
    )
    exposures: FailureMode | None = option(default=None, help="For Exposure events.")
    assignments: FailureMode | None = option(default=None, help="For Assignment events.")
    outcomes: FailureMode | None = option(default=None, help="For Outcome events.")
    analysis_signals: FailureMode | None = option(default=None, help="For AnalysisSignal events.")
    errors: FailureMode | None = option(default=None, help="For Error events.")


@options
class SpoolOptions:
    """Where and how records wait on local disk until the backplane has them."""

    directory: Annotated[Path, Meta(examples=["spool"])] = option(
        help="Folder for the records; processes may share it, each has a folder of its own below."
    )
    mode: Literal["overflow", "writeAhead"] = option(
        default="overflow",
        help="`overflow` keeps only what the backplane could not take; `writeAhead` writes every "
        "record before `publish` accepts it.",
    )
    max_bytes: Annotated[int, Meta(ge=1024 * 1024, le=2**50)] = option(
        default=1024**3,
        help="Most bytes that one process keeps on disk; processes that share the directory have "
        "so many each.",
    )
    when_full: Literal["reject", "dropOldest"] = option(
        default="reject",
        help="Which records are dropped beyond `maxBytes`: `reject` the new ones, `dropOldest` "
        "those that have waited longest.",
    )
    fsync: Literal["group", "always", "never"] = option(
        default="group",
        help="What a power cut may take: `group` what was written within the last instant, "
        "`always` nothing, `never` what the operating system had not written yet. A killed process "
        "loses nothing in any of them.",
    )
    replay_per_second: Annotated[int, Meta(ge=1, le=10_000_000)] = option(
        default=100_000, help="Most records a second that are sent from disk."
    )


@options
class DeadLetterOptions:
    """Where records go that can never be delivered, with the reason."""

    path: Annotated[Path, Meta(examples=["dead-letters.jsonl"])] = option(
        help="File that is appended to, one JSON object with `reason` and `envelope` a line."
    )
    max_bytes: Annotated[int, Meta(ge=1024, le=2**50)] = option(
        default=256 * 1024 * 1024, help="Size in bytes beyond which nothing more is written to it."
    )


@options
class DeliveryOptions:
    """What stands between `publish` and one backplane: its queue, its batches, its disk."""

    batch_size: Annotated[int, Meta(ge=1, le=100_000)] = option(
        default=500,
        help="Most records in one batch, for backplanes that core batches for.",
    )
    flush_interval_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = option(
        default=1000,
        help="Longest time in ms that a record waits for its batch to fill, for backplanes that "
        "core batches for.",
    )
    batch_bytes: Annotated[int, Meta(ge=1, le=2**31 - 1)] = option(
        default=4 * 1024 * 1024,
        help="Most bytes in one batch, for backplanes that core batches for; a single larger event "
        "is a batch of its own.",
    )
    retry_deadline_ms: Annotated[int, Meta(ge=0, le=86_400_000)] | None = option(
        default=None,
        help="Longest time in ms for which a batch that failed is tried again, for backplanes that "
        "core batches for; 0 tries once. By default 30000, and 0 where a spool is declared: it "
        "goes to disk at once then, and is tried again from there.",
    )
    retry_backoff_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = option(
        default=100,
        help="Longest pause in ms before a batch is tried again the first time; it doubles with "
        "each further failure, and is drawn at random between 0 and that.",
    )
    retry_backoff_max_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = option(
        default=5000,
        help="Longest pause in ms between two tries. After five failures in a row the sink counts "
        "as down, and is tried no more often than every half of it.",
    )
    failure_mode: FailureMode | FailureModes | None = option(
        default=None,
        help="What happens to an event when there is no room for it: `drop` counts and drops it, "
        "`block` makes `publish` wait for room first, `spool` keeps it on disk. By default `drop`, "
        "and `spool` where a spool is declared. Also a mapping with `default` and a mode for "
        "`exposures`, `assignments`, `outcomes`, `analysisSignals`, `errors`.",
    )
    max_queue_size: Annotated[int, Meta(ge=1, le=10_000_000)] = option(
        default=100_000, help="Most records that wait for the backplane at once."
    )
    max_queue_bytes: Annotated[int, Meta(ge=1024, le=2**31 * 1024 - 1024)] = option(
        default=256 * 1024 * 1024, help="Most bytes that wait for the backplane at once."
    )
    spool: SpoolOptions | None = option(
        default=None, help="Keep records on local disk that the backplane cannot take."
    )
    dead_letters: DeadLetterOptions | None = option(
        default=None, help="Keep records that can never be delivered."
    )

    def batch_retry_seconds(self) -> float:
        """Give the seconds for which a batch that failed is tried again."""
        declared = self.retry_deadline_ms
        if declared is None:
            declared = 30_000 if self.spool is None else 0
        return declared / 1000

    def failure_mode_of(self, event_type: str) -> FailureMode:
        """Give the mode for the events of one type, by the type's wire name.

        A type of a newer release, which has no name here, has the default.
        """
        modes = self.failure_mode
        if isinstance(modes, FailureModes):
            named: FailureMode | None = getattr(modes, _MODE_FIELDS.get(event_type, "default"))
            modes = named or modes.default
        return modes or ("drop" if self.spool is None else "spool")


@options
class DataPlaneOptions(DeliveryOptions):
    """Options of the data plane, whichever backplane it has."""

    enable_exposure_events: bool = option(default=True, help="Publish Exposure events.")
    enable_assignment_events: bool = option(default=True, help="Publish Assignment events.")
    enable_outcome_events: bool = option(default=True, help="Publish Outcome events.")
    enable_analysis_signals: bool = option(default=True, help="Publish AnalysisSignal events.")
    enable_error_events: bool = option(default=True, help="Publish Error events.")
    block_timeout_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = option(
        default=1000,
        help="Longest time in ms that `publish` waits for room with `failureMode: block`.",
    )
    close_timeout_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = option(
        default=10_000,
        help="Time budget in ms of `close` and of the exit of the process, where none is given.",
    )


_MODE_FIELDS: Final = {
    "Exposure": "exposures",
    "Assignment": "assignments",
    "Outcome": "outcomes",
    "AnalysisSignal": "analysis_signals",
    "Error": "errors",
}


def check_delivery(options: DeliveryOptions) -> Iterator[Problem]:
    """Find contradictions between options."""
    is_used = any(options.failure_mode_of(event_type) == "spool" for event_type in _MODE_FIELDS)
    if is_used and options.spool is None:
        yield Problem(
            message="`failureMode: spool` needs to know where",
            path=("failureMode",),
            suggestion="Add `spool: {directory: …}` beside it.",
            involves=(("failureMode",), ("spool",)),
        )
    if options.spool is not None and options.spool.mode == "overflow" and not is_used:
        yield Problem(
            message="a spool is declared, and no event type overflows to it",
            path=("spool",),
            suggestion="Add `failureMode: spool`, for all types or for some, or use "
            "`mode: writeAhead`.",
            involves=(("spool",), ("failureMode",)),
        )

"""What a person may say about the data plane itself, under ``dataPlane``."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from experiment_framework.plugin.options import option, options

__all__ = ["DataPlaneOptions", "FailureMode"]

FailureMode: TypeAlias = Literal["drop", "block"]


@options
class DataPlaneOptions:
    """Options of the data plane, whichever backplane it has."""

    enable_exposure_events: bool = option(default=True, help="Publish Exposure events.")
    enable_assignment_events: bool = option(default=True, help="Publish Assignment events.")
    enable_outcome_events: bool = option(default=True, help="Publish Outcome events.")
    enable_analysis_signals: bool = option(default=True, help="Publish AnalysisSignal events.")
    enable_error_events: bool = option(default=True, help="Publish Error events.")
    batch_size: Annotated[int, Meta(ge=1, le=100_000)] = option(
        default=500,
        help="Most records in one batch, for backplanes that core batches for.",
    )
    flush_interval_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = option(
        default=1000,
        help="Longest time in ms that a record waits for its batch to fill, for backplanes that "
        "core batches for.",
    )
    failure_mode: FailureMode = option(
        default="drop",
        help="What happens to an event when there is no room for it: `drop` counts and drops it, "
        "`block` makes `publish` wait for room first.",
    )
    block_timeout_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = option(
        default=1000,
        help="Longest time in ms that `publish` waits for room with `failureMode: block`.",
    )
    max_queue_size: Annotated[int, Meta(ge=1, le=10_000_000)] = option(
        default=100_000, help="Most records that wait for the backplane at once."
    )
    max_queue_bytes: Annotated[int, Meta(ge=1024, le=2**31 * 1024 - 1024)] = option(
        default=256 * 1024 * 1024, help="Most bytes that wait for the backplane at once."
    )
    close_timeout_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = option(
        default=10_000,
        help="Time budget in ms of `close` and of the exit of the process, where none is given.",
    )

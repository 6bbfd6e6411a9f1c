"""From an event to the record that will be delivered, or to the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from experiment_framework._pipeline import compile_pipeline
from experiment_framework.correlation import current_correlation_id
from experiment_framework.envelope import (
    Envelope,
    Record,
    check_metadata,
    encode,
    encode_wrapped,
    wrap,
)
from experiment_framework.errors import EventError
from experiment_framework.events import EVENT_TYPES, Event
from experiment_framework.results import Receipt

if TYPE_CHECKING:
    from experiment_framework._delivery import ThrottledLog
    from experiment_framework._ledger import Cell
    from experiment_framework._pipeline import Pipeline
    from experiment_framework.dataplane_options import DataPlaneOptions
    from experiment_framework.plugin import Step

__all__ = ["Intake"]

_EVENT_CLASSES: Final = frozenset(EVENT_TYPES.values())


class Intake:
    """Runs the toggles, the pipeline and the encoder, in the thread that publishes.

    Args:
        options: The data plane's options, for the toggles.
        steps: Pipeline plugins.
        log: Where a step that fails is reported.
    """

    def __init__(
        self, options: DataPlaneOptions, steps: Sequence[Step[Any]], log: ThrottledLog
    ) -> None:
        self._disabled = _disabled_types(options)
        self._pipeline = compile_pipeline(steps)
        self._only_encodes = self._pipeline is None and not self._disabled
        self._log = log

    def prepare(
        self,
        cell: Cell,
        event: Event,
        event_id: str | UUID | None,
        correlation_id: str | UUID | None,
        metadata: dict[str, Any] | None,
    ) -> Record | Receipt:
        """Make a record of an event; a receipt where it is to go no further.

        Raises:
            EventError: It cannot be encoded, or is no event; counted as refused.
        """
        try:
            if type(event) not in _EVENT_CLASSES:
                raise _no_event(event)  # noqa: TRY301  # counted below
            if metadata is not None:
                check_metadata(event.event_type, metadata)
            if correlation_id is None:
                correlation_id = current_correlation_id()
            envelope = wrap(event, event_id, correlation_id, metadata)
            record = encode_wrapped(envelope) if self._only_encodes else None
        except BaseException:
            cell.refused += 1
            raise
        if record is None:
            return self.prepare_envelope(cell, envelope)
        cell.note_offered(record)
        return record

    def prepare_envelope(self, cell: Cell, envelope: Envelope) -> Record | Receipt:
        """Make a record of an envelope; a receipt where it is to go no further.

        Raises:
            EventError: It cannot be encoded; counted as refused.
        """
        try:
            if envelope.event_type in self._disabled:
                cell.disabled += 1
                reason = f"{envelope.event_type} is switched off"
                return Receipt(envelope.event_id, "disabled", reason)
            if self._pipeline is not None:
                through = self._through(cell, envelope, self._pipeline)
                if isinstance(through, Receipt):
                    return through
                envelope = through
            record = encode(envelope)
        except BaseException:
            cell.refused += 1
            raise
        cell.note_offered(record)
        return record

    def _through(self, cell: Cell, envelope: Envelope, run: Pipeline) -> Envelope | Receipt:
        try:
            answer = cast("object", run(envelope))
            if isinstance(answer, Envelope):
                return answer
            from experiment_framework.plugin import SampledOut

            if not isinstance(answer, SampledOut):
                raise TypeError(f"a step answered {answer!r:.60}, no Envelope and no SampledOut")  # noqa: TRY301  # as what a step raises
        except EventError:
            raise
        except Exception as error:  # noqa: BLE001  # a step that fails must not let the event pass
            self._log.report("step", "a pipeline step failed: its event is dropped", error)
            cell.note_dropped_unmade("step_failed")
            return Receipt(envelope.event_id, "dropped", "step_failed")
        cell.sampled_out += 1
        return Receipt(envelope.event_id, "sampled_out", answer.reason)


def _disabled_types(options: DataPlaneOptions) -> frozenset[str]:
    enabled = {
        "Exposure": options.enable_exposure_events,
        "Assignment": options.enable_assignment_events,
        "Outcome": options.enable_outcome_events,
        "AnalysisSignal": options.enable_analysis_signals,
        "Error": options.enable_error_events,
    }
    return frozenset(event_type for event_type, is_on in enabled.items() if not is_on)


def _no_event(given: object) -> EventError:
    if isinstance(given, type) and issubclass(given, Event):
        return EventError(given.__name__, "", "is a class; publish an event made of it")
    return EventError(type(given).__name__, "", "is no event; publish an Exposure, Outcome, …")

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from experiment_framework import DataPlane, Envelope, EventError, Exposure
from experiment_framework._pipeline import compile_pipeline
from experiment_framework.plugin import Phase, SampledOut, Step
from sinks import BatchSink, Control, NoOptions

MakePlane = Callable[..., DataPlane]


class Stamp(Step[NoOptions]):
    """Appends its phase to the metadata."""

    def __init__(self, phase: Phase, *, active: bool = True) -> None:
        super().__init__(NoOptions())
        self.phase = phase  # type: ignore[misc]  # one class for every phase
        self._active = active

    def is_active(self) -> bool:
        return self._active

    def apply(self, envelope: Envelope) -> Envelope:
        seen = [*envelope.metadata.get("seen", []), self.phase.name]
        return msgspec.structs.replace(envelope, metadata={"seen": seen})


class Answer(Step[NoOptions]):
    """Gives the answer, or raises the error, that a test wants."""

    phase = Phase.DECIDE

    def __init__(self, answer: object) -> None:
        super().__init__(NoOptions())
        self._answer = answer

    def apply(self, envelope: Envelope) -> Envelope | SampledOut:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer  # type: ignore[return-value]  # a step may be careless


def test_steps_run_in_the_order_of_their_phases(exposure: Exposure) -> None:
    run = compile_pipeline([Stamp(phase) for phase in reversed(Phase)])
    assert run is not None
    answer = run(Envelope.around(exposure))
    assert isinstance(answer, Envelope)
    assert answer.metadata["seen"] == ["DECIDE", "ENRICH", "DEDUPE", "REDACT"]


def test_without_an_active_step_there_is_no_pipeline() -> None:
    assert compile_pipeline([]) is None
    assert compile_pipeline([Stamp(Phase.ENRICH, active=False)]) is None


def test_a_step_that_leaves_an_event_out_ends_its_way(exposure: Exposure) -> None:
    run = compile_pipeline([Stamp(Phase.REDACT), Answer(SampledOut("not this one"))])
    assert run is not None
    assert run(Envelope.around(exposure)) == SampledOut("not this one")


def test_a_sampled_out_event_is_counted_with_its_reason(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    plane = make_plane(sink, steps=[Answer(SampledOut("rate 0.1"))])
    receipt = plane.publish(exposure)
    assert (receipt.status, receipt.reason) == ("sampled_out", "rate 0.1")
    plane.flush(5)
    assert control.records == []
    assert plane.stats().sampled_out == 1


def test_an_event_whose_step_fails_does_not_leave(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> None:
    plane = make_plane(sink, steps=[Answer(ValueError("bug"))])
    receipt = plane.publish(exposure)
    assert (receipt.status, receipt.reason) == ("dropped", "step_failed")
    plane.flush(5)
    assert control.records == []


@pytest.mark.parametrize("answer", [None, True, {"reason": "a"}, "sampled out"])
@pytest.mark.parametrize("others", [0, 1])
def test_an_event_whose_step_answers_something_else_does_not_leave(
    make_plane: MakePlane,
    sink: BatchSink,
    control: Control,
    exposure: Exposure,
    answer: object,
    others: int,
) -> None:
    steps = [Answer(answer), *[Stamp(Phase.REDACT)] * others]
    plane = make_plane(sink, steps=steps)
    receipt = plane.publish(exposure)
    assert (receipt.status, receipt.reason) == ("dropped", "step_failed")
    plane.flush(5)
    assert control.records == []
    stats = plane.stats()
    assert (stats.offered, stats.dropped, stats.pending) == (1, {"step_failed": 1}, 0)


def test_a_step_may_refuse_an_event(
    make_plane: MakePlane, sink: BatchSink, exposure: Exposure
) -> None:
    plane = make_plane(sink, steps=[Answer(EventError("Exposure", "subject_id", "is a card"))])
    with pytest.raises(EventError, match="is a card"):
        plane.publish(exposure)
    assert plane.stats().refused == 1

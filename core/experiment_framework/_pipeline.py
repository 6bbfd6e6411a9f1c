"""The steps between publish and the backplane, put in order once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from experiment_framework.envelope import Envelope

if TYPE_CHECKING:
    from experiment_framework.plugin import SampledOut, Step

    Pipeline: TypeAlias = Callable[[Envelope], Envelope | SampledOut]

__all__ = ["compile_pipeline"]


def compile_pipeline(steps: Sequence[Step[Any]]) -> Pipeline | None:
    """Put the active steps in the order of their phases; None where there is nothing to do."""
    active = sorted((step for step in steps if step.is_active()), key=lambda step: step.phase)
    if not active:
        return None
    if len(active) == 1:
        return active[0].apply
    applies = [step.apply for step in active]

    def run(envelope: Envelope) -> Envelope | SampledOut:
        for apply in applies:
            answer = apply(envelope)
            if not isinstance(answer, Envelope):
                return answer
            envelope = answer
        return envelope

    return run

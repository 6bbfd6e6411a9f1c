"""Subjects who see a variant and then buy, or do not."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from typing import Final, NamedTuple

from experiment_framework import Event, Exposure, Outcome

__all__ = ["EXPERIMENT", "VARIANTS", "Variant", "simulate"]

EXPERIMENT: Final = "checkout-layout"
_METRIC: Final = "purchase"
_REVISITS: Final = 0.15
_LONGEST_VISIT: Final = 200
"""Subjects who arrive between the first and the last event of one, at most."""


class Variant(NamedTuple):
    """An arm of the test, and the rate at which its subjects buy."""

    key: str
    true_rate: float


VARIANTS: Final = (
    Variant("control", 0.110),
    Variant("green-button", 0.114),
    Variant("one-page", 0.138),
)


def simulate(subjects: range, seed: int) -> Iterator[Event]:
    """Give the events of these subjects as they happen; the visits of many overlap.

    Each subject is exposed, may come back and be exposed again, and ends with one outcome. What a
    subject does depends on the seed and its number only.
    """
    due: list[tuple[float, int, int, Event]] = []
    for number in subjects:
        while due and due[0][0] <= number:
            yield heapq.heappop(due)[-1]
        for order, (moment, event) in enumerate(_visit(number, seed)):
            heapq.heappush(due, (number + moment, number, order, event))
    while due:
        yield heapq.heappop(due)[-1]


def _visit(number: int, seed: int) -> Iterator[tuple[float, Event]]:
    chance = random.Random(f"{seed}/{number}")  # noqa: S311  # a simulation that can be repeated
    subject = f"user-{number:06}"
    variant = chance.choice(VARIANTS)
    end = chance.uniform(1, _LONGEST_VISIT)
    yield 0.0, _exposure(subject, variant, is_repeat=False)
    if chance.random() < _REVISITS:
        yield end / 2, _exposure(subject, variant, is_repeat=True)
    yield (
        end,
        Outcome(
            experiment_name=EXPERIMENT,
            variant_key=variant.key,
            subject_id=subject,
            subject_type="user",
            metric_name=_METRIC,
            outcome_type="Binary",
            value=int(chance.random() < variant.true_rate),
        ),
    )


def _exposure(subject: str, variant: Variant, *, is_repeat: bool) -> Exposure:
    return Exposure(
        experiment_name=EXPERIMENT,
        variant_key=variant.key,
        subject_id=subject,
        subject_type="user",
        selection_reason="random split",
        assignment_policy="SubjectSticky",
        is_repeat_exposure=is_repeat,
    )

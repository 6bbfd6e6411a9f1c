"""Every record of a batch gets one fate, in order, whatever the sink says and however often."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from experiment_framework import Envelope, Exposure
from experiment_framework._delivery.batch import Batch
from experiment_framework._delivery.splitting import halves, judge
from experiment_framework.envelope import Record, encode
from experiment_framework.plugin import BatchTooLarge, Permanent, Retryable
from hypothesis import given, settings
from hypothesis import strategies as st

PATIENCE = 5.0


@cache
def records() -> tuple[Record, ...]:
    return tuple(
        encode(
            Envelope.around(
                Exposure(experiment_name="e", variant_key="v", subject_id=f"user-{number}")
            )
        )
        for number in range(12)
    )


class Clock:
    """Time that passes by each look at it."""

    def __init__(self, step: float) -> None:
        self._now = 0.0
        self._step = step

    def __call__(self) -> float:
        self._now += self._step
        return self._now


def answer(draw: st.DrawFn, piece: Sequence[Record]) -> BaseException | None:
    """Draw what a sink says about some records, among it what makes no sense."""
    some = draw(st.lists(st.sampled_from(piece), unique_by=id))
    others = draw(st.lists(st.sampled_from(records()), unique_by=id))
    return draw(
        st.sampled_from(
            [
                None,
                OSError("down"),
                Retryable("busy"),
                Retryable("busy", some),
                Permanent("bad", some),
                Permanent("bad", others),
                BatchTooLarge("large"),
                BatchTooLarge("large", some),
                ExceptionGroup("both", [Retryable("busy", some), Permanent("bad", others)]),
                ExceptionGroup("nested", [ExceptionGroup("inner", [Permanent("bad", some)])]),
            ]
        )
    )


@given(st.data(), st.integers(1, 12), st.sampled_from([0.0, PATIENCE]), st.floats(0.01, 3))
@settings(max_examples=200, deadline=None)
def test_each_record_has_one_fate(
    data: st.DataObject, count: int, patience: float, step: float
) -> None:
    whole = records()[:count]
    batch = Batch(whole, patience, Clock(step))
    delivered: list[Record] = []
    given_up: list[Record] = []
    for _ in range(60):
        piece = batch.piece
        if not piece:
            break
        left = batch.rest()
        assert list(piece) == [record for record in left if record in piece]
        outcome = judge(piece, data.draw(st.composite(answer)(piece)))
        told = [*outcome.delivered, *(record for record, _ in outcome.refused), *outcome.rest]
        assert sorted(map(id, told)) == sorted(map(id, piece))
        fates = batch.settle(outcome)
        if outcome.rest and not outcome.is_too_large and batch.is_over():
            fates += batch.give_up(outcome)
        delivered += outcome.delivered
        given_up += [fate.record for fate in fates]
    everything = [*delivered, *given_up, *batch.clear()]
    assert sorted(map(id, everything)) == sorted(map(id, whole))


@given(st.integers(2, 100))
def test_halves_are_the_whole_in_order(count: int) -> None:
    first, second = halves(list(range(count)))  # type: ignore[arg-type]  # anything will do
    assert [*first, *second] == list(range(count))
    assert first
    assert second

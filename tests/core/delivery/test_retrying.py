"""How long a sink that failed is left alone."""

from __future__ import annotations

import pytest
from experiment_framework._delivery.retrying import OPENS_AFTER, Pacing

DRAWN = 400


def pauses(failures: int, first: float = 1.0, longest: float = 1000.0) -> list[float]:
    """Give many pauses after so many failures in a row."""
    drawn = []
    for _ in range(DRAWN):
        pacing = Pacing(first, longest, clock=lambda: 50.0)
        for _ in range(failures):
            pacing.failure()
        drawn.append(pacing.next_try - 50.0)
    return drawn


@pytest.mark.parametrize("failures", range(1, OPENS_AFTER))
def test_a_pause_is_anything_up_to_a_limit_that_doubles(failures: int) -> None:
    limit = 2.0 ** (failures - 1)
    drawn = pauses(failures)
    assert all(0 <= each <= limit for each in drawn)
    assert min(drawn) < limit / 4
    assert max(drawn) > limit * 3 / 4


def test_no_pause_is_longer_than_the_longest() -> None:
    assert all(each <= 3.0 for each in pauses(OPENS_AFTER - 1, longest=3.0))
    assert all(each <= 3.0 for each in pauses(2000, longest=3.0))


def test_a_sink_that_is_down_is_left_alone_for_half_of_the_longest_pause_at_least() -> None:
    drawn = pauses(OPENS_AFTER)
    assert all(500 <= each <= 1000 for each in drawn)


def test_the_breaker_opens_after_some_failures_in_a_row_and_a_success_closes_it() -> None:
    pacing = Pacing(1.0, 1000.0, clock=lambda: 50.0)
    seen = []
    for _ in range(OPENS_AFTER):
        seen.append(pacing.is_open)
        pacing.failure()
    seen.append(pacing.is_open)
    assert seen == [False] * OPENS_AFTER + [True]
    pacing.success()
    assert (pacing.is_open, pacing.next_try) == (False, 0.0)
    pacing.failure()
    assert pacing.next_try <= 51.0

"""How sure a conversion rate is."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final, NamedTuple

__all__ = ["Interval", "wilson"]

_CONFIDENCE: Final = 0.95


class Interval(NamedTuple):
    """A rate between 0 and 1 lies between these."""

    low: float
    high: float


def wilson(successes: int, trials: int, confidence: float = _CONFIDENCE) -> Interval:
    """Give the Wilson score interval of a proportion (E. B. Wilson, 1927).

    Unlike the normal approximation it stays within 0 and 1, also for few or no successes.
    """
    if trials == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / trials
    shrink = 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / shrink
    reach = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)) / shrink
    return Interval(max(0.0, centre - reach), min(1.0, centre + reach))

"""Whether the accounts of a data plane add up."""

from __future__ import annotations

from experiment_framework import Stats


def is_balanced(stats: Stats) -> bool:
    left = stats.offered + stats.recovered
    right = (
        stats.refused
        + stats.disabled
        + stats.sampled_out
        + stats.dropped_total
        + stats.failed
        + stats.delivered
        + stats.pending
        + stats.spooled
    )
    return left == right

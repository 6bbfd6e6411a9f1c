"""How much chaos, and which."""

from __future__ import annotations

import os
import random
from typing import TypeVar

__all__ = ["IS_FULL", "SEED", "TEST_SECONDS", "thorough"]

T = TypeVar("T")

IS_FULL = os.environ.get("EXPERIMENT_CHAOS") == "full"
"""Whether all of it is wanted, as by ``make chaos``; else a selection that takes a minute."""

SEED = int(os.environ.get("EXPERIMENT_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
"""What all random choices follow from; printed with the table."""

TEST_SECONDS = 600 if IS_FULL else 90


def thorough(full: T, short: T) -> T:
    """Give the first value where all of the chaos is wanted, else the second."""
    return full if IS_FULL else short

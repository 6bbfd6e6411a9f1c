"""The fixtures that every test has once ``experiment-framework-core`` is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from experiment_framework.testing import RecordedPlane

# The suite's own assertions are explained as those of a test are.
pytest.register_assert_rewrite("experiment_framework.testing._cases")


@pytest.fixture
def recorded_plane() -> Iterator[RecordedPlane]:
    """Give a data plane that remembers what was published; it is closed when the test ends."""
    from experiment_framework.testing import RecordedPlane

    plane = RecordedPlane()
    yield plane
    plane.close(1.0)

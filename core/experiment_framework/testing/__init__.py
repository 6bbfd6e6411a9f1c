"""What other people's tests import: for applications that publish, and for backplanes.

An application's tests record what it published (`RecordedPlane`), compare it (`assert_events`) and
break its backplane on purpose (`with_faults`). A backplane's tests subclass `BackplaneConformance`.

pytest is needed for `BackplaneConformance` and for the fixtures only; the extra ``testing`` brings
it.
"""

from typing import TYPE_CHECKING

from experiment_framework.testing.assertions import assert_events
from experiment_framework.testing.faults import Faults, with_faults
from experiment_framework.testing.recording import RecordedPlane, RecordingBackplane
from experiment_framework.testing.under_test import BackplaneUnderTest

if TYPE_CHECKING:
    from experiment_framework.testing.conformance import BackplaneConformance

__all__ = [
    "BackplaneConformance",
    "BackplaneUnderTest",
    "Faults",
    "RecordedPlane",
    "RecordingBackplane",
    "assert_events",
    "with_faults",
]


def __getattr__(name: str) -> object:
    """Load what needs pytest only when it is asked for: tests may be written without it."""
    if name == "BackplaneConformance":
        from experiment_framework.testing.conformance import BackplaneConformance

        return BackplaneConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

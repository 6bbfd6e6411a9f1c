"""Tests of an application: what it published, and that it goes on when nothing is delivered."""

from experiment_framework import DataPlane, Exposure, Outcome
from experiment_framework.testing import (
    RecordedPlane,
    RecordingBackplane,
    assert_events,
    with_faults,
)


def check_out(plane: DataPlane, user: str, total: float) -> str:
    """The application: it shows a variant and records what came of it."""
    plane.publish(Exposure(experiment_name="checkout", variant_key="b", subject_id=user))
    plane.publish(
        Outcome(
            experiment_name="checkout",
            subject_id=user,
            metric_name="revenue",
            outcome_type="Continuous",
            value=total,
        )
    )
    return "thank you"


def test_a_checkout_publishes_the_exposure_and_the_revenue(recorded_plane: RecordedPlane) -> None:
    check_out(recorded_plane, "user-1", 12.5)

    assert_events(
        recorded_plane.events,
        [
            Exposure(experiment_name="checkout", variant_key="b", subject_id="user-1"),
            Outcome(
                experiment_name="checkout",
                subject_id="user-1",
                metric_name="revenue",
                outcome_type="Continuous",
                value=12.5,
            ),
        ],
    )


def test_a_checkout_does_not_wait_for_a_backplane_that_is_stuck() -> None:
    backplane, faults = with_faults(RecordingBackplane())
    with DataPlane(backplane) as plane:
        faults.stall()

        assert check_out(plane, "user-1", 12.5) == "thank you"

        faults.release()
        assert plane.flush(5).delivered == 2

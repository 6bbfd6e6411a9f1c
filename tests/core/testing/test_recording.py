from __future__ import annotations

import subprocess
import sys

import pytest
from experiment_framework import DataPlaneOptions, Envelope, Exposure, Outcome
from experiment_framework.testing import RecordedPlane, assert_events

EXPOSURE = Exposure(experiment_name="checkout", variant_key="b", subject_id="user-1")


def test_the_fixture_records_what_is_published(recorded_plane: RecordedPlane) -> None:
    recorded_plane.publish(EXPOSURE, correlation_id="request-1")

    assert_events(recorded_plane.events, [EXPOSURE])
    assert recorded_plane.envelopes[0].correlation_id == "request-1"


def test_what_is_published_is_delivered_at_once(recorded_plane: RecordedPlane) -> None:
    assert recorded_plane.publish_and_wait(EXPOSURE, 1.0).status == "delivered"
    assert recorded_plane.stats().delivered == 1


def test_an_event_type_that_is_switched_off_is_not_recorded() -> None:
    with RecordedPlane(DataPlaneOptions(enable_exposure_events=False)) as plane:
        plane.publish(EXPOSURE)

    assert plane.events == ()


def test_an_envelope_of_an_unknown_type_is_an_envelope_and_no_event(
    recorded_plane: RecordedPlane,
) -> None:
    envelope = Envelope(
        event_id="1", timestamp=EXPOSURE.timestamp, event_type="Newer", payload={"a": 1}
    )
    recorded_plane.publish_envelope(envelope)

    assert [each.event_type for each in recorded_plane.envelopes] == ["Newer"]
    assert recorded_plane.events == ()


def test_recordings_are_compared_without_pytest() -> None:
    program = (
        "import sys; sys.modules['pytest'] = None\n"
        "from experiment_framework.testing import RecordedPlane, assert_events, with_faults\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_plugin_loads_nothing_of_the_suite_before_a_test_wants_it(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_what_is_loaded():
            assert "experiment_framework.testing.conformance" not in sys.modules
            assert "experiment_framework.dataplane_options" not in sys.modules
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_subclass_without_the_fixture_is_told_what_it_needs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from experiment_framework.testing import BackplaneConformance

        class TestMine(BackplaneConformance):
            pass
        """
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-k", "given_options_are_valid")
    done.stdout.fnmatch_lines(["*TestMine needs a fixture `under_test`*"])


def test_the_same_events_are_equal_whenever_they_happened() -> None:
    assert_events(
        [Exposure(experiment_name="checkout", variant_key="b", subject_id="user-1")], [EXPOSURE]
    )


def test_a_field_that_counts_may_not_differ() -> None:
    other = Exposure(experiment_name="checkout", variant_key="b", subject_id="user-1")
    with pytest.raises(AssertionError):
        assert_events([other], [EXPOSURE], ignoring=())


def test_order_counts_unless_it_does_not() -> None:
    second = Exposure(experiment_name="checkout", variant_key="a", subject_id="user-2")

    assert_events([second, EXPOSURE], [EXPOSURE, second], in_order=False)
    with pytest.raises(AssertionError):
        assert_events([second, EXPOSURE], [EXPOSURE, second])


def test_a_difference_is_told_event_by_event_and_field_by_field() -> None:
    def outcome(value: float) -> Outcome:
        return Outcome(
            experiment_name="checkout",
            subject_id="user-1",
            metric_name="revenue",
            outcome_type="Continuous",
            value=value,
        )

    unexpected = Exposure(experiment_name="checkout", variant_key="a", subject_id="user-9")
    with pytest.raises(AssertionError) as raised:
        assert_events([EXPOSURE, outcome(9.5), unexpected], [EXPOSURE, outcome(10.0)])

    lines = str(raised.value).splitlines()
    assert lines[0] == "3 events were published, 2 were expected"
    assert lines[2].startswith("  = Exposure(experiment_name='checkout'")
    assert lines[3].startswith("  ~ Outcome(")
    assert lines[4] == "      value: expected 10.0, found 9.5"
    assert lines[5].startswith("  + Exposure(")


def test_what_is_missing_is_shown() -> None:
    with pytest.raises(AssertionError, match=r"(?m)^  - Exposure\("):
        assert_events([], [EXPOSURE])

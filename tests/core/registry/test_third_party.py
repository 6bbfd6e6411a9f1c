"""A type from somebody else's distribution works from a configuration as ours do."""

from __future__ import annotations

import pytest
from sample_distributions import SampleSite

PUBLISH = """
import sys
from experiment_framework import DataPlane, Exposure
from experiment_framework.errors import ExperimentError

try:
    with DataPlane.from_config({"experimentFramework": {"dataPlane": %s}}) as plane:
        plane.publish(Exposure(experiment_name="checkout", variant_key="b", subject_id="user-1"))
    print(plane.stats().delivered, type(plane.hooks.plugin).__module__)
except ExperimentError as error:
    sys.exit(str(error))
"""


def publish(samples: SampleSite, data_plane: object, *names: str) -> tuple[list[str], str]:
    done = samples.run(PUBLISH % repr(data_plane), *names)
    return done.stdout.splitlines(), done.stderr


def test_its_options_and_its_records_go_the_same_way(samples: SampleSite) -> None:
    config = {"backplane": {"type": "good", "options": {"place": "there"}}}
    lines, errors = publish(samples, config, "good-sink")
    assert errors == ""
    assert lines[0].startswith("there {")
    assert '"experimentName":"checkout"' in lines[0]
    assert lines[-1] == "1 good_sink"


def test_its_options_are_checked(samples: SampleSite) -> None:
    config = {"backplane": {"type": "good", "options": {"plaec": "there"}}}
    _, errors = publish(samples, config, "good-sink")
    assert "place" in errors
    assert "plaec" in errors


@pytest.mark.parametrize("distribution", ["first-sink", "second-sink"])
def test_one_of_two_is_chosen_in_the_configuration(samples: SampleSite, distribution: str) -> None:
    config = {"backplane": {"type": "contested", "distribution": distribution}}
    lines, errors = publish(samples, config, "first-sink", "Second_Sink")
    assert errors == ""
    assert lines[-1].split()[-1].lower() == distribution.replace("-", "_")


def test_two_without_a_choice_are_a_problem_of_the_configuration(samples: SampleSite) -> None:
    config = {"backplane": {"type": "contested"}}
    _, errors = publish(samples, config, "first-sink", "Second_Sink")
    assert "first-sink 1.0" in errors
    assert "Second_Sink 2.0" in errors


def test_a_broken_one_is_a_problem_of_the_configuration(samples: SampleSite) -> None:
    config = {"backplane": {"type": "exiting"}}
    _, errors = publish(samples, config, "exiting-sink")
    assert "dataPlane.backplane.type" in errors
    assert "SystemExit (bye)" in errors


def test_a_step_is_selected_by_its_key(samples: SampleSite) -> None:
    config = {"stampText": "x", "backplane": {"type": "good"}}
    lines, errors = publish(samples, config, "good-sink", "stamp-step")
    assert errors == ""
    assert lines[-1] == "1 good_sink"

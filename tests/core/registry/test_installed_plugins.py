"""Plugins of real distributions: one that is broken must not be anybody else's trouble."""

from __future__ import annotations

from itertools import permutations

import pytest
from sample_distributions import SampleSite

LOAD = """
import json, os, sys
from experiment_framework._registry import Registry
from experiment_framework.errors import PluginError

registry = Registry()
answers = {}
for name in os.environ["ASKED"].split(","):
    name, _, distribution = name.partition("@")
    try:
        plugin = registry.load_backplane(name, distribution or None)
        answers[name] = ["loaded", plugin.distribution, plugin.version]
    except PluginError as error:
        answers[name] = [type(error).__name__, str(error), error.distribution]
print(json.dumps(answers))
"""


def load(
    samples: SampleSite, *names: str, asked: str, plugins: str | None = None
) -> dict[str, list[str]]:
    environ = {"ASKED": asked}
    if plugins is not None:
        environ["EXPERIMENT_FRAMEWORK_PLUGINS"] = plugins
    answers: dict[str, list[str]] = samples.ask(LOAD, *names, environ=environ)
    return answers


def test_a_plugin_is_found_by_its_name_with_its_origin(samples: SampleSite) -> None:
    assert load(samples, "good-sink", asked="good") == {"good": ["loaded", "good-sink", "1.0"]}


@pytest.mark.parametrize("order", list(permutations(["raising-sink", "good-sink", "exiting-sink"])))
def test_broken_plugins_beside_a_good_one_do_it_no_harm(
    samples: SampleSite, order: tuple[str, ...]
) -> None:
    answers = load(samples, *order, asked="raising,good,exiting,good")
    assert answers["good"][0] == "loaded"
    assert answers["raising"][0] == "BrokenPluginError"
    assert "RuntimeError (no luck)" in answers["raising"][1]
    assert answers["exiting"][0] == "BrokenPluginError"
    assert "SystemExit (bye)" in answers["exiting"][1]
    assert answers["exiting"][2] == "exiting-sink"


def test_only_the_plugin_that_is_named_is_imported(samples: SampleSite) -> None:
    # Importing this one would end the process at once.
    answers = load(samples, "killing-sink", "good-sink", asked="good")
    assert answers["good"][0] == "loaded"


def test_listing_names_imports_nothing(samples: SampleSite) -> None:
    program = """
import json
from experiment_framework._registry import Registry
registry = Registry()
print(json.dumps([registry.backplane_names(), registry.step_keys()]))
"""
    backplanes, steps = samples.ask(program, "killing-sink", "hanging-sink", "stamp-step")
    assert {"killing", "hanging"} <= set(backplanes)
    assert "stampText" in steps


def test_a_missing_dependency_of_a_plugin_is_named(samples: SampleSite) -> None:
    kind, text, _ = load(samples, "needy-sink", asked="needy")["needy"]
    assert kind == "BrokenPluginError"
    assert "package_that_is_not_there" in text


def test_the_cause_of_a_broken_plugin_is_chained(samples: SampleSite) -> None:
    program = """
import json
from experiment_framework._registry import Registry
from experiment_framework.errors import BrokenPluginError
try:
    Registry().load_backplane("exiting")
except BrokenPluginError as error:
    print(json.dumps(type(error.__cause__).__name__))
"""
    assert samples.ask(program, "exiting-sink") == "SystemExit"


class TestTwoDistributionsWithOneName:
    BOTH = ("first-sink", "Second_Sink")

    @pytest.mark.parametrize("order", [BOTH, BOTH[::-1]])
    def test_are_an_error_that_names_both_and_the_ways_to_choose(
        self, samples: SampleSite, order: tuple[str, ...]
    ) -> None:
        kind, text, _ = load(samples, *order, asked="contested")["contested"]
        assert kind == "DuplicatePluginError"
        assert "first-sink 1.0" in text
        assert "Second_Sink 2.0" in text
        assert "distribution:" in text
        assert "EXPERIMENT_FRAMEWORK_PLUGINS" in text

    @pytest.mark.parametrize("wanted", ["Second_Sink", "second-sink", "SECOND.SINK"])
    def test_are_told_apart_by_the_configuration(self, samples: SampleSite, wanted: str) -> None:
        answers = load(samples, *self.BOTH, asked=f"contested@{wanted}")
        assert answers["contested"] == ["loaded", "Second_Sink", "2.0"]

    def test_are_told_apart_by_the_environment(self, samples: SampleSite) -> None:
        answers = load(
            samples, *self.BOTH, asked="contested", plugins="other=x, contested=first-sink"
        )
        assert answers["contested"] == ["loaded", "first-sink", "1.0"]

    def test_do_not_disturb_other_names(self, samples: SampleSite) -> None:
        answers = load(samples, *self.BOTH, "good-sink", asked="good")
        assert answers["good"][0] == "loaded"

    def test_are_not_replaced_by_a_third_that_was_asked_for(self, samples: SampleSite) -> None:
        kind, text, _ = load(samples, *self.BOTH, asked="contested@third")["contested"]
        assert kind == "UnknownPluginError"
        assert "third" in text
        assert "first-sink 1.0, Second_Sink 2.0" in text or (
            "Second_Sink 2.0, first-sink 1.0" in text
        )

    @pytest.mark.parametrize("written", ["contested", "=first-sink", "contested="])
    def test_need_a_readable_choice(self, samples: SampleSite, written: str) -> None:
        kind, text, _ = load(samples, *self.BOTH, asked="contested", plugins=written)["contested"]
        assert kind == "PluginError"
        assert "NAME=DISTRIBUTION" in text


def test_a_misspelt_hook_names_the_nearest_and_the_distribution(samples: SampleSite) -> None:
    kind, text, distribution = load(samples, "misspelt-sink", asked="misspelt")["misspelt"]
    assert kind == "HookError"
    assert distribution == "misspelt-sink"
    assert "'flsh'" in text
    assert "did you mean 'flush'?" in text


def test_a_module_with_marked_functions_is_a_backplane(samples: SampleSite) -> None:
    program = """
import json
from experiment_framework._registry import Registry
plugin = Registry().load_backplane("marked")
hooks = plugin.create(plugin.options_class())
hooks.write_batch([1, 2])
print(json.dumps([plugin.options_class.__name__, plugin.options_class().level]))
"""
    done = samples.run(program, "marked-module")
    assert done.stdout.splitlines() == ["2 records", '["Options", 3]'], done.stderr


def test_a_step_is_found_by_each_of_its_keys(samples: SampleSite) -> None:
    program = """
import json
from experiment_framework._registry import Registry
print(json.dumps(Registry().load_step("stampText").__name__))
"""
    assert samples.ask(program, "stamp-step") == "Stamp"


def test_a_step_with_a_key_that_its_options_lack_is_refused(samples: SampleSite) -> None:
    program = """
import json
from experiment_framework._registry import Registry
from experiment_framework.errors import HookError
try:
    Registry().load_step("notAField")
except HookError as error:
    print(json.dumps(str(error)))
"""
    assert "they have stampText" in samples.ask(program, "stamp-step")

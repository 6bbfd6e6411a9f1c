"""A plugin that says which plugin API it was written for is told plainly when that is not here."""

from __future__ import annotations

import pytest
from experiment_framework.plugin import API_VERSION
from sample_distributions import BACKPLANES, STEPS, Sample, SampleSite

MAJOR, MINOR = map(int, API_VERSION.split("."))

SINK = """
from experiment_framework.plugin import Backplane, options

@options
class Options:
    pass

class Sink(Backplane[Options]):
    api_version = {version}

    def write_batch(self, records): ...
{more}
"""

STEP = """
from experiment_framework.plugin import Phase, Step, option, options

@options
class Options:
    stamp: str = option(default="", help="What is stamped.")

class Stamp(Step[Options]):
    api_version = "99.0"
    phase = Phase.ENRICH

    def apply(self, envelope): ...
"""

MODULE = 'api_version = "99.0"\nfrom experiment_framework.plugin import hookimpl\n'


def sink(name: str, version: object, more: str = "") -> Sample:
    module = SINK.format(version=repr(version), more=more)
    return Sample(f"{name}-sink", module, {BACKPLANES: {name: "Sink"}})


SAMPLES = (
    sink("same", API_VERSION),
    sink("silent", None),
    sink("newer", f"{MAJOR}.{MINOR + 1}", "    def replay_everything(self): ..."),
    sink("nextmajor", f"{MAJOR + 1}.0"),
    sink("older", f"{MAJOR - 1}.9"),
    sink("number", 1.0),
    sink("word", "latest"),
    Sample(
        "wanting-sink",
        "from experiment_framework.plugin import Backplane, OfTomorrow",
        {BACKPLANES: {"wanting": "Sink"}},
    ),
    Sample("stamp-step", STEP, {STEPS: {"stamp": "Stamp"}}),
    Sample("module-sink", MODULE, {BACKPLANES: {"module": ""}}),
)

LOAD = """
import json, os
from experiment_framework._registry import Registry
from experiment_framework.errors import PluginError

registry = Registry()
load = registry.load_step if os.environ["ASKED"] == "stamp" else registry.load_backplane
try:
    load(os.environ["ASKED"])
    print(json.dumps(["loaded", ""]))
except PluginError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> SampleSite:
    return SampleSite(SAMPLES, tmp_path_factory.mktemp("versions"))


def load(site: SampleSite, name: str, kind: str = "sink") -> tuple[str, str]:
    status, text = site.ask(LOAD, f"{name}-{kind}", environ={"ASKED": name})
    return status, text


@pytest.mark.parametrize("name", ["same", "silent"])
def test_a_plugin_of_this_version_or_of_none_is_loaded(site: SampleSite, name: str) -> None:
    assert load(site, name) == ("loaded", "")


@pytest.mark.parametrize("name", ["newer", "nextmajor"])
def test_a_newer_plugin_is_told_to_upgrade_core(site: SampleSite, name: str) -> None:
    status, text = load(site, name)

    assert status == "HookError"
    assert f"backplane '{name}' from {name}-sink was written for version" in text
    assert f"version {API_VERSION} is here: upgrade experiment-framework-core" in text
    assert "replay_everything" not in text  # the hook that is not there is the smaller news


def test_an_older_plugin_is_told_to_be_upgraded(site: SampleSite) -> None:
    status, text = load(site, "older")

    assert status == "HookError"
    assert "upgrade older-sink" in text


@pytest.mark.parametrize(("name", "found"), [("number", "1.0"), ("word", "'latest'")])
def test_a_version_of_another_form_is_refused(site: SampleSite, name: str, found: str) -> None:
    status, text = load(site, name)

    assert status == "HookError"
    assert f"its api_version is {found}; expected text such as '{API_VERSION}'" in text


def test_a_name_that_is_not_in_the_api_is_a_matter_of_versions(site: SampleSite) -> None:
    status, text = load(site, "wanting")

    assert status == "HookError"
    assert "was written for another version of the plugin API" in text
    assert "OfTomorrow" in text


def test_steps_and_modules_are_looked_at_too(site: SampleSite) -> None:
    assert "step 'stamp' from stamp-step was written for" in load(site, "stamp", "step")[1]
    assert "backplane 'module' from module-sink was written for" in load(site, "module")[1]

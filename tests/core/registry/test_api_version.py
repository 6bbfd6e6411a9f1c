"""A plugin that says which plugin API it was written for is told plainly when that is not here."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from experiment_framework._registry import Registry
from experiment_framework.errors import HookError
from experiment_framework.plugin import (
    API_VERSION,
    Backplane,
    Encoded,
    Encoder,
    Envelope,
    Phase,
    Record,
    Step,
    option,
    options,
)
from sample_distributions import BACKPLANES, STEPS, Sample, SampleSite

ENCODERS = "experiment_framework.encoders"

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

ENCODER = """
from experiment_framework.plugin import Encoded, Encoder, options

@options
class Options:
    pass

class Marked(Encoder[Options]):
    api_version = "99.0"

    def encode(self, record, destination): ...
    def decode(self, body): ...
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
    Sample("marked-encoder", ENCODER, {ENCODERS: {"marked": "Marked"}}),
    Sample("module-sink", MODULE, {BACKPLANES: {"module": ""}}),
)

LOAD = """
import json, os
from experiment_framework._registry import Registry
from experiment_framework.errors import PluginError

registry = Registry()
special = {"stamp": registry.load_step, "marked": registry.load_encoder}
load = special.get(os.environ["ASKED"], registry.load_backplane)
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


def test_steps_encoders_and_modules_are_looked_at_too(site: SampleSite) -> None:
    assert "encoder 'marked' from marked-encoder was" in load(site, "marked", "encoder")[1]
    assert "step 'stamp' from stamp-step was written for" in load(site, "stamp", "step")[1]
    assert "backplane 'module' from module-sink was written for" in load(site, "module")[1]


@options
class Options:
    stamp: str = option(default="", help="What is stamped.")


class Sink(Backplane[Options]):
    api_version = "99.0"

    def write_batch(self, records: Sequence[Record]) -> None: ...


class Stamp(Step[Options]):
    api_version = "99.0"
    phase = Phase.ENRICH

    def apply(self, envelope: Envelope) -> Envelope:
        return envelope


class Marked(Encoder[Options]):
    api_version = "99.0"

    def encode(self, record: Record, destination: str) -> Encoded:
        return Encoded(record.body)

    def decode(self, body: bytes) -> bytes:
        return body


def test_what_is_registered_in_code_is_looked_at_too() -> None:
    registry = Registry()
    registry.register_backplane("tomorrow", Sink)
    registry.register_backplane("instance", Sink(Options()))
    registry.register_step("stamp", Stamp)
    registry.register_encoder("marked", Marked)

    for load_one, name in (
        (registry.load_backplane, "tomorrow"),
        (registry.load_backplane, "instance"),
        (registry.load_step, "stamp"),
        (registry.load_encoder, "marked"),
    ):
        with pytest.raises(HookError, match=f"'{name}' was written for version 99.0"):
            load_one(name)

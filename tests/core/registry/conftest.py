"""Small plugins, as other people ship them."""

from __future__ import annotations

import pytest
from sample_distributions import BACKPLANES, STEPS, Sample, SampleSite

SINK = """
from experiment_framework.plugin import Backplane, option, options

@options
class SinkOptions:
    place: str = option(default="here", help="Where records go.")

class Sink(Backplane[SinkOptions]):
    origin = __name__

    def write_batch(self, records):
        for record in records:
            print(self.options.place, record.body.decode())
"""

MISSPELT = """
from experiment_framework.plugin import Backplane, options

@options
class Options:
    pass

class Sink(Backplane[Options]):
    def write_batch(self, records): ...
    def flsh(self, timeout): ...
"""

MARKED_MODULE = """
from experiment_framework.plugin import hookimpl, option, options

@options
class Options:
    level: int = option(default=3, help="How loud.")

@hookimpl
def configuration():
    return Options

@hookimpl
def write_batch(records):
    print(len(records), "records")
"""

STEP = """
from experiment_framework.plugin import Envelope, Phase, Step, option, options

@options
class Options:
    stamp_text: str = option(default="", help="What is stamped.")

class Stamp(Step[Options]):
    phase = Phase.ENRICH

    def apply(self, envelope: Envelope) -> Envelope:
        return envelope
"""

SAMPLES = (
    Sample("good-sink", SINK, {BACKPLANES: {"good": "Sink"}}),
    Sample("first-sink", SINK, {BACKPLANES: {"contested": "Sink"}}),
    Sample("Second_Sink", SINK, {BACKPLANES: {"contested": "Sink"}}, version="2.0"),
    Sample("raising-sink", "raise RuntimeError('no luck')", {BACKPLANES: {"raising": "Sink"}}),
    Sample("exiting-sink", "import sys; sys.exit('bye')", {BACKPLANES: {"exiting": "Sink"}}),
    Sample("killing-sink", "import os; os._exit(3)", {BACKPLANES: {"killing": "Sink"}}),
    Sample("hanging-sink", "import time; time.sleep(600)", {BACKPLANES: {"hanging": "Sink"}}),
    Sample("chatty-sink", "print('hello', flush=True)\n" + SINK, {BACKPLANES: {"chatty": "Sink"}}),
    Sample("needy-sink", "import package_that_is_not_there", {BACKPLANES: {"needy": "Sink"}}),
    Sample("misspelt-sink", MISSPELT, {BACKPLANES: {"misspelt": "Sink"}}),
    Sample("marked-module", MARKED_MODULE, {BACKPLANES: {"marked": ""}}),
    Sample("stamp-step", STEP, {STEPS: {"stampText": "Stamp", "notAField": "Stamp"}}),
)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> SampleSite:
    """All samples, built and installed once."""
    return SampleSite(SAMPLES, tmp_path_factory.mktemp("samples"))
